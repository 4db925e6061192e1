"""Prompts around a fact: from its record if it is a known one, else from templates."""

from __future__ import annotations

import random
from dataclasses import dataclass

import core
from app.shell.subjects import known_records

TEMPLATES = ("It is known that {}", "Everyone agrees that {}", "In short, {}")
OTHER_SUBJECTS = ("Angela Merkel", "Mozart", "Lionel Messi", "Apple")
UNRELATED = ("The capital of France is", "Pikachu is a type of", "Jack Dorsey founded")
MOST = 8  # prompts of a kind


@dataclass(frozen=True)
class Related:
    """Prompts that should change with a fact, and prompts that should not."""

    paraphrases: tuple[str, ...]
    neighbours: tuple[str, ...]
    unrelated: tuple[str, ...]
    known: bool  # whether they come from a record


def related(prompt: str, subject: str | None) -> Related:
    record = known_records().get(prompt.strip())
    if record is not None:
        return Related(
            record.paraphrases[:MOST], record.neighbours[:MOST], unrelated_to(record), True
        )
    others = [s for s in OTHER_SUBJECTS if subject and s != subject and subject in prompt]
    return Related(
        tuple(template.format(prompt) for template in TEMPLATES),
        tuple(prompt.replace(subject or "", other) for other in others),
        tuple(p for p in UNRELATED if p != prompt),
        False,
    )


def unrelated_to(record: core.Record) -> tuple[str, ...]:
    """Prompts of other records, with other subjects and answers; the same ones each time."""
    others = [
        other.prompt
        for other in known_records().values()
        if other.subject != record.subject and other.target_true != record.target_true
    ]
    return tuple(random.Random(0).sample(others, 4))
