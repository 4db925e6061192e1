"""Whether the factors are the gradient: autograd's own gradient of one matrix, beside theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from core.errors import PromptError
from core.gradients.trace import Trace
from core.model.architectures import weight_in_out
from core.model.edited import turn
from core.model.language_model import LanguageModel


def reconstruction_error(trace: Trace, matrix: str = "ff2", layer: int | None = None) -> float:
    """The largest difference of sum_i x_i^T delta_i from autograd's gradient of the same matrix,
    as a part of that gradient's largest entry (eq. 8). About 1e-6 in float32.

    One more forward and backward pass, with the trace's edits on, down to this matrix alone; by
    default that of the middle layer, where the signals of all prompt tokens meet. 0 for a gradient
    that is zero in both. Raises PromptError for a matrix or layer that the model does not have, or
    for one whose weights cannot be differentiated (whole numbers of 8 bits).
    """
    model, factors = trace.model, trace.matrix(matrix)
    layer = model.n_layers // 2 if layer is None else layer
    if matrix == "block" or not 0 <= layer < model.n_layers:
        raise PromptError(
            f"Choose a matrix other than block, and a layer from 0 to {model.n_layers - 1}."
        )
    modules = model.modules(matrix, layer)
    if not all(has_plain_weight(module) for module in modules):
        raise PromptError(f"The weights of {matrix} are not kept as numbers with a gradient.")
    with turn(model, trace.edits, gradients=True), differentiable(modules) as weights:
        logits = model.unembedding(model.read(model.embed(trace.ids))[:, -1]).float()
        goal = torch.tensor([trace.target.id], device=logits.device)
        loss = nn.functional.cross_entropy(logits, goal)
        gradients = torch.autograd.grad(loss, weights)
        stored = [g if is_in_out(m) else g.mT for m, g in zip(modules, gradients, strict=True)]
        expected = torch.cat(stored, 1).double()  # (d_in, d_out)
        x, delta = (part[layer].to(expected.device).double() for part in (factors.x, factors.delta))
        return relative_difference(x.mT @ delta, expected)


def relative_difference(got: Tensor, expected: Tensor) -> float:
    """max |got - expected| / max |expected|; 0 where both are zero."""
    difference, largest = (got - expected).abs().max(), expected.abs().max()
    return 0.0 if difference == 0 else (difference / largest).item()


def can_be_checked(model: LanguageModel, matrix: str = "ff2") -> bool:
    """Whether the matrix's weights are kept as numbers that autograd can differentiate."""
    return all(has_plain_weight(module) for module in model.modules(matrix, model.n_layers // 2))


def has_plain_weight(module: nn.Module) -> bool:
    weight = module._parameters.get("weight")
    return weight is not None and weight.is_floating_point()


def is_in_out(module: nn.Module) -> bool:
    """Whether the module stores its weight as (d_in, d_out)."""
    return weight_in_out(module) is module.weight


@contextmanager
def differentiable(modules: tuple[nn.Module, ...]) -> Iterator[list[Tensor]]:
    """These modules with a leaf that shares their weight's memory in its place; use it in a turn.

    The weight itself, frozen as it is, is put back however the block ends.
    """
    kept = [module.weight for module in modules]
    leaves = [nn.Parameter(weight.detach()) for weight in kept]
    try:
        for module, leaf in zip(modules, leaves, strict=True):
            module.weight = leaf
        yield leaves
    finally:
        for module, weight in zip(modules, kept, strict=True):
            module.weight = weight
