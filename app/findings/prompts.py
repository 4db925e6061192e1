"""What was understood of a table of prompts, and what a model makes of it, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.words import count, joined, shortened
from core import PromptTable, Record
from core.studies.columns import Columns
from core.studies.fitting import Fit
from core.studies.prompt_rows import TITLES

NAMED_GROUPS = 6
NAMED_ROWS = 5


def groups_finding(total: int, groups: Mapping[str, int]) -> str:
    """ "40 prompts in 2 groups: French cities (20), German cities (20)." """
    prompts = f"{total:,} prompt{'' if total == 1 else 's'}"
    named = {name: n for name, n in groups.items() if name}
    if not named:
        return f"{prompts}."
    parts = [f"{shortened(name, 40)} ({n:,})" for name, n in named.items()]
    if len(parts) > NAMED_GROUPS:
        parts = [*parts[:NAMED_GROUPS], f"{len(parts) - NAMED_GROUPS} more"]
    without = f"; without a group: {groups['']:,}" if groups.get("") else ""
    return f"{prompts} in {count(len(named), 'group')}: {joined(parts)}{without}."


def columns_finding(columns: Columns) -> str:
    """Which column is read as what; empty where they are called what they are."""
    if all(called == TITLES[name] for name, called in columns.read_as):
        return ""
    parts = [
        f"{TITLES[name]} = {f'“{called}”' if columns.named else called}"
        for name, called in columns.read_as
    ]
    return f"Read as: {joined(parts)}."


def missing_finding(table: PromptTable) -> str:
    """What follows from what is not there; empty where nothing does."""
    parts = []
    if "subject" not in table.columns.places:
        parts.append(
            "The subject is proposed from each prompt; a column “Subject” would name it yourself."
        )
    if all(record.target_true is None for record in table.records):
        parts.append("Without a true answer no prompt counts as answered correctly.")
    return " ".join(parts)


def fit_findings(fit: Fit, model: str) -> list[str]:
    """What the model cannot use, a sentence each."""
    found = []
    if fit.unread:
        found.append(
            f"{prompts(len(fit.unread), 'is', 'are')} too long for {model} and will be left out: "
            f"{numbers(fit.unread)}."
        )
    if fit.longer:
        record, token = fit.longer[0]
        found.append(
            f"{prompts(len(fit.longer), 'has a target', 'have targets')} of several tokens for "
            f"{model}; only the first token is used (of “{shortened(record.target_new, 40)}” it is "
            f"“{token.strip()}”): {numbers([r for r, _ in fit.longer])}."
        )
    if fit.alike:
        found.append(
            f"In {prompts(len(fit.alike))} target and true answer begin with the same token, so "
            f"that the two cannot be told apart: {numbers(fit.alike)}."
        )
    return found


def prompts(number: int, one: str = "", many: str = "") -> str:
    words = f"{number:,} prompt" if number == 1 else f"{number:,} prompts"
    return f"{words} {one if number == 1 else many}".rstrip()


def numbers(records: Sequence[Record]) -> str:
    """ "row 3", "rows 3, 5 and 12 more"."""
    shown = [str(record.case_id) for record in records[:NAMED_ROWS]]
    if len(records) > NAMED_ROWS:
        shown.append(f"{len(records) - NAMED_ROWS:,} more")
    return f"row{'' if len(records) == 1 else 's'} {joined(shown)}"
