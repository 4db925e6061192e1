"""One thread at a time on a model, and its activations through hooks that are always taken off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import ModelError
from core.model.language_model import LanguageModel
from core.model.threads import threads

Site = tuple[str, int]  # (matrix, layer)
BlockCall = tuple[tuple, dict]  # what a block gets besides the residual stream


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
    with (
        model.lock,
        threads(model.threads),
        torch.inference_mode(False),
        torch.set_grad_enabled(gradients),
    ):
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
def capture(
    model: LanguageModel, matrices: tuple[str, ...], layers: Sequence[int] | None = None
) -> Iterator[dict[Site, Activation]]:
    """Collect the activations of `matrices` in these layers, by default all, while the block runs.

    Use it inside `exclusive`: hooks see every thread's forward passes.
    """
    layers = range(model.n_layers) if layers is None else layers
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    activations: dict[Site, Activation] = {}

    def record(module: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
        seen[module] = (inputs[0], output if isinstance(output, Tensor) else output[0])

    sites = {(m, layer): model.modules(m, layer) for m in matrices for layer in layers}
    hooks = [module.register_forward_hook(record) for group in sites.values() for module in group]
    try:
        yield activations
        for site, group in sites.items():
            outputs = tuple(seen[module][1] for module in group)
            activations[site] = Activation(seen[group[0]][0], outputs)
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def block_calls(model: LanguageModel) -> Iterator[dict[int, BlockCall]]:
    """Note how the model calls its blocks (positions, masks), to call them again alone."""
    calls: dict[int, BlockCall] = {}

    def noting(layer: int):
        def note(_: nn.Module, inputs: tuple, named: dict) -> None:
            calls[layer] = (inputs[1:], dict(named))

        return note

    hooks = [
        block.register_forward_pre_hook(noting(i), with_kwargs=True)
        for i, block in enumerate(model.blocks)
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


class _EndedError(Exception):
    """A pass has come as far as it is needed."""


@contextmanager
def ending_after(model: LanguageModel, layer: int) -> Iterator[None]:
    """A forward pass in the block ends with this layer's block: what is above is not run.

    Use it inside `exclusive` and inside `capture`, whose hooks then come first.
    """

    def end(*_: object) -> None:
        raise _EndedError

    hook = model.blocks[layer].register_forward_hook(end)
    try:
        yield
    except _EndedError:
        pass
    finally:
        hook.remove()


def check_numbers(values: Tensor) -> None:
    """Raise ModelError for an output that is no number: then no result may be shown."""
    if not torch.isfinite(values).all():
        raise ModelError(
            "The model's output is not a number. Its weights are damaged, or too large for this "
            "precision: download the model again, or load it with dtype float32."
        )
