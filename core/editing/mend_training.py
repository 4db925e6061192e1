"""Training MEND's network for a model (Mitchell et al. 2022), on the last layers alone.

A step: take a fact's x and delta, make the edit, and learn from what the edited model says: the
target after other phrasings, and everything as before in unrelated texts. The model's weights are
frozen, and no gradient flows through x and delta. What lies below the edited layers is computed
once for each text and kept.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from core.editing.hyperparameters import check_whole
from core.editing.mend_facts import TrainingFact, training_facts
from core.editing.mend_lessons import Lesson, School, gradient_steps, outcome, school_of
from core.editing.mend_network import MendNetwork, Site, usual_sites
from core.editing.mend_start import first_network
from core.editing.upper_layers import ROWS
from core.errors import EditError
from core.model.edited import turn
from core.model.language_model import LanguageModel

STEPS = 3000
RANK = 32
TARGET_WEIGHT = 0.1  # beside 1.0 for what must stay
LEARNING_RATE = 1e-3
SIZE_LEARNING_RATE = 1e-2  # of alpha, which is learned through softplus
ACCUMULATE = 1  # steps before the network moves
CLIP = 1.0
OUTER, UNRELATED = 2, 4  # rows of one step, beside the prompt itself
WARM_UP = 100  # facts whose x and delta fix the normalisers
SIZED, SIZES = 12, (4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 0.06, 0.03)  # facts, multiples of alpha
MOST_FACTS = 1500  # whose rows are kept
TIMED = 3  # steps of an estimate
LOGGED = 100  # steps
log = logging.getLogger(__name__)
FIXED = ("_mean", "_std")
OnStep = Callable[[int, int], None]

__all__ = ["train_mend", "training_estimate", "training_facts"]


def train_mend(
    model: LanguageModel,
    facts: Sequence[TrainingFact],
    *,
    steps: int = STEPS,
    rank: int = RANK,
    sites: Sequence[Site] | None = None,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> MendNetwork:
    """A network that was trained for the model on these facts, the same for the same seed.

    `steps` edits are made and learned from, ACCUMULATE of them for each move of the network. Of
    more facts than `facts_used`, so many are drawn. `sites` are the matrices it edits, by default
    all of the last three layers' MLPs. `on_step(done, total)` may raise Cancelled: nothing is kept
    then. The model is locked for one step at a time. Raises EditError, PromptError and ModelError.
    """
    check_whole("steps", steps, 1, 10_000_000)
    check_whole("rank", rank, 1, 10_000)
    if not facts:
        raise EditError("There is no fact to train MEND on. Give at least one.")
    report, begun = on_step or (lambda done, total: None), time.perf_counter()
    chance = random.Random(seed)
    drawn = chance.sample(list(facts), facts_used(len(facts), steps))
    places = tuple(usual_sites(model) if sites is None else sites)
    school = school_of(model, drawn, places, lambda done, total: report(done, total + steps))
    batches = -(-len(school.upper.rows) // ROWS)
    network = first_network(model, places, warm_up(school), rank=rank, seed=seed)
    network = at_best_size(school, network)
    learner = Learner(school, network, steps)
    for step, lesson in enumerate(endless(school.lessons, chance, steps), 1):
        learner.step(lesson, chance)
        report(batches + step, batches + steps)
    made = {"steps": steps, "facts": len(drawn), "rank": rank, "seed": seed}
    made["seconds"] = round(time.perf_counter() - begun, 1)
    return replace(learner.network(), made=made)


def facts_used(facts: int, steps: int) -> int:
    """How many facts are learned from: each three times, so that its rows are worth their time."""
    return min(facts, MOST_FACTS, max(20, steps // 3))


def endless(lessons: Sequence[Lesson], chance: random.Random, steps: int):
    """So many lessons: all in a drawn order, then all in another one."""
    order: list[Lesson] = []
    for _ in range(steps):
        order = order or chance.sample(lessons, len(lessons))
        yield order.pop()


def warm_up(school: School) -> list[dict]:
    """The gradient steps of the first facts."""
    steps = []
    for lesson in school.lessons[:WARM_UP]:
        with turn(school.upper.model, (), gradients=True):
            steps.append(gradient_steps(school, lesson))
    return steps


def at_best_size(school: School, network: MendNetwork) -> MendNetwork:
    """The first network with the multiple of alpha whose loss is least on a few facts: how strong
    an edit must be differs from model to model."""

    def loss(factor: float) -> float:
        tried, total = times(network, factor), 0.0
        for lesson in school.lessons[:SIZED]:
            with turn(school.upper.model, (), gradients=True):
                target, kept = losses_of(school, tried, lesson, random.Random(0))
                total += float(TARGET_WEIGHT * target + kept)
        return total

    return times(network, min(SIZES, key=loss))


def times(network: MendNetwork, factor: float) -> MendNetwork:
    alpha = factor * network.tensors["alpha"]
    return replace(network, tensors={**network.tensors, "alpha": alpha})


class Learner:
    """The network's parameters while they are learned."""

    def __init__(self, school: School, first: MendNetwork, steps: int) -> None:
        self.school, self.first, self.steps, self.done = school, first, steps, 0
        self.parameters = {
            name: tensor.clone().requires_grad_()
            for name, tensor in first.tensors.items()
            if not name.endswith(FIXED)
        }
        # alpha = -softplus(a): descent, whatever is learned.
        size = -first.tensors["alpha"].double()
        self.parameters["alpha"] = size.expm1().log().float().requires_grad_()
        rest = [tensor for name, tensor in self.parameters.items() if name != "alpha"]
        self.optimizer = torch.optim.Adam(
            [
                {"params": rest, "lr": LEARNING_RATE},
                {"params": [self.parameters["alpha"]], "lr": SIZE_LEARNING_RATE},
            ]
        )
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.losses: list[tuple[float, float]] = []  # of each step: NLL and KL, in nats

    def tensors(self) -> dict[str, Tensor]:
        alpha = -torch.nn.functional.softplus(self.parameters["alpha"])
        return {**self.first.tensors, **self.parameters, "alpha": alpha}

    def network(self) -> MendNetwork:
        """As it is now."""
        tensors = {name: tensor.detach().clone() for name, tensor in self.tensors().items()}
        return replace(self.first, tensors=tensors)

    def step(self, lesson: Lesson, chance: random.Random) -> None:
        """One edit and what is learned from it; one turn on the model."""
        with turn(self.school.upper.model, (), gradients=True):
            target, kept = losses_of(self.school, self.tensors_as_network(), lesson, chance)
            ((TARGET_WEIGHT * target + kept) / ACCUMULATE).backward()
            self.losses.append((target.item(), kept.item()))
        self.done += 1
        if self.done % ACCUMULATE == 0 or self.done == self.steps:
            self.move()
        if self.done % LOGGED == 0:
            told, kept = (sum(part) / LOGGED for part in zip(*self.losses[-LOGGED:], strict=True))
            log.info("step %d: NLL %.3f, KL %.4f nats", self.done, told, kept)

    def tensors_as_network(self) -> MendNetwork:
        return replace(self.first, tensors=self.tensors())

    def move(self) -> None:
        """One step of Adam; its rate goes down in a straight line, to a tenth."""
        torch.nn.utils.clip_grad_norm_(list(self.parameters.values()), CLIP)
        left = 1 - 0.9 * self.done / self.steps
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * left
        self.optimizer.step()
        self.optimizer.zero_grad()


