"""Whether the factors are the gradient: autograd's own gradient of one matrix, beside theirs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.errors import PromptError
from core.gradients.trace import Trace
from core.model.edited import changed, turn
from core.model.edits import Change, matrix_shape


def reconstruction_error(trace: Trace, matrix: str = "ff2", layer: int | None = None) -> float:
    """The largest difference of sum_i x_i^T delta_i from autograd's gradient of the same matrix,
    as a part of that gradient's largest entry (eq. 8). About 1e-7 in float32.

    One more forward and backward pass, with the trace's edits on, down to this matrix alone; by
    default that of the middle layer, where the signals of all prompt tokens meet. What autograd
    differentiates is a change of zeros that is added to the matrix, z = x (W + 0), so that it does
    not matter in how many bits W is kept. 0 for a gradient that is zero in both. Raises PromptError
    for a matrix or layer that the model does not have.
    """
    model, factors = trace.model, trace.matrix(matrix)
    layer = model.n_layers // 2 if layer is None else layer
    if matrix == "block" or not 0 <= layer < model.n_layers:
        raise PromptError(
            f"Choose a matrix other than block, and a layer from 0 to {model.n_layers - 1}."
        )
    with turn(model, trace.edits, gradients=True):
        place = next(model.modules(matrix, layer)[0].parameters()).device
        nothing = torch.zeros(matrix_shape(model, matrix, layer), device=place).requires_grad_()
        with changed(model, [Change(matrix, layer, dense=nothing)]):
            logits = model.unembedding(model.read(model.embed(trace.ids))[:, -1]).float()
        goal = torch.tensor([trace.target.id], device=logits.device)
        (expected,) = torch.autograd.grad(nn.functional.cross_entropy(logits, goal), nothing)
    expected = expected.double()  # (d_in, d_out)
    x, delta = (part[layer].to(place).double() for part in (factors.x, factors.delta))
    return relative_difference(x.mT @ delta, expected)


def relative_difference(got: Tensor, expected: Tensor) -> float:
    """max |got - expected| / max |expected|; 0 where both are zero."""
    difference, largest = (got - expected).abs().max(), expected.abs().max()
    return 0.0 if difference == 0 else (difference / largest).item()
