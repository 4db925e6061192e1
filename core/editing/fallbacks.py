"""What MEMIT and EMMET try, one after the other, until the model says each fact's target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from core.editing.subject_edits import Lead, Templates, first_token_only
from core.model.edits import Change

LESS = (0.1, 0.01, 1e-3)  # of lambda, tried where the target is not the answer


@dataclass(frozen=True)
class Attempt:
    """Changes, their keys by layer, how each fact's target stands after them, what was tried."""

    changes: tuple[Change, ...]
    keys: dict[int, Tensor]  # (d_mlp, fact)
    leads: list[Lead]
    token: str
    weight: float

    @property
    def said(self) -> int:
        """How many bare prompts say their target, and how many of them its first token."""
        return sum(lead.rank[0] for lead in self.leads)


def ways(token: str, adapt: bool) -> list[tuple[str, Callable[[Templates], Templates]]]:
    """What is tried, one after the other: the token, and how much of the target is asked for."""
    if not adapt:
        return [(token, whole_target)]
    tokens = dict.fromkeys([token, "last"])
    return [(place, ask) for ask in (whole_target, first_token_only) for place in tokens]


def whole_target(templates: Templates) -> Templates:
    return templates


def unsaid(
    templates: Sequence[Templates], attempt: Attempt | None, ask: Callable[[Templates], Templates]
) -> list[int]:
    """The facts of which the model does not say yet what `ask` asks for; all without an attempt."""
    return [
        i
        for i, group in enumerate(templates)
        if attempt is None or not attempt.leads[i].meets(ask(group).goal)
    ]


def weights(weight: float, adapt: bool) -> list[float]:
    """The one asked for, then less and less, where the change does not reach its goal."""
    return [weight] + [weight * part for part in LESS if adapt and weight * part >= 1e-6]