def losses_of(
    school: School, network: MendNetwork, lesson: Lesson, chance: random.Random
) -> tuple[Tensor, Tensor]:
    """The mean NLL of the target after the prompt and a few other phrasings, and the mean KL of a
    few unrelated texts, in nats."""
    others = list(range(1, len(lesson.rows)))
    chosen = [0, *chance.sample(others, min(OUTER, len(others)))]
    unrelated = chance.sample(lesson.unrelated, min(UNRELATED, len(lesson.unrelated)))
    changes = network.edit(list(gradient_steps(school, lesson).values()))
    losses, divergences = outcome(
        school,
        [lesson.rows[i] for i in chosen],
        [lesson.goals[i] for i in chosen],
        unrelated,
        changes,
    )
    return losses.mean(), divergences.mean()


def training_estimate(
    model: LanguageModel, facts: Sequence[TrainingFact], *, steps: int = STEPS
) -> float:
    """How many seconds `train_mend` will take, from a few timed rows and steps."""
    few = list(facts)[: 2 * TIMED]
    begun = time.perf_counter()
    school = school_of(model, few, usual_sites(model), lambda done, total: None)
    network = first_network(model, school.sites, warm_up(school), rank=RANK, seed=0)
    prepared = (time.perf_counter() - begun) / len(few)
    learner, chance = Learner(school, network, 10 * TIMED), random.Random(0)
    learner.step(school.lessons[0], chance)
    begun = time.perf_counter()
    for lesson in school.lessons[:TIMED]:
        learner.step(lesson, chance)
    step = (time.perf_counter() - begun) / min(TIMED, len(school.lessons))
    return prepared * facts_used(len(facts), steps) + step * steps
