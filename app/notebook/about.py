"""What is said beside a kept cell: what it asked, with which edits, and when."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from app.notebook.kept import KeptCell
from app.shell.models import short_name
from app.shell.navigation import PAGES, Page
from app.words import joined

NO_DATE = "at an unknown time"


def about(cell: KeptCell, edits_here: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of a name and a plain text; `edits_here` are the ids of the edits that came along."""
    asked = cell.asked
    lines = [
        ("Model", short_name(asked.model) + (f" ({asked.precision})" if asked.precision else "")),
        ("Prompt", asked.prompt),
        ("Target", asked.target),
        ("Subject", asked.subject),
        ("Edits", edits_line(cell, edits_here)),
        ("Set to", "; ".join(f"{readable(n)}: {v}" for n, v in cell.settings.items())),
        ("Page", page.title if (page := page_of(cell)) else ""),
        ("Kept", day_and_time(cell.made)),
    ]
    return [(name, text) for name, text in lines if text]


def edits_line(cell: KeptCell, edits_here: Collection[str]) -> str:
    names = [
        f"“{edit.name}”" + ("" if edit.id in edits_here else " (its file is not in the notebook)")
        for edit in cell.edits
    ]
    unknown = len(cell.asked.edit_files) - len(names)
    names += [f"“{name}”" for name in cell.asked.edit_files[-unknown:]] if unknown > 0 else []
    return joined(names) if names else ""


def readable(setting: str) -> str:
    return setting.replace("_", " ")


def page_of(cell: KeptCell) -> Page | None:
    return next((page for page in PAGES if page.path == cell.path), None)


def day_and_time(made: str) -> str:
    try:
        return datetime.fromisoformat(made).strftime("%-d %B %Y, %H:%M %Z").strip()
    except ValueError:
        return NO_DATE


def summary(cell: KeptCell) -> str:
    """One line: the model, what it was asked, and when."""
    parts = dict(about(cell, {edit.id for edit in cell.edits}))
    asked = f"“{parts['Prompt']}”" if "Prompt" in parts else ""
    asked += f" → “{parts['Target']}”" if "Target" in parts else ""
    return " · ".join(filter(None, [parts.get("Model", ""), asked, parts.get("Kept", "")]))
