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
        self.shift.grad = gradient
        self.optimizer.step()

    def shorten(self) -> None:
        """To clamp's limit."""
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
    going = []
    with turn(model, edits, gradients=False):
        for one in asked:
            parts = [part_of(model, group, one) for group in in_turns(one.templates)]
            going.append(Going(one, parts))
    together: dict[tuple[int, ...], Batch] = {}
    steps = max(one.search.steps for one in going)
    for step in range(steps):
        here = [one for one in going if not one.ended]
        key = tuple(id(one.part(step)) for one in here)
        if key not in together:
            if len(here) < len(going):  # batches of searches that have ended are of no use
                together = {k: b for k, b in together.items() if len(k) == len(here)}
            together[key] = Batch([one.part(step) for one in here])
        batch = together[key]
        with turn(model, edits, gradients=True):
            hidden = passes(model, batch.kept, batch.rows, batch.added([one.shift for one in here]))
            results = batch.logits(model, hidden, [one.goal for one in here])
            losses = [one.loss(step, *pair) for one, pair in zip(here, results, strict=True)]
            left = [i for i, one in enumerate(here) if not one.ended]
            if left:
                gradients = torch.autograd.grad(
                    sum(losses[i] for i in left), [here[i].shift for i in left]
                )
                for i, gradient in zip(left, gradients, strict=True):
                    here[i].step(gradient)
        if not left:
            break
        for i in left:
            here[i].shorten()
        on_step(step + 1, steps)
    return [one.found() for one in going]


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
        self, model: LanguageModel, hidden: Tensor, goals: Sequence
    ) -> list[tuple[Tensor, Tensor | None]]:
        """Each search's at its target's places (row, target token, vocabulary) and its essence's
        (vocabulary,), by one product: the unembedding is read once."""
        states, shapes = [], []
        for part, goal, own in zip(
            self.parts, goals, hidden.split([len(part.rows) for part in self.parts]), strict=True
        ):
            asked = target_states(own[: len(part.lengths)], part.lengths, goal)
            has_essence = len(part.rows) > len(part.lengths)
            states += [asked.flatten(0, 1), *([own[-1:, part.essence_at]] if has_essence else [])]
            shapes.append((asked.shape[:2], has_essence))
        every = iter(
            model.unembedding(torch.cat(states)).float().split([len(part) for part in states])
        )
        return [
            (next(every).unflatten(0, shape), next(every)[0] if has_essence else None)
            for shape, has_essence in shapes
        ]


def divergence(now: Tensor, before: Tensor) -> Tensor:
    """KL of what the subject is, from log p: (vocabulary,) -> a scalar."""
    return (now.exp() * (now - before)).sum()
