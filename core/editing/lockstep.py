"""Searches for shifts, step by step side by side: one pass and one turn a step for all of them.

Each search has its own optimizer, its own limit and its own end; what it finds does not depend on
the others, rounding aside. A pass of few short rows leaves most of a processor or a card idle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from core.editing.search_parts import Asked, Found, Part, in_turns, part_of, resolved
from core.editing.suffix_pass import Kept, joined, run_on
from core.model.capture import check_numbers
from core.model.edited import turn
from core.model.edits import Edit
from core.model.forcing import losses_of, smallest_lead, target_states
from core.model.language_model import LanguageModel
from core.model.tokens import Target

PATIENCE = 10  # steps without a better loss
Passes = Callable[[LanguageModel, Kept, Sequence[tuple[int, ...]], Tensor], Tensor]


class Going:
    """A search that is under way."""

    def __init__(self, asked: Asked, parts: Sequence[Part]) -> None:
        self.goal, self.parts, self.ended = asked.templates.goal, parts, False
        self.search = resolved(asked.search, parts, asked.value)
        self.unit = asked.value.norm()
        with torch.inference_mode(False):
            self.shift = torch.zeros_like(asked.value).requires_grad_()
            self.optimizer = torch.optim.Adam([self.shift], lr=self.search.lr)
        self.reference: Tensor | None = None
        self.best, self.since = float("inf"), 0
        self.seen = [(float("inf"), float("inf"), -float("inf"))] * len(parts)  # NLL, loss, lead

    def part(self, step: int) -> Part:
        return self.parts[step % len(self.parts)]

    def loss(self, step: int, logits: Tensor, essence: Tensor | None) -> Tensor:
        """What the next step lowers; notes whether none is to follow."""
        search, goal = self.search, self.goal
        loss, lead = losses_of(logits, goal).mean(), float(smallest_lead(logits.detach(), goal))
        nll = float(loss.detach())
        if essence is not None:
            essence = essence.log_softmax(-1)
            if self.reference is None:
                self.reference = essence.detach()
            loss = loss + search.kl * divergence(essence, self.reference)
        loss = loss + search.decay * self.shift.norm() / self.unit.square()
        check_numbers(loss)
        self.seen[step % len(self.parts)] = (nll, float(loss.detach()), lead)
        self.ended = step == search.steps - 1 or all(self.enough(*last[1:]) for last in self.seen)
        now = sum(last[0] for last in self.seen) / len(self.seen)
        self.best, self.since = (now, 0) if now < 0.99 * self.best else (self.best, self.since + 1)
        self.ended = self.ended or self.since == PATIENCE
        return loss

    def enough(self, loss: float, lead: float) -> bool:
        margin = self.search.margin
        return loss < self.search.stop_below or (margin is not None and lead > margin)

    def step(self, gradient: Tensor) -> None:
        """Along the gradient, and back to clamp's limit."""
        self.shift.grad = gradient
        self.optimizer.step()
        limit = self.search.clamp * self.unit
        with torch.no_grad():
            self.shift.mul_((limit / self.shift.norm().clamp_min(1e-30)).clamp(max=1))

    def found(self) -> Found:
        return Found(self.shift.detach(), min(last[2] for last in self.seen), self.search)


def lockstep(
    model: LanguageModel,
    asked: Sequence[Asked],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    passes: Passes = run_on,
) -> list[Found]:
    """Searches after one layer, with the same steps at most; one turn a step for all."""
    going = [begun(model, one, edits) for one in asked]
    together: dict[tuple[int, ...], Batch] = {}
    steps = max(one.search.steps for one in going)
    for step in range(steps):
        here = [one for one in going if not one.ended]
        key = tuple(id(one.part(step)) for one in here)
        if key not in together:  # batches of searches that have ended are of no use any more
            together = {k: batch for k, batch in together.items() if len(k) == len(here)}
            together[key] = Batch([one.part(step) for one in here])
        if not one_step(model, together[key], here, step, edits, passes):
            break
        on_step(step + 1, steps)
    return [one.found() for one in going]


def begun(model: LanguageModel, asked: Asked, edits: Sequence[Edit]) -> Going:
    with turn(model, edits, gradients=False):
        return Going(asked, [part_of(model, some, asked) for some in in_turns(asked.templates)])


def one_step(
    model: LanguageModel,
    batch: Batch,
    here: Sequence[Going],
    step: int,
    edits: Sequence[Edit],
    passes: Passes,
) -> bool:
    """Whether any of the searches goes on; those that do have made a step."""
    with turn(model, edits, gradients=True):
        added = batch.added([one.shift for one in here])
        hidden = passes(model, batch.kept, batch.rows, added)
        results = batch.logits(model, hidden, [one.goal for one in here])
        losses = [one.loss(step, *pair) for one, pair in zip(here, results, strict=True)]
        left = [(one, loss) for one, loss in zip(here, losses, strict=True) if not one.ended]
        if not left:
            return False
        shifts = [one.shift for one, _ in left]
        gradients = torch.autograd.grad(sum(loss for _, loss in left), shifts)
        for (one, _), gradient in zip(left, gradients, strict=True):
            one.step(gradient)
    return True


class Batch:
    """The parts of several searches, run together."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.kept = joined([part.kept for part in parts])
        self.rows = tuple(row for part in parts for row in part.rows)
        tokens = self.kept.positions.shape[1]
        shares = [pad(part.share, (0, 0, 0, tokens - part.share.shape[1])) for part in parts]
        self.share = torch.cat(shares)  # (row, token, 1)
        counts = torch.tensor([len(part.rows) for part in parts])
        self.owner = torch.arange(len(parts)).repeat_interleave(counts).to(self.share.device)

    def added(self, shifts: Sequence[Tensor]) -> Tensor:
        """What each kept token gets of its search's shift: (row, token, d_model)."""
        own = torch.stack(list(shifts)).to(self.share.device)[self.owner]
        return self.share * own[:, None]

    def logits(
        self, model: LanguageModel, hidden: Tensor, goals: Sequence[Target]
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Each search's at its target's places (row, target token, vocabulary) and its essence's
        (vocabulary,), by one product: the unembedding is read once."""
        states, shapes = [], []
        own = hidden.split([len(part.rows) for part in self.parts])
        for part, goal, rows in zip(self.parts, goals, own, strict=True):
            asked = target_states(rows[: len(part.lengths)], part.lengths, goal)
            essence = [rows[-1:, part.essence_at]] if len(rows) > len(part.lengths) else []
            states += [asked.flatten(0, 1), *essence]
            shapes.append((asked.shape[:2], bool(essence)))
        logits = model.unembedding(torch.cat(states)).float()
        parts = iter(logits.split([len(some) for some in states]))
        return [
            (next(parts).unflatten(0, shape), next(parts)[0] if essence else None)
            for shape, essence in shapes
        ]


def divergence(now: Tensor, before: Tensor) -> Tensor:
    """KL of what the subject is, from log p: (vocabulary,) -> a scalar."""
    return (now.exp() * (now - before)).sum()
