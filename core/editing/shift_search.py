"""The shift of the residual stream at the subject's last token that makes the model say the target:
what ROME and MEMIT search for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.editing.hyperparameters import AUTO
from core.editing.subject_edits import Templates, some_rows
from core.editing.suffix_pass import Kept, keep, run_on
from core.model.capture import check_numbers
from core.model.edited import turn
from core.model.edits import Edit
from core.model.forcing import forced_ids, losses_of, smallest_lead, target_states
from core.model.language_model import LanguageModel
from core.model.tokens import Target

RATE, CLAMP = 0.1, 2.0  # of the residual stream's norm
PATIENCE = 10  # steps without a better loss
CONTEXTS_A_STEP = 4  # more take turns, step by step; the bare prompt is in every step
Passes = Callable[[LanguageModel, Kept, Sequence[tuple[int, ...]], Tensor], Tensor]


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


@dataclass(frozen=True)
class Found:
    """A shift (d_model,), by how much the target leads with it, and the numbers it took."""

    shift: Tensor
    lead: float
    search: Search


_made: ContextVar[dict[tuple, tuple[Found, float]] | None] = ContextVar("made", default=None)


@contextmanager
def shared_searches() -> Iterator[None]:
    """In the block no search is made twice: what one method has found serves the next."""
    before = _made.set({})
    try:
        yield
    finally:
        _made.reset(before)


def find_shift(
    model: LanguageModel,
    templates: Templates,
    layer: int,
    value: Tensor,
    search: Search,
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    direction: Tensor | None = None,
    passes: Passes = run_on,
) -> Found:
    """The vector that, added after the layer at the subject's last token in every template, makes
    the model say the target. One turn a step; the norm of `value` (d_model,) is clamp's unit.

    With a `direction` u (d_mlp,) the whole change u shift^T is on the layer's FF2, so that each
    token gets (x u) shift, x being its input there.
    """

    def searched() -> Found:
        return search_anew(
            model, templates, layer, value, search, edits, on_step, direction, passes
        )

    shared = _made.get()
    if shared is None or direction is not None:
        return searched()
    norm = float(value.norm())
    free = search.clamp == AUTO and search.decay == 0  # then the value's norm does not matter
    key = (model, templates, layer, search, tuple(edits), None if free else norm)
    if key not in shared:
        shared[key] = searched(), norm
        return shared[key][0]
    found, its_norm = shared[key]
    on_step(search.steps, search.steps)
    return replace(found, search=replace(found.search, clamp=found.search.clamp * its_norm / norm))


def search_anew(
    model: LanguageModel,
    templates: Templates,
    layer: int,
    value: Tensor,
    search: Search,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    direction: Tensor | None,
    passes: Passes,
) -> Found:
    """`find_shift`, made anew."""
    goal, parts = templates.goal, []
    with turn(model, edits, gradients=False):
        for part in in_turns(templates):
            parts.append(part_of(model, part, layer, direction, with_essence=bool(search.kl)))
    search = resolved(search, parts, value)
    with torch.inference_mode(False):
        shift = torch.zeros_like(value).requires_grad_()
        optimizer = torch.optim.Adam([shift], lr=search.lr)
    limit, reference, best, since = search.clamp * value.norm(), None, float("inf"), 0
    seen = [(float("inf"), float("inf"), -float("inf"))] * len(parts)  # NLL, loss, lead
    for step in range(search.steps):
        part = parts[step % len(parts)]
        with turn(model, edits, gradients=True):
            hidden = passes(model, part.kept, part.rows, part.share * shift.to(part.share.device))
            logits, essence = logits_of(model, hidden, part, goal, bool(search.kl))
            loss, lead = losses_of(logits, goal).mean(), float(smallest_lead(logits.detach(), goal))
            nll = float(loss.detach())
            if search.kl:
                essence = essence.log_softmax(-1)
                reference = essence.detach() if reference is None else reference
                loss = loss + search.kl * divergence(essence, reference)
            loss = loss + search.decay * shift.norm() / value.norm().square()
            check_numbers(loss)
            seen[step % len(parts)] = (nll, float(loss.detach()), lead)
            if all(enough(search, *last[1:]) for last in seen) or step == search.steps - 1:
                break
            now = sum(last[0] for last in seen) / len(seen)
            best, since = (now, 0) if now < 0.99 * best else (best, since + 1)
            if since == PATIENCE:
                break
            (shift.grad,) = torch.autograd.grad(loss, shift)
            optimizer.step()
        with torch.no_grad():
            shift.mul_((limit / shift.norm().clamp_min(1e-30)).clamp(max=1))
        on_step(step + 1, search.steps)
    return Found(shift.detach(), min(last[2] for last in seen), search)


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


def part_of(
    model: LanguageModel,
    templates: Templates,
    layer: int,
    direction: Tensor | None,
    *,
    with_essence: bool,
) -> Part:
    """Run the templates once and keep what the search leaves as it is. Use it inside `turn`."""
    starts = templates.places
    rows = tuple(forced_ids(model, row, templates.goal) for row in templates.rows)
    if with_essence:
        rows += (templates.essence[: templates.essence_place + 1],)
        starts += (templates.essence_place,)
    first = (0,) * len(rows) if direction is not None else starts
    kept = keep(model, rows, first, layer)
    lengths = zip(templates.rows, first, strict=False)
    return Part(
        rows=rows,
        lengths=tuple(len(row) - begin for row, begin in lengths),
        places=tuple(start - begin for start, begin in zip(starts, first, strict=True)),
        kept=kept,
        share=shares(kept, direction),
    )


def logits_of(
    model: LanguageModel, hidden: Tensor, part: Part, goal: Target, with_essence: bool
) -> tuple[Tensor, Tensor | None]:
    """At the target's places (row, target token, vocabulary), and the essence's (vocabulary,), by
    one product: the unembedding is read once."""
    states = target_states(hidden[: len(part.lengths)], part.lengths, goal)
    if not with_essence:
        return model.unembedding(states).float(), None
    every = torch.cat([states.flatten(0, 1), hidden[-1:, part.essence_at]])
    logits = model.unembedding(every).float()
    return logits[:-1].unflatten(0, states.shape[:2]), logits[-1]


def enough(search: Search, loss: float, lead: float) -> bool:
    return loss < search.stop_below or (search.margin is not None and lead > search.margin)


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


def divergence(now: Tensor, before: Tensor) -> Tensor:
    """KL of what the subject is, from log p: (vocabulary,) -> a scalar."""
    return (now.exp() * (now - before)).sum()
