"""How the model thinks before and after the active edits."""

from __future__ import annotations

from app.cells.controls import choice, some_layers
from app.cells.forward import ZEROS
from app.cells.tooltips import describe_cells, first_words
from app.charts.token_table import Quantity, token_table
from app.findings.edits import lens_change_finding, word_changes
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.state import Request

VIEWS = {"difference": "Difference", "after": "After", "before": "Before"}


def lens_cell(number: int, request: Request) -> None:
    place = cell(
        number,
        "How it thinks, before and after",
        "Each cell is the word the model would say if it stopped at this layer. The difference "
        "shows where the target's probability rose (orange) or fell (blue).",
        key="lenses",
    )
    row = place.controls.container(horizontal=True, vertical_alignment="bottom", gap="large")
    view = choice(row, "View", VIEWS, "lens_view")
    before, after = tables.both_lenses(request)
    gain = after["target_probability"] - before["target_probability"]
    shown = before if view == "before" else after
    table = shown.assign(
        probability=shown["top_probabilities"].str[0],
        gain=gain,
        word=first_words(shown["top_tokens"]),
        silent=shown["top_tokens"].str.len() == 0,
    )
    target = request.model.target(request.prompt, request.target).token
    quantity = Quantity("probability", "probability", "Probability of the word shown", (0.0, 1.0))
    if view == "difference":
        title = "Change of the target's probability"
        quantity = Quantity("gain", "difference", title, (-1.0, 1.0))
    tooltips = describe_cells(table) | {
        "Before": first_words(before["top_tokens"]),
        "After": first_words(after["top_tokens"]),
        "Target before": before["target_probability"].map("{:.2%}".format),
        "Target after": after["target_probability"].map("{:.2%}".format),
    }
    top = int(after.loc[gain.idxmax(), "layer"])
    table = some_layers(row, table, top, "lenses")
    tooltips = {title: lines[table.index] for title, lines in tooltips.items()}
    changed = word_changes(before, after)
    place.show(
        lens_change_finding(before, after, target),
        token_table(
            table,
            "word",
            quantity,
            tooltips,
            dark=is_dark(),
            blank="silent",
            marked=changed[table.index],
        ),
        f"Heatmap by layer and prompt token: {view}",
        fit=False,
    )
    place.controls.caption(
        "A frame marks cells whose first word has changed."
        + (ZEROS if table["silent"].any() else "")
    )
    place.finish(
        code_lines(
            request,
            "before = forward_lens(model, prompt, target, edits=())",
            "table = forward_lens(model, prompt, target, edits=edits)",
            'table["before"] = before["target_probability"]',
        ),
        after.assign(before=before["target_probability"]),
    )
