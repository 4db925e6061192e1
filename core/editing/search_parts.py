"""What a search for a shift is asked for, and the rows that its steps run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.editing.hyperparameters import AUTO
from core.editing.subject_edits import Templates, some_rows
from core.editing.suffix_pass import Kept, keep
from core.model.forcing import forced_ids
from core.model.language_model import LanguageModel

RATE, CLAMP = 0.1, 2.0  # of the residual stream's norm
CONTEXTS_A_STEP = 4  # more take turns, step by step; the bare prompt is in every step


@dataclass(frozen=True)
class Search:
    """How the shift is searched: Adam on NLL + kl KL + decay |shift|^2 / |value|^2."""

    steps: int
    lr: float | str
    kl: float
    decay: float
    clamp: float | str  # of the value's norm
    margin: float | None = None  # stop once the target leads by this much in every context
    stop_below: float = 0.05


@dataclass(frozen=True, eq=False)
class Asked:
    """A search: the vector that, added after `layer` at the subject's last token in every template,
    makes the model say the target. The norm of `value` (d_model,) is clamp's unit.

    With a `direction` u (d_mlp,) the whole change u shift^T is on the layer's FF2, so that each
    token gets (x u) shift, x being its input there.
    """

    templates: Templates
    layer: int
    value: Tensor
    search: Search
    direction: Tensor | None = None


@dataclass(frozen=True)
class Found:
    """A shift (d_model,), by how much the target leads with it, and the numbers it took."""

    shift: Tensor
    lead: float
    search: Search


@dataclass(frozen=True)
class Part:
    """Templates that take one step together; the essence, if it is asked for, is the last row."""

    rows: tuple[tuple[int, ...], ...]  # the target's tokens included
    lengths: tuple[int, ...]  # of the prompts, from the first kept token on
    places: tuple[int, ...]  # of the subject's last token, from the first kept token on
    kept: Kept
    share: Tensor  # (row, token, 1), what part of the shift each kept token gets

    @property
    def essence_at(self) -> int:
        return self.places[-1]


def in_turns(templates: Templates) -> list[Templates]:
    """The bare prompt with a few contexts each, so that a step is cheap and none is left out."""
    others = range(1, len(templates.rows))
    count = max(1, -(-len(others) // CONTEXTS_A_STEP))
    return [some_rows(templates, (0, *others[i::count])) for i in range(count)]


def part_of(model: LanguageModel, templates: Templates, asked: Asked) -> Part:
    """Run some of a search's templates once, and keep what stays as it is. Use it inside `turn`."""
    starts = templates.places
    rows = tuple(forced_ids(model, row, templates.goal) for row in templates.rows)
    if asked.search.kl:
        rows += (templates.essence[: templates.essence_place + 1],)
        starts += (templates.essence_place,)
    first = (0,) * len(rows) if asked.direction is not None else starts
    kept = keep(model, rows, first, asked.layer)
    lengths = zip(templates.rows, first, strict=False)
    return Part(
        rows=rows,
        lengths=tuple(len(row) - begin for row, begin in lengths),
        places=tuple(start - begin for start, begin in zip(starts, first, strict=True)),
        kept=kept,
        share=shares(kept, asked.direction),
    )


def shares(kept: Kept, direction: Tensor | None) -> Tensor:
    """What part of the shift each kept token gets: (row, token, 1)."""
    if direction is not None:
        return (kept.inputs.float() @ direction.to(kept.inputs.device))[..., None]
    share = torch.zeros(*kept.positions.shape, 1, device=kept.residual.device)
    share[:, 0] = 1
    return share


def resolved(search: Search, parts: Sequence[Part], value: Tensor) -> Search:
    """With numbers in place of "auto": a step moves RATE of the residual stream, all CLAMP times.

    The median over the rows: the first token's residual stream is often far longer than others'.
    """
    norms = [
        part.kept.residual[range(len(part.places)), part.places].float().norm(dim=-1)
        for part in parts
    ]
    scale = torch.cat(norms).median().item()
    lr, clamp = search.lr, search.clamp
    return replace(
        search,
        lr=RATE * scale / len(value) ** 0.5 if lr == AUTO else lr,
        clamp=CLAMP * scale / value.norm().item() if clamp == AUTO else clamp,
    )
