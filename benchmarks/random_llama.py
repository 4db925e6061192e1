"""A random Llama of Llama 2 7B's exact size, made in memory, and stand-ins for what methods need.

It takes Llama 2 7B's settings by its name. Its values say nothing; its passes cost what those of
the real one cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.llama7b import LAYERS, MLP, VOCABULARY, WIDTH
from benchmarks.scale import LLAMA
from core import LanguageModel, fingerprint, keep_mend_network, load_model
from core.editing import second_moments as moments
from core.editing.mend_network import (
    MendNetwork,
    expected_shapes,
    shape_name,
    site_shapes,
    usual_sites,
)
from core.editing.mend_training import RANK

HEADS = 32
MOMENT_RANK = 512


def random_llama(
    device: str,
    dtype: str,
    *,
    layers: int = LAYERS,
    width: int = WIDTH,
    mlp: int = MLP,
    heads: int = HEADS,
) -> LanguageModel:
    """Made on the device, the same on each device of a kind. Never writes a token that the
    tokenizer does not know, nor the end of text."""
    tokenizer = load_model("tiny-llama2", device="cpu").tokenizer
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=1.28 * width**-0.5,  # of each product's inputs; Llama's 0.02 at 4096
    )
    torch.manual_seed(0)
    with torch.device(device):
        network = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    with torch.no_grad():
        network.lm_head.weight[len(tokenizer) :] = 0
        network.lm_head.weight[config.eos_token_id] = 0
    return LanguageModel(network, tokenizer, LLAMA)


def keep_moments(model: LanguageModel, layers: Sequence[int]) -> None:
    """A stand-in for each layer's second moment, made on the card and written to the cache."""
    rank = min(MOMENT_RANK, model.d_mlp)
    generator = torch.Generator(model.device).manual_seed(1)
    options = {"device": model.device, "dtype": torch.float64}
    factors = torch.randn(model.d_mlp, rank, generator=generator, **options)
    moment = (factors @ factors.mT).div_(rank)
    moment.diagonal().add_(0.1 + torch.rand(model.d_mlp, generator=generator, **options))
    moment = moment.cpu()
    for layer in layers:
        moments.write_cached(model, layer, moments.source_name(model, None), moment)
    missing = moments.missing_second_moments(model, layers)
    if missing:
        raise SystemExit(f"Second moments of layers {missing} could not be kept: no disk left?")


def keep_untrained_mend(model: LanguageModel) -> None:
    """A MEND network of the usual matrices and rank, which passes on what it gets, and little."""
    sites = usual_sites(model)
    shapes = site_shapes(model, sites)
    ranks = {f"{shape_name(s)}.{i}": min(RANK, sum(s)) for s in shapes for i in (0, 1)}
    tensors: dict[str, Tensor] = {}
    for name, shape in expected_shapes(sites, shapes, ranks).items():
        filled = 1.0 if name.endswith(("_std", "_scale")) else 1e-3
        tensors[name] = torch.full(shape, filled)
    tensors["alpha"].fill_(-1e-3)
    network = MendNetwork(model.name, fingerprint(model), sites, shapes, tensors)
    keep_mend_network(model, network)
