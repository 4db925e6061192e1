"""What the model says about each fact of the active edits, before and now."""

from __future__ import annotations

import pandas as pd

import core
from app.findings.edits import facts_finding
from app.notebook.cell import cell
from app.notebook.code import code_lines
from app.shell.models import load
from app.shell.state import Request
from app.words import percent, shown_characters, visible
from app.work.results import shared

ROW_HEIGHT = 35  # pixels
SHOWN_ROWS = 12


def has_several_facts(request: Request) -> bool:
    return any(len(entry.edit.facts) > 1 for entry in request.entries)


def facts_cell(number: int, request: Request) -> None:
    """For a request with an edit of several facts."""
    place = cell(
        number,
        "What it says about each fact",
        "One fact of your active edits a row, all of them switched on. ✓: the most probable next "
        "word is the target; ✗: it is not.",
        key="facts",
    )
    # An edit's name is no part of its id, and stands in the table.
    names = tuple(entry.name for entry in request.entries)
    table = answered((request.model_name, request.edit_ids, names), request.edits)
    place.say(facts_finding(table))
    place.picture.dataframe(
        shown(table),
        hide_index=True,
        row_height=ROW_HEIGHT,
        height=38 + ROW_HEIGHT * min(len(table), SHOWN_ROWS) + 4,
        column_config={"": {"width": 70}, "Prompt": {"width": "medium"}},
        alt="Each fact with what the model said before and says now",
        key="facts_rows",
    )
    place.finish(code_lines(request, "table = fact_answers(model, edits)"), table)


@shared("Asking for each fact …")
def answered(
    asked: tuple[str, tuple[str, ...], tuple[str, ...]],  # model, ids and names of the edits
    _edits: tuple[core.Edit, ...],
) -> pd.DataFrame:
    model_name, _, names = asked
    facts = [len(edit.facts) for edit in _edits]
    named = [name for name, many in zip(names, facts, strict=True) for _ in range(many)]
    return core.fact_answers(load(model_name), _edits).assign(edit=named)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "": table["said"].map({True: "✓ yes", False: "✗ no"}),
            "Prompt": table["prompt"].map(shown_characters),
            "Target": table["target"].map(visible),
            "Before": table["answer_before"].map(visible),
            "Now": table["answer_after"].map(visible),
            "Target’s probability": [
                f"{percent(old)} → {percent(new)}"
                for old, new in zip(table["target_before"], table["target_after"], strict=True)
            ],
        }
    )
