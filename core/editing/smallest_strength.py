"""The smallest strength of a change that makes the target the answer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

DECADES = 2  # the first grid reaches this far below and above its scale
FIRST_GRID = 17
REFINED_GRID = 9
REFINEMENTS = 2
LEAD = 0.05  # nats that the target must be ahead, so that rounding cannot take its place


def smallest_strength(works: Callable[[Tensor], Tensor], scale: float) -> float | None:
    """The smallest strength that works, to about 1%; 0.0 if nothing is needed; None if none works.

    works: (strength,) -> (strength,) bool, one batched pass. It is called at most three times:
    on a geometric grid around `scale`, then between the last strength that fails and the first
    that works.
    """
    grid = scale * torch.logspace(-DECADES, DECADES, FIRST_GRID, dtype=torch.float64)
    grid = torch.cat([torch.zeros(1, dtype=torch.float64), grid])
    good = works(grid)
    if not good.any():
        return None
    first = int(good.int().argmax())
    if first == 0:
        return 0.0
    low, high = float(grid[first - 1]), float(grid[first])
    for _ in range(REFINEMENTS):
        grid = torch.linspace(low, high, REFINED_GRID + 2, dtype=torch.float64)[1:-1]
        bounds = [low, *grid.tolist(), high]
        good = works(grid)
        first = int(good.int().argmax()) + 1 if good.any() else len(grid) + 1
        low, high = bounds[first - 1], bounds[first]
    return high


def leads(logits: Tensor, wanted: int, lead: float = LEAD) -> Tensor:
    """Whether the wanted token is the answer of each row, by `lead` nats:
    (row, vocabulary) -> (row,)."""
    others = logits.index_fill(1, torch.tensor([wanted], device=logits.device), float("-inf"))
    return logits[:, wanted] >= others.amax(1) + lead
