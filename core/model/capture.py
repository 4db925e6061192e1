"""One thread at a time on a model, and its activations through hooks that are always taken off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import ModelError
from core.model.language_model import LanguageModel

Site = tuple[str, int]  # (matrix, layer)


@dataclass(frozen=True)
class Activation:
    """What went into and came out of one matrix: (row, token, d_in) and its outputs."""

    x: Tensor
    outputs: tuple[Tensor, ...]  # one for each module of the matrix, (row, token, d_out)


@contextmanager
def exclusive(model: LanguageModel, *, gradients: bool) -> Iterator[None]:
    """The model for this thread alone, with or without gradients, whatever mode the caller is in.

    Running out of memory becomes a ModelError; the model stays usable.
    """
    with model.lock, torch.inference_mode(False), torch.set_grad_enabled(gradients):
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            out_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
            if not out_of_memory and "allocate memory" not in str(error):
                raise
            raise ModelError(
                f"{model.name} ran out of memory on this prompt. Shorten the prompt, or choose a "
                "smaller model."
            ) from error


@contextmanager
def capture(model: LanguageModel, matrices: tuple[str, ...]) -> Iterator[dict[Site, Activation]]:
    """Collect the activations of `matrices` in every layer while the block runs.

    Use it inside `exclusive`: hooks see every thread's forward passes.
    """
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    activations: dict[Site, Activation] = {}

    def record(module: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
        seen[module] = (inputs[0], output if isinstance(output, Tensor) else output[0])

    sites = {
        (m, layer): model.modules(m, layer) for m in matrices for layer in range(model.n_layers)
    }
    hooks = [module.register_forward_hook(record) for group in sites.values() for module in group]
    try:
        yield activations
        for site, group in sites.items():
            outputs = tuple(seen[module][1] for module in group)
            activations[site] = Activation(seen[group[0]][0], outputs)
    finally:
        for hook in hooks:
            hook.remove()


def check_numbers(values: Tensor) -> None:
    """Raise ModelError for an output that is no number: then no result may be shown."""
    if not torch.isfinite(values).all():
        raise ModelError(
            "The model's output is not a number. Its weights are damaged, or too large for this "
            "precision: download the model again, or load it with dtype float32."
        )
