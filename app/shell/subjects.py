"""What a prompt is about: the stored subject of a known prompt, else a guess."""

from __future__ import annotations

import csv
from functools import cache

import core
from core.gradients.segments import find_subject
from core.model.catalog import BUILTIN_FOLDER
from core.studies.counterfact import MINI_COUNTERFACT

FACTS = BUILTIN_FOLDER.parent / "facts.csv"


def subject_of(prompt: str) -> str:
    """The subject stored with the prompt, else the longest subject of a known fact that stands in
    it, else its longest capitalised span; empty if there is nothing to propose."""
    record = known_records().get(prompt.strip())
    if record is not None:
        return record.subject
    named = [s for s in fact_subjects() if s in prompt and stands_alone(prompt, s)]
    return max(named, key=len) if named else core.propose_subject(prompt)


def stands_alone(prompt: str, subject: str) -> bool:
    start, end = find_subject(prompt, subject)
    return not (prompt[start - 1 : start].isalnum() or prompt[end : end + 1].isalnum())


@cache
def known_records() -> dict[str, core.Record]:
    """The built-in records by their prompt."""
    return {record.prompt: record for record in core.load_counterfact(MINI_COUNTERFACT)}


@cache
def fact_subjects() -> frozenset[str]:
    with FACTS.open(encoding="utf-8", newline="") as file:
        return frozenset(row["subject"] for row in csv.DictReader(file))
