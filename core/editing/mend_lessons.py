"""A model's facts as lessons for MEND's network: in tokens, and run up to the edited layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.editing.mend_facts import TrainingFact
from core.editing.mend_network import Site
from core.editing.upper_layers import ROWS, UpperLayers, upper_layers
from core.model.capture import capture, check_numbers
from core.model.edited import changed, turn
from core.model.edits import Change
from core.model.forcing import forced_ids
from core.model.language_model import LanguageModel

PLACES = 2  # of an unrelated text's last tokens, at which nothing may change
Row = tuple[int, ...]


@dataclass(frozen=True)
class Lesson:
    """A fact in tokens. Each row is read whole; its goal's tokens are what its last ones say."""

    rows: tuple[Row, ...]  # the prompt itself, then in other words; forced
    goals: tuple[Row, ...]
    unrelated: tuple[Row, ...]


@dataclass(frozen=True)
class School:
    """Lessons for a model, all that does not change from step to step computed."""

    upper: UpperLayers
    sites: tuple[Site, ...]
    lessons: tuple[Lesson, ...]
    before: Mapping[Row, Tensor] = field(repr=False)  # row -> (place, d_model), final norm's output


def lesson_of(model: LanguageModel, fact: TrainingFact) -> Lesson:
    """The tokens of a fact; raises PromptError for what the model cannot read."""
    rows, goals = [], []
    for prompt in (fact.prompt, *fact.outer):
        goal = model.target(prompt, fact.target)
        rows.append(forced_ids(model, model.encode(prompt), goal))
        goals.append(goal.ids)
    return Lesson(tuple(rows), tuple(goals), tuple(model.encode(text) for text in fact.unrelated))


def school_of(
    model: LanguageModel,
    facts: Sequence[TrainingFact],
    sites: tuple[Site, ...],
    on_batch: Callable[[int, int], None],
) -> School:
    """Run every row once. `on_batch(batches done, all)` may raise Cancelled."""
    lessons = tuple(lesson_of(model, fact) for fact in facts)
    rows = [row for lesson in lessons for row in (*lesson.rows, *lesson.unrelated)]
    first = min(layer for _, layer in sites)
    upper = upper_layers(model, rows, first, on_batch=on_batch)
    before: dict[Row, Tensor] = {}
    kept = sorted({row for lesson in lessons for row in lesson.unrelated}, key=len)
    for i in range(0, len(kept), ROWS):
        batch = kept[i : i + ROWS]
        with turn(model, (), gradients=False):
            hidden = upper.run(batch).cpu()
        for row, state in zip(batch, hidden, strict=True):
            before[row] = state[: len(row)][-PLACES:].clone()
    return School(upper, sites, lessons, before)


def gradient_steps(school: School, lesson: Lesson) -> dict[Site, Change]:
    """-dL/dW of the sites for a lesson's prompt, as `descent` gives it: u = x^T, v = -delta^T.
    Use it inside `turn`, with gradients."""
    model, row, goal = school.upper.model, lesson.rows[0], lesson.goals[0]
    matrices = tuple(dict.fromkeys(matrix for matrix, _ in school.sites))
    layers = sorted({layer for _, layer in school.sites})
    with capture(model, matrices, layers) as seen:
        hidden = school.upper.run([row], gradients=True)
    loss = target_loss(model.unembedding(hidden[0, -len(goal) :]).float(), goal)
    check_numbers(loss)
    deltas = torch.autograd.grad(loss, [seen[site].outputs[0] for site in school.sites])
    steps = {}
    for site, delta in zip(school.sites, deltas, strict=True):
        x = seen[site].x.detach()[0].float().cpu()
        steps[site] = Change(*site, u=x.mT, v=-delta[0].float().cpu().mT)
    return steps


def outcome(
    school: School,
    rows: Sequence[Row],
    goals: Sequence[Row],
    unrelated: Sequence[Row],
    changes: Sequence[Change],
) -> tuple[Tensor, Tensor]:
    """What a model with these changes says: NLL of each row's goal, in nats, (row,), and KL(before
    || after) of each unrelated text, the mean over its places, (text,). Use it inside `turn`."""
    model, all_rows = school.upper.model, (*rows, *unrelated)
    with changed(model, changes):
        hidden = school.upper.run(all_rows)
    ends = [
        hidden[i, len(row) - len(goal) : len(row)]
        for i, (row, goal) in enumerate(zip(rows, goals, strict=True))
    ]
    after = [hidden[len(rows) + i, : len(row)][-PLACES:] for i, row in enumerate(unrelated)]
    logits = model.unembedding(torch.cat([*ends, *after])).float()
    check_numbers(logits)
    own, others = logits.split([sum(map(len, goals)), sum(map(len, after))])
    losses = [
        target_loss(part, goal)
        for part, goal in zip(own.split([len(goal) for goal in goals]), goals, strict=True)
    ]
    return torch.stack(losses), divergences(school, unrelated, others)


def divergences(school: School, unrelated: Sequence[Row], logits: Tensor) -> Tensor:
    """KL of each text at its last places, from what the model said before: (text,)."""
    states = [school.before[row] for row in unrelated]
    with torch.no_grad():
        unembedding = school.upper.model.unembedding
        old = torch.cat(states).to(unembedding.weight.device, unembedding.weight.dtype)
        before = unembedding(old).float().log_softmax(-1)
    each = (before.exp() * (before - logits.log_softmax(-1))).sum(-1)
    return torch.stack([part.mean() for part in each.split([len(state) for state in states])])


def target_loss(logits: Tensor, goal: Row) -> Tensor:
    """-log p of a target's tokens, their mean: logits (target token, vocabulary)."""
    wanted = torch.tensor(goal, device=logits.device)
    return torch.nn.functional.cross_entropy(logits, wanted)
