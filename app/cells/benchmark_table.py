"""The benchmark's table, and its picture."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

import core
from app.cells.benchmark_columns import (
    PAPER,
    VIEW_TITLES,
    VIEWS,
    beside_published,
    shown_value,
    with_values,
)
from app.cells.controls import choice
from app.cells.shipped_benchmarks import result_code
from app.charts.benchmark import benchmark_dots
from app.findings.benchmark import (
    accuracy_finding,
    apart_finding,
    cost_finding,
    hidden_finding,
    order_finding,
    writing_finding,
)
from app.notebook.cell import Cell, cell, is_dark
from app.words import count, plain
from core.benchmarking.published import PUBLISHED
from core.benchmarking.specs import ORIGINAL

METHOD = "benchmark_method"  # in the session: the method whose failures are shown
ROW_HEIGHT = 30
FINDINGS = {
    "accuracies": accuracy_finding,
    "success": partial(accuracy_finding, kind="success"),
    "hidden": hidden_finding,
    "writing": writing_finding,
    "cost": cost_finding,
}


def table_cell(number: int, key: str, benchmark: core.Benchmark) -> None:
    """The paper's Tables 1, 6 and 7, with this model's own rows."""
    place = cell(
        number,
        "The table",
        "Each record is a fact that is rewritten, by each method apart. In brackets: the 95% "
        "interval over the records. Point at a column's title to read what it asks; click a "
        "method's row to see where it failed. (Tables 1, 6 and 7)",
        key="benchmark_table",
        original=True,
    )
    view = choice(place.controls, "Columns", VIEW_TITLES, "benchmark_columns")
    rows, table = benchmark.rows, benchmark.table
    place.say(FINDINGS[view](rows, table))
    if view == "accuracies":
        agreement = order_finding(rows, table, PUBLISHED)
        if agreement:
            place.say(agreement)
    draw_rows(place, key, view, benchmark)
    problems(place, table)
    place.finish(result_code(benchmark, "table"), table)


def draw_rows(place: Cell, key: str, view: str, benchmark: core.Benchmark) -> None:
    columns = VIEWS[view]
    rows = with_values(beside_published(benchmark.table, PUBLISHED), columns)
    names = zip(rows["title"], rows["published"], strict=True)
    shown = pd.DataFrame(
        {
            "Method": [f"↳ {title}" if theirs else title for title, theirs in names],
            **{
                column.title: [shown_value(row, column) for _, row in rows.iterrows()]
                for column in columns
            },
            "Model": [PAPER if theirs else benchmark.header.model for theirs in rows["published"]],
        }
    )
    place.picture.dataframe(
        shown,
        hide_index=True,
        row_height=ROW_HEIGHT,
        height=38 + ROW_HEIGHT * len(shown),
        key=f"benchmark_rows_{view}_{key}",
        on_select=partial(pick_row, key, view, rows["method"].tolist(), benchmark.methods),
        selection_mode="single-row",
        column_config={
            "Method": st.column_config.TextColumn(
                help="How the fact is written into the model. Below it, with ↳, what the paper has."
            ),
            "Model": st.column_config.TextColumn(
                help="Whose figures these are: measured here, or published in the paper."
            ),
            **{
                column.title: st.column_config.TextColumn(help=column.asks, alignment="right")
                for column in columns
            },
        },
    )


def pick_row(key: str, view: str, methods: list[str], own: tuple[str, ...]) -> None:
    """Show the failures of the clicked row's method, if it is one of this benchmark's; for
    callbacks."""
    picked = st.session_state[f"benchmark_rows_{view}_{key}"].selection.rows
    if picked and methods[picked[0]] in own and methods[picked[0]] != ORIGINAL:
        st.session_state[METHOD] = methods[picked[0]]


def problems(place: Cell, table: pd.DataFrame) -> None:
    """What methods could not do, so that it is no secret in their means."""
    failed = table[table["problems"] > 0]
    if len(failed):
        said = [
            f"{row['title']} {count(int(row['problems']), 'time')}" for _, row in failed.iterrows()
        ]
        place.controls.caption(
            plain(f"No edit was found by {', '.join(said)}; the model then stays as it is.")
        )


def picture_cell(number: int, benchmark: core.Benchmark) -> None:
    """The same three shares as dots."""
    place = cell(
        number,
        "The picture",
        "Further right is better in all three. A line is the 95% interval: where two lines overlap "
        "widely, these records do not tell the methods apart. Hollow: the paper's figures for "
        "GPT-2 XL.",
        key="benchmark_picture",
        original=True,
    )
    kind = choice(
        place.controls,
        "Shares",
        {"acc": "Accuracies", "success": "Success rates"},
        "benchmark_shares",
    )
    rows = beside_published(benchmark.table, PUBLISHED)
    names = (benchmark.header.model, PAPER)
    place.show(
        apart_finding(benchmark.rows, benchmark.table, kind),
        benchmark_dots(rows, kind, names, dark=is_dark()),
        "Dot plot in three panels: for each method how often the model says the new fact, says it "
        "in other words, and still answers right about neighbours, with 95% intervals",
        fit=False,
    )
    place.finish(result_code(benchmark, "table"), benchmark.table)
