"""How well an edit did on a CounterFact record: argmax accuracies, as in the paper's Table 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch

from core.model.edited import turn
from core.model.edits import Edit
from core.model.forcing import forced_ids, padded
from core.model.language_model import LanguageModel


class Record(Protocol):
    """A fact and its rewrite, as core.Record is."""

    prompt: str
    subject: str
    target_new: str
    target_true: str
    paraphrases: tuple[str, ...]
    neighbours: tuple[str, ...]


SCORES = ("efficacy", "paraphrase", "neighbourhood")


def says(
    model: LanguageModel, asked: Sequence[tuple[str, str]], edits: Sequence[Edit] = ()
) -> list[bool]:
    """Whether each (prompt, target) has every target token as its teacher-forced argmax."""
    ids = [model.encode(prompt) for prompt, _ in asked]
    goals = [model.target(prompt, target) for prompt, target in asked]
    rows = [forced_ids(model, *pair) for pair in zip(ids, goals, strict=True)]
    with turn(model, edits, gradients=False):
        best = model.unembedding(model.read(padded(model, rows))).argmax(-1)
    return [
        best[i, len(own) - 1 : len(row)].tolist() == list(goal.ids)
        for i, (own, row, goal) in enumerate(zip(ids, rows, goals, strict=True))
    ]


def next_tokens(
    model: LanguageModel, prompts: Sequence[str], edits: Sequence[Edit] = ()
) -> list[int]:
    """The most probable token after each prompt."""
    if not prompts:
        return []
    rows = [model.encode(prompt) for prompt in prompts]
    last = torch.tensor([len(row) - 1 for row in rows])
    with turn(model, edits, gradients=False):
        hidden = model.read(padded(model, rows))[torch.arange(len(rows)), last]
        return model.unembedding(hidden).argmax(-1).tolist()


def first_token_scores(
    model: LanguageModel,
    record: Record,
    edits: Sequence[Edit],
    *,
    before: Sequence[int] | None = None,
) -> dict[str, float]:
    """Efficacy, paraphrase and neighbourhood of one record, each the mean over its prompts.

    The target's first token is the most probable one after the prompt and its paraphrases; the
    answer to a neighbour is what it was without the edits: `before`, its `next_tokens`, where they
    are known. NaN where a record has no such prompt.
    """
    asked = (record.prompt, *record.paraphrases)
    wanted = [model.target(prompt, record.target_new).id for prompt in asked]
    before = next_tokens(model, record.neighbours) if before is None else before
    after = next_tokens(model, (*asked, *record.neighbours), edits)
    right = [float(a == b) for a, b in zip(after, (*wanted, *before), strict=True)]
    groups = (right[:1], right[1 : len(asked)], right[len(asked) :])
    return {name: mean(group) for name, group in zip(SCORES, groups, strict=True)}


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def harmonic_mean(values: Sequence[float]) -> float:
    """0 if one of them is 0; what is not a number is left out."""
    known = [value for value in values if value == value]
    if not known or min(known) <= 0:
        return 0.0
    return len(known) / sum(1 / value for value in known)


def known_records(
    model: LanguageModel, records: Sequence[Record], *, batch: int = 16
) -> list[Record]:
    """The records whose prompt the model answers with the true target's first token."""
    right = list(answered(model, records, batch))
    return [record for record, known in zip(records, right, strict=True) if known]


def answered(model: LanguageModel, records: Sequence[Record], batch: int = 16) -> Iterator[bool]:
    """Whether each record's prompt is answered rightly, one by one, in batches of passes."""
    for start in range(0, len(records), batch):
        group = records[start : start + batch]
        answers = next_tokens(model, [record.prompt for record in group])
        for record, answer in zip(group, answers, strict=True):
            yield model.target(record.prompt, record.target_true).id == answer
