"""How well a model still is with its edits: an alarm for the ledger, and what to do about it.

Perplexity on a text that has nothing to do with the edits is a sufficient alarm for an edit that
wrecks a model ("butterfly effect", Yang et al. 2024, arXiv 2402.09656); answers to unrelated
prompts tell of damage that is not yet that great.
"""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from core.editing.edit_strength import mean_perplexity, text_ids
from core.model.catalog import BUILTIN
from core.model.edited import turn
from core.model.edits import Edit, check_fits
from core.model.forcing import padded
from core.model.language_model import LanguageModel

DATA = Path(__file__).resolve().parents[2] / "data"
UNRELATED, FACTS, RELATIONS = DATA / "unrelated.txt", DATA / "facts.csv", DATA / "relations.json"
ASKED = 30  # prompts
POOL, READ = 90, 25  # facts among which a built-in model is asked, and others of which it reads
# From the healthiest: the perplexity may be this many times the original's, and at least this
# share of the answers must stay.
LIMITS = (("green", 1.1, 0.9), ("amber", 1.5, 0.7))


@dataclass(frozen=True)
class Health:
    """What edits have done to a model as a whole, and which of them to switch off.

    `colour` is "green" where the perplexity is at most 1.1 times the original's and at least 90%
    of the answers stay, "amber" up to 1.5 times and 70%, else "red". Where it is not green,
    `alone` is the place of the one edit without which all the others are green, if there is one;
    else `last_to_switch_off` says how many of the last edits to switch off for that (all of them,
    at worst). Both were measured.
    """

    perplexity: float  # with the edits; infinite where they break the model
    original_perplexity: float
    stay: int  # unrelated prompts whose most probable next token is the original's
    asked: int
    last_to_switch_off: int = 0
    alone: int | None = None

    @property
    def ratio(self) -> float:
        return self.perplexity / self.original_perplexity

    @property
    def kept(self) -> float:
        """The share of the unrelated prompts whose answer stays; NaN where none was asked."""
        return self.stay / self.asked if self.asked else math.nan

    @property
    def colour(self) -> str:
        for colour, ratio, share in LIMITS:
            if self.ratio <= ratio and not self.kept < share:
                return colour
        return "red"


@dataclass(frozen=True, eq=False)
class Ground:
    """What the original model says, measured once: of all candidates, the surest answer first."""

    ids: tuple[int, ...]  # of the text
    perplexity: float
    prompts: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    answers: tuple[int, ...]


_grounds: WeakKeyDictionary[LanguageModel, Ground] = WeakKeyDictionary()


def health(
    model: LanguageModel,
    edits: Sequence[Edit],
    *,
    on_step: Callable[[int, int], None] | None = None,
    on_measured: Callable[[Health], None] | None = None,
) -> Health:
    """How well the model is with these edits on, in their order; see Health.

    Perplexity is that of the short bundled text. Of the bundled unrelated prompts the 30 are asked
    whose answers the original model is surest of; a built-in model is asked facts that it has
    learned. Prompts that name a subject of an edit are left out. What is the original model's is
    measured once for a model.

    The lock is held for one pass at a time. Where the model is not well, each edit is left out
    once, the newest first, and then more and more of the last ones, until the rest is green:
    `on_measured(health)` is called before that, with what is known then. `on_step(done, total)`
    is called after each measurement, of which `total` are made at most, and may raise Cancelled.
    Raises EditError for an edit that does not fit, and ModelError.
    """
    check_fits(model, edits)
    edits, steps = tuple(edits), 0
    ground = ground_of(model)
    asked = prompts_beside(ground, edits)

    def measure(some: Sequence[Edit]) -> Health:
        nonlocal steps
        found = measured(model, ground, asked, some)
        steps += 1
        if on_step is not None:
            on_step(steps, max(1, 2 * len(edits) - 1))
        return found

    found = measure(edits)
    if on_measured is not None:
        on_measured(found)
    return found if found.colour == "green" else advised(found, edits, measure)


