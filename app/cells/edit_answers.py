"""What the model says before and after the active edits."""

from __future__ import annotations

from app.charts.flow import Panel, flow_chart
from app.findings.edits import edit_finding, fallback_finding
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.state import Request
from app.words import visible

TOP_K = 8


def answers_cell(number: int, request: Request) -> str:
    """Before and after side by side; returns the original answer."""
    place = cell(
        number,
        "What it says before and after",
        "Left: the original model's most probable next words. Right: those of the model with your "
        "active edits. The original itself is never changed.",
        key="answers",
    )
    before, after = tables.both_answers(request, TOP_K)
    target = request.model.target(request.prompt, request.target).token
    panels = [
        Panel(
            title,
            subtitle,
            tuple(visible(token) for token in table["token"]),
            tuple(table["probability"]),
            tuple(f"{p:.1%}" for p in table["probability"]),
        )
        for title, subtitle, table in (
            ("Original", "no edits", before),
            ("With your edits", f"{len(request.entries)} active", after),
        )
    ]
    moved = [fallback_finding(entry.edit) for entry in request.entries]
    place.show(
        "  \n".join([edit_finding(before, after, target), *filter(None, moved)]),
        flow_chart(panels, visible(target), dark=is_dark()),
        "The most probable next words before and after the edits",
        fit=False,
    )
    place.finish(
        code_lines(request, "table = answers(model, prompt, edits=edits)"),
        after.assign(before=before["token"], probability_before=before["probability"]),
    )
    return before["token"].iloc[0]
