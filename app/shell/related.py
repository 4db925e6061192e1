"""Prompts around a fact: from its record if it is a known one, else from templates."""

from __future__ import annotations

import csv
import json
import random
from dataclasses import dataclass
from functools import cache

import core
from app.shell.subjects import FACTS, known_records

RELATIONS = FACTS.parent / "relations.json"
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


def other_prompt(prompt: str, subject: str | None) -> str:
    """The prompt with another subject, of which the same can be said but with another answer;
    empty if none is known."""
    if not subject or subject not in prompt:
        return ""
    phrasing, facts = prompt.strip().replace(subject, "{}"), known_facts()
    for relation in sorted(facts, key=lambda name: phrasing not in phrasings()[name]):
        own = facts[relation].get(subject)
        others = [one for one, answer in facts[relation].items() if answer != own]
        if own is not None and others:
            words = len(subject.split())
            return prompt.replace(
                subject, min(others, key=lambda one: abs(len(one.split()) - words))
            )
    return ""


@cache
def phrasings() -> dict[str, frozenset[str]]:
    """The sentences that ask for each relation, with {} for the subject."""
    relations = json.loads(RELATIONS.read_text(encoding="utf-8"))["relations"]
    return {name: frozenset(relation["phrasings"]) for name, relation in relations.items()}


@cache
def known_facts() -> dict[str, dict[str, str]]:
    """By relation, the answer for each subject that the built-in models learned."""
    facts: dict[str, dict[str, str]] = {name: {} for name in phrasings()}
    with FACTS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            facts.setdefault(row["relation"], {})[row["subject"]] = row["object"]
    return facts
