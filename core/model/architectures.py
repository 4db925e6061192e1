"""Where each architecture keeps its blocks and matrices: the only file that knows their names.

A "matrix" is one of MATRICES. Modules that read the same input and stand side by side (Llama's
separate query, key and value projections) count as one matrix, so that GPT-2's fused `c_attn` and
Llama's three are the same thing to everybody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from core.errors import ModelError
from core.model.compact import stored_shape, stores_in_out

MATRICES = ("attn_in", "attn_out", "ff1", "gate", "ff2", "block")

# Matrices whose output is added to the residual stream: their VJPs have its width, d_model.
# The others read the residual stream: it is their input x that has this width (section 4.2).
WRITES_TO_RESIDUAL = frozenset({"attn_out", "ff2", "block"})


@dataclass(frozen=True)
class Architecture:
    """Module paths of one model family, the block's relative to a block."""

    model_type: str
    title: str
    blocks: str
    embedding: str
    final_norm: str
    unembedding: str
    norm_epsilon: str  # its name in the config
    matrices: Mapping[str, tuple[str, ...]]


GPT2 = Architecture(
    model_type="gpt2",
    title="GPT-2",
    blocks="transformer.h",
    embedding="transformer.wte",
    final_norm="transformer.ln_f",
    unembedding="lm_head",
    norm_epsilon="layer_norm_epsilon",
    matrices={
        "attn_in": ("attn.c_attn",),
        "attn_out": ("attn.c_proj",),
        "ff1": ("mlp.c_fc",),
        "ff2": ("mlp.c_proj",),
    },
)

LLAMA = Architecture(
    model_type="llama",
    title="Llama",
    blocks="model.layers",
    embedding="model.embed_tokens",
    final_norm="model.norm",
    unembedding="lm_head",
    norm_epsilon="rms_norm_eps",
    matrices={
        "attn_in": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attn_out": ("self_attn.o_proj",),
        "ff1": ("mlp.up_proj",),
        "gate": ("mlp.gate_proj",),
        "ff2": ("mlp.down_proj",),
    },
)

ARCHITECTURES = {architecture.model_type: architecture for architecture in (GPT2, LLAMA)}


def architecture_of(model_type: str) -> Architecture:
    """The adapter of a Hugging Face `model_type`; raises ModelError for a family without one."""
    if model_type not in ARCHITECTURES:
        known = " and ".join(a.title for a in ARCHITECTURES.values())
        raise ModelError(
            f"This model's architecture is {model_type!r}. Backward Lens works with {known} "
            "architectures: choose GPT-2, Llama 2 or a model built like one of them."
        )
    return ARCHITECTURES[model_type]


def weight_in_out(module: nn.Module) -> Tensor:
    """The weight as (d_in, d_out): Conv1D stores it so, Linear stores the transpose.

    A view; of an 8-bit matrix a new tensor in float32.
    """
    return module.weight if stores_in_out(module) else module.weight.mT


def shape_in_out(module: nn.Module) -> tuple[int, int]:
    """(d_in, d_out) of a matrix, without reading it."""
    shape = tuple(stored_shape(module))
    return shape if stores_in_out(module) else shape[::-1]
