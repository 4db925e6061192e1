"""LanguageModel: one Hugging Face model and its tokenizer, ready for every lens."""

from __future__ import annotations

from collections import OrderedDict
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.model.architectures import Architecture, architecture_of, shape_in_out
from core.model.gguf_header import Source
from core.model.locks import FairLock
from core.model.precision import Precision
from core.model.threads import usual_threads
from core.model.tokens import (
    Target,
    encode_prompt,
    encode_target,
    is_byte_level,
    piece_text,
    token_offsets,
)

REMEMBERED_PROMPTS = 4


def numbers_in(network: nn.Module) -> int:
    """How many numbers a network holds, whether they are trained or, in 8 bits, kept aside."""
    return sum(t.numel() for t in (*network.parameters(), *network.buffers()))


class LanguageModel:
    """A causal language model behind one interface for GPT-2 and Llama architectures.

    The weights are frozen: no gradient of a parameter is ever allocated, and nothing in core
    changes a weight. `lock` serialises work on the model; every public function of core takes it.
    Thread-safe; share one instance between all users.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str = "",
        folder: Path | None = None,
        precision: Precision | None = None,
    ) -> None:
        self.architecture: Architecture = architecture_of(network.config.model_type)
        self.network = network.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name or network.config.model_type
        self.folder = folder
        # How the weights are kept in memory, and why.
        self.precision = precision or Precision(precision_name(network), "As it was given.")
        self.source: Source | None = None  # of weights that come from a file that rounds them
        self.lock = FairLock()
        self.size = numbers_in(network)
        self.threads = usual_threads(self.size)
        self._byte_level = is_byte_level(tokenizer)
        self._token_text: dict[int, str] = {}
        self._residuals: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        # On new cards torch leaves attention to cuDNN, which plans anew for each length of text
        # that it meets: some 50 ms, while a short prompt's whole pass takes 15.
        torch.backends.cuda.enable_cudnn_sdp(False)

    def __repr__(self) -> str:
        kind = self.precision.name
        return f"LanguageModel({self.name!r}, {self.n_layers} layers, {kind}, {self.device})"

    @property
    def n_layers(self) -> int:
        return self.network.config.num_hidden_layers

    @property
    def d_model(self) -> int:
        return self.network.config.hidden_size

    @property
    def d_mlp(self) -> int:
        """Width of the MLP: FF1 maps d_model to it, FF2 maps it back."""
        return shape_in_out(self.modules("ff2", 0)[0])[0]

    @property
    def vocabulary_size(self) -> int:
        return self.unembedding.weight.shape[0]

    @property
    def context_length(self) -> int:
        """How many tokens the model can read, BOS included."""
        return self.network.config.max_position_embeddings

    @property
    def dtype(self) -> torch.dtype:
        """Of the decoding matrix and the embedding; the blocks' matrices may be in 8 bits."""
        return self.unembedding.weight.dtype

    @property
    def activation_dtype(self) -> torch.dtype:
        """Of what flows between the layers: float32 also where the weights are compact."""
        return next(self.final_norm.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return self._module(self.architecture.embedding).weight.device

    @property
    def matrices(self) -> tuple[str, ...]:
        """Names of the matrices that this model has; `gate` is Llama's."""
        return tuple(self.architecture.matrices)

    @cached_property
    def blocks(self) -> nn.ModuleList:
        return self._module(self.architecture.blocks)

    @cached_property
    def final_norm(self) -> nn.Module:
        return self._module(self.architecture.final_norm)

    @property
    def final_norm_has_bias(self) -> bool:
        """Whether the lens says something about the zero vector: softmax(beta D).

        RMSNorm has no bias: the zero vector's lens is a tie of all tokens, and dividing a vector
        by its norm changes no rank.
        """
        return getattr(self.final_norm, "bias", None) is not None

    @cached_property
    def unembedding(self) -> nn.Module:
        """The decoding matrix D; its weight is (vocabulary, d_model)."""
        return self._module(self.architecture.unembedding)

    def modules(self, matrix: str, layer: int) -> tuple[nn.Module, ...]:
        """The modules that make up a matrix of a layer; "block" is the block itself."""
        block = self.blocks[layer]
        if matrix == "block":
            return (block,)
        return tuple(block.get_submodule(path) for path in self.architecture.matrices[matrix])

    def embed(self, ids: tuple[int, ...]) -> Tensor:
        """Input embeddings (1, token, d_model); GPT-2 adds its positions later, by itself."""
        module = self._module(self.architecture.embedding)
        return module(torch.tensor([ids], device=module.weight.device))

    def read(self, embeddings: Tensor) -> Tensor:
        """Run the blocks and the final norm: (row, token, d_model) in and out."""
        return self.network.base_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state

    def normalize_final(self, vectors: Tensor) -> Tensor:
        """ln_f in float32, whatever the model's precision: (row, d_model) in and out."""
        norm, config = self.final_norm, self.network.config
        weight = norm.weight.float()
        epsilon = getattr(config, self.architecture.norm_epsilon)
        vectors = vectors.to(weight.device, torch.float32)
        if isinstance(norm, nn.LayerNorm):
            bias = norm.bias.float()
            return nn.functional.layer_norm(vectors, weight.shape, weight, bias, epsilon)
        return nn.functional.rms_norm(vectors, weight.shape, weight, epsilon)

    def encode(self, prompt: str) -> tuple[int, ...]:
        """Token ids of a prompt; raises PromptError if it is empty or too long."""
        return encode_prompt(self.tokenizer, prompt, self.context_length)

    def target(self, prompt: str, typed: str) -> Target:
        """The target as the tokenizer sees it after the prompt; raises PromptError if empty."""
        ids = encode_target(self.tokenizer, prompt, typed)
        return Target(typed, ids, tuple(self.token_text(i) for i in ids))

    def offsets(self, prompt: str) -> tuple[tuple[int, int], ...]:
        """The characters [start, end) of the prompt that each of its tokens stands for.

        Empty for BOS and for a space that the tokenizer puts in front by itself.
        """
        self.encode(prompt)  # refuses what has no tokens
        return token_offsets(self.tokenizer, prompt)

    def tokenize(self, prompt: str) -> tuple[str, ...]:
        """The prompt's tokens as text, BOS included."""
        return tuple(self.token_text(i) for i in self.encode(prompt))

    def token_text(self, token_id: int) -> str:
        """The text of one token, its leading space kept."""
        text = self._token_text.get(token_id)
        if text is None:
            piece = self.tokenizer.convert_ids_to_tokens(token_id)
            # Models pad their vocabulary: ids past the tokenizer's last have no piece.
            text = f"<{token_id}>" if piece is None else piece_text(piece, self._byte_level)
            self._token_text[token_id] = text
        return text

    def remember_residual(self, ids: tuple[int, ...], residual: Tensor) -> None:
        """Keep the residual stream of a prompt, so that its forward lens needs no second pass.

        residual: (layer, token, d_model), after each block. The last few prompts are kept.
        """
        self._residuals[ids] = residual
        self._residuals.move_to_end(ids)
        while len(self._residuals) > REMEMBERED_PROMPTS:
            self._residuals.popitem(last=False)

    def remembered_residual(self, ids: tuple[int, ...]) -> Tensor | None:
        return self._residuals.get(ids)

    def _module(self, path: str) -> nn.Module:
        return self.network.get_submodule(path)


def precision_name(network: PreTrainedModel) -> str:
    """The name of a loaded network's precision: of its most compact weights."""
    kinds = {parameter.dtype for parameter in network.parameters()}
    return str(min(kinds, key=lambda kind: (kind.itemsize, str(kind)))).removeprefix("torch.")
