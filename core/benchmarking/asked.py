"""What is asked about a record: its prompts, and the targets that each is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.benchmarking.templates import negations, reversed_questions
from core.errors import PromptError
from core.model.forcing import forced_ids
from core.model.language_model import LanguageModel
from core.model.tokens import Target
from core.studies.counterfact import Record


@dataclass(frozen=True)
class Question:
    """A prompt as the model reads it. `wanted` is what would be right, or for a negation wrong."""

    kind: str  # one of KINDS
    prompt: str
    ids: tuple[int, ...]
    wanted: Target
    other: Target | None = None  # what `wanted` competes with

    @property
    def targets(self) -> tuple[Target, ...]:
        return (self.wanted,) if self.other is None else (self.wanted, self.other)


def questions_of(model: LanguageModel, record: Record) -> list[Question]:
    """All questions about a record; raises PromptError where its own prompt does not fit.

    A paraphrase, a neighbour or one of the templates that does not fit the model is left out.
    """
    new, true, subject = record.target_new, record.target_true, record.subject
    asked = [("rewrite", record.prompt, new, true)]
    asked += [("paraphrase", prompt, new, true) for prompt in record.paraphrases]
    asked += [("neighbour", prompt, true, new) for prompt in record.neighbours]
    asked += [("negation", prompt, new, None) for prompt in negations(record)]
    asked += [("reversed", prompt, subject, None) for prompt in reversed_questions(record, new)]
    found = []
    for kind, prompt, wanted, other in asked:
        try:
            found.append(question(model, kind, prompt, wanted, other))
        except PromptError:
            if kind == "rewrite":
                raise
    return found


def question(
    model: LanguageModel, kind: str, prompt: str, wanted: str, other: str | None
) -> Question:
    ids = model.encode(prompt)
    targets = [model.target(prompt, text) for text in (wanted, other) if text is not None]
    for target in targets:
        forced_ids(model, ids, target)
    return Question(kind, prompt, ids, *targets)


@dataclass(frozen=True)
class Row:
    """Token ids to run, and where on them each target of a question is answered."""

    ids: tuple[int, ...]
    places: tuple[tuple[int, int], ...]  # (question, which of its targets)


def rows_of(model: LanguageModel, questions: Sequence[Question]) -> list[Row]:
    """The rows in which every target of every question is read, each row once.

    A target of one token is read on another target's row, as it asks no token of its own.
    """
    rows = []
    for number, asked in enumerate(questions):
        forced: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for which, target in enumerate(asked.targets):
            forced.setdefault(forced_ids(model, asked.ids, target), []).append((number, which))
        longest = max(forced, key=len)
        kept = [ids for ids in forced if ids == longest or longest[: len(ids)] != ids]
        for ids, places in forced.items():
            if ids not in kept:
                forced[longest] += places
        rows += [Row(ids, tuple(forced[ids])) for ids in kept]
    return rows