def advised(
    found: Health, edits: tuple[Edit, ...], measure: Callable[[Sequence[Edit]], Health]
) -> Health:
    """The same health with what to switch off."""
    last = len(edits) - 1
    for alone in range(last, -1, -1):
        others = edits[:alone] + edits[alone + 1 :]
        if not others or measure(others).colour == "green":
            return replace(found, alone=alone, last_to_switch_off=int(alone == last))
    for off in range(2, len(edits)):
        if measure(edits[:-off]).colour == "green":
            return replace(found, last_to_switch_off=off)
    return replace(found, last_to_switch_off=len(edits))


def measured(
    model: LanguageModel, ground: Ground, asked: Sequence[int], edits: Sequence[Edit]
) -> Health:
    perplexity = mean_perplexity(model, ground.ids, edits)
    answers, _ = said(model, [ground.rows[i] for i in asked], edits)
    stay = sum(now == ground.answers[i] for i, now in zip(asked, answers, strict=True))
    return Health(
        perplexity=perplexity if math.isfinite(perplexity) else math.inf,
        original_perplexity=ground.perplexity,
        stay=stay,
        asked=len(asked),
    )


def prompts_beside(ground: Ground, edits: Sequence[Edit]) -> list[int]:
    """The places of the surest prompts that name no subject of an edit."""
    facts = {fact for edit in edits for fact in edit.facts}
    subjects = {fact.subject for fact in facts if fact.subject}
    prompts = {fact.prompt.strip() for fact in facts}
    beside = [
        i
        for i, prompt in enumerate(ground.prompts)
        if prompt not in prompts and not any(subject in prompt for subject in subjects)
    ]
    return beside[:ASKED]


def ground_of(model: LanguageModel) -> Ground:
    if model not in _grounds:
        learned = model.name in BUILTIN
        ids = text_ids(model, learned_text() if learned else None)
        prompts = learned_prompts() if learned else general_prompts()
        pairs = [(prompt, model.encode(prompt)) for prompt in prompts]
        pairs = [(prompt, row) for prompt, row in pairs if len(row) <= model.context_length]
        answers, chances = said(model, [row for _, row in pairs], ())
        surest = sorted(range(len(pairs)), key=lambda i: -chances[i])
        _grounds[model] = Ground(
            ids=ids,
            perplexity=mean_perplexity(model, ids, ()),
            prompts=tuple(pairs[i][0] for i in surest),
            rows=tuple(pairs[i][1] for i in surest),
            answers=tuple(answers[i] for i in surest),
        )
    return _grounds[model]


def said(
    model: LanguageModel, rows: Sequence[tuple[int, ...]], edits: Sequence[Edit]
) -> tuple[list[int], list[float]]:
    """The most probable next token of each row and its probability, in one pass; a token of -1
    where the model gives no numbers."""
    if not rows:
        return [], []
    places = torch.tensor([len(row) - 1 for row in rows])
    with turn(model, edits, gradients=False):
        hidden = model.read(padded(model, rows))
        logits: Tensor = model.unembedding(hidden[torch.arange(len(rows)), places]).float()
    chances, answers = logits.softmax(-1).max(-1)  # (row,) each
    answers = answers.where(chances.isfinite(), torch.full_like(answers, -1))
    return answers.tolist(), chances.tolist()


@cache
def general_prompts() -> tuple[str, ...]:
    return tuple(UNRELATED.read_text(encoding="utf-8").splitlines())


def learned_prompts() -> tuple[str, ...]:
    return tuple(prompt for prompt, _ in learned_facts()[READ:])


def learned_text() -> str:
    """What the built-in models were trained on: facts as sentences, one after the other."""
    return " ".join(f"{prompt} {answer}." for prompt, answer in learned_facts()[:READ])


@cache
def learned_facts() -> tuple[tuple[str, str], ...]:
    """Prompts and answers of all kinds that the built-in models know, the same ones each time."""
    relations = json.loads(RELATIONS.read_text(encoding="utf-8"))["relations"]
    with FACTS.open(encoding="utf-8", newline="") as file:
        rows = random.Random(0).sample(list(csv.DictReader(file)), READ + POOL)
    return tuple(
        (relations[r["relation"]]["phrasings"][0].format(r["subject"]), r["object"]) for r in rows
    )
