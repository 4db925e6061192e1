"""Where the active edits landed, and how large they are there."""

from __future__ import annotations

import pandas as pd

import core
from app.charts.edits import landing_chart
from app.findings.edits import landing_finding
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.ledger import Entry
from app.shell.state import Request
from app.titles import MATRIX_TITLES


def landing_cell(number: int, request: Request) -> None:
    place = cell(
        number,
        "Where the edits landed",
        "How large the change of each matrix is, as a part of the matrix itself. An edit is kept "
        "beside the model and added while it runs.",
        key="landing",
    )
    tables = [sizes(request.model, entry) for entry in request.entries]
    table = pd.concat(tables, ignore_index=True)
    place.show(
        landing_finding(table, request.entries),
        landing_chart(table, request.model.n_layers, dark=is_dark()),
        "Bar chart of the size of the change by layer and matrix",
        fit=False,
    )
    place.finish(
        code_lines(request, "table = change_sizes(model, edits[-1])"),
        table,
    )


def sizes(model: core.LanguageModel, entry: Entry) -> pd.DataFrame:
    table = core.change_sizes(model, entry.edit)
    return table.assign(edit=entry.name, Matrix=table["matrix"].map(MATRIX_TITLES))
