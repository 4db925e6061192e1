"""Single neurons of a gradient: groups by norm, what each looks like, and one of them."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from app.cells.controls import layer_slider, mlp_matrix
from app.charts.grid import coefficient_chart, neuron_table
from app.findings.neurons import neuron_finding, one_neuron_finding, overlap_finding
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.state import Request
from app.titles import MATRIX_TITLES
from app.words import number, visible
from core.gradients.neurons import OVERLAP_TOKENS

COLUMNS = 120  # neurons drawn side by side; more could be neither seen nor clicked
SHOWN_TOKENS = 5
GROUP_TITLES = {
    "largest": "Largest",
    "median": "Median",
    "smallest": "Smallest",
    "zero vector": "Zero vector",
}
SPAN_SYMBOLS = {"ff1": "x", "gate": "x", "ff2": "δ"}


def neuron_cells(request: Request) -> None:
    layer, matrix = groups_cell(request)
    chosen = overlap_cell(request, layer, matrix)
    one_neuron_cell(request, layer, matrix, chosen)


def neuron_key(request: Request) -> str:
    return f"neuron_{request.model.d_mlp}"


def groups_cell(request: Request) -> tuple[int, str]:
    place = cell(
        1,
        "Neurons by the size of their change",
        "A gradient has one neuron for each unit of the MLP. The update subtracts it: the unit "
        "turns towards the neuron's bottom words, away from its top words. Click a row to see it.",
        key="neurons",
    )
    layer = layer_slider(place.controls.container(width=320), request, "neurons")
    row = place.controls.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    matrix = mlp_matrix(row, request, "neurons_matrix")
    biased = request.model.final_norm_has_bias  # else the switch would change nothing
    normalized = biased and row.toggle(
        "Normalised lens",
        key="neurons_normalised",
        bind="query-params",
        width="content",
        help="Divides each neuron by its norm before reading it, so that small ones are not "
        "drowned by the final norm's own bias (appendix H).",
    )
    table = tables.gradient_neurons(request, layer, matrix, (), normalized)
    place.say(
        neuron_finding(table, MATRIX_TITLES[matrix], layer, tables.trace(request).target.token)
    )
    shown = pd.DataFrame(
        {
            "Group": table["group"].map(GROUP_TITLES),
            "Neuron": table["neuron"].map(lambda n: "–" if pd.isna(n) else str(n)),
            "Norm": table["norm"].map(number),
            "Turns towards (bottom)": table["bottom_tokens"].map(listed),
            "Turns away from (top)": table["top_tokens"].map(listed),
        }
    )
    width = request.model.d_mlp
    place.picture.dataframe(
        shown,
        hide_index=True,
        height=38 + 26 * len(shown),
        row_height=26,
        key=f"neuron_rows_{width}",
        on_select=partial(pick_row, request, table["neuron"].tolist()),
        selection_mode="single-row",
        column_config={
            "Norm": st.column_config.TextColumn("Norm, L2", width="small", alignment="right"),
            "Neuron": st.column_config.TextColumn(width="small", alignment="right"),
            "Group": st.column_config.TextColumn(width="small"),
        },
    )
    place.controls.caption(
        "The zero vector has no words of its own: what the lens shows for it is the final norm's "
        "bias, and small neurons look like it."
        if biased
        else "The zero vector has no words: this model's final norm has no bias, so that every "
        "token is equally probable. Small neurons are read as well as large ones."
    )
    extra = ", normalize=True" if normalized else ""
    place.finish(
        code_lines(
            request,
            "run = trace(model, prompt, target)",
            f'table = gradient_neurons(run, {layer}, "{matrix}"{extra})',
        ),
        table,
    )
    return layer, matrix


def pick_row(request: Request, neurons: list[int]) -> None:
    """Show the neuron of the clicked row; for callbacks."""
    rows = st.session_state[f"neuron_rows_{request.model.d_mlp}"]["selection"]["rows"]
    if rows and not pd.isna(neurons[rows[0]]):
        st.session_state[neuron_key(request)] = int(neurons[rows[0]])


def pick_cell(request: Request, key: str) -> None:
    """Show the neuron of the clicked column; for callbacks."""
    picked = st.session_state[key]["selection"].get("cell")
    if picked:
        st.session_state[neuron_key(request)] = int(picked[0]["neuron"])


def overlap_cell(request: Request, layer: int, matrix: str) -> int:
    """The two heatmaps; returns the neuron that is shown."""
    symbol = SPAN_SYMBOLS[matrix]
    place = cell(
        2,
        "What the neurons are made of",
        f"Columns are neurons, the largest on the left; rows are the prompt tokens' {symbol}. "
        f"Orange: the neuron looks like that {symbol}; blue: like the same {symbol} turned round. "
        "Click a column to see its neuron.",
        key="overlap",
    )
    width = request.model.d_mlp
    low, high = place.controls.slider(
        "Neurons, in order of norm",
        0,
        width - 1,
        (0, width - 1),
        key=f"neuron_range_{width}",
        help=f"At most {COLUMNS} are drawn, evenly spaced between the two ends. Narrow the range "
        "to see every one.",
    )
    everything = tables.neuron_overlap(request, layer, matrix)
    step = -(-(high - low + 1) // COLUMNS)
    shown = everything[
        everything["order"].between(low, high) & ((everything["order"] - low) % step == 0)
    ]
    key = neuron_key(request)
    if key not in st.session_state:
        st.session_state[key] = int(everything["neuron"].iloc[0])
    chosen = st.session_state[key]
    place.say(overlap_finding(everything, symbol))
    for column, limit, title in (
        ("overlap", OVERLAP_TOKENS, f"**Shared words** among the {OVERLAP_TOKENS} most probable"),
        ("cosine", 1, "**Cosine**"),
    ):
        place.picture.markdown(title)
        name = f"{column}_{layer}_{matrix}"
        place.draw(
            neuron_table(shown, column, limit, dark=is_dark(), chosen=chosen),
            f"Heatmap of {column} between neurons, in order of norm, and prompt tokens",
            name=name,
            on_select=partial(pick_cell, request, f"{place.key}_{name}"),
        )
    every = "Every neuron" if step == 1 else f"One neuron of every {step}"
    place.controls.caption(f"{every} of this range is drawn. A triangle marks the one in cell 3.")
    place.finish(
        code_lines(
            request,
            "run = trace(model, prompt, target)",
            f'table = neuron_overlap(run, {layer}, "{matrix}")',
        ),
        everything,
    )
    return chosen


def one_neuron_cell(request: Request, layer: int, matrix: str, chosen: int) -> None:
    symbol = SPAN_SYMBOLS[matrix]
    place = cell(
        3,
        "One neuron",
        f"The neuron is a mixture of the prompt tokens' {symbol}. A bar is how much of a token's "
        f"{symbol} it holds; to the left of zero, it holds the {symbol} turned round.",
        key="one_neuron",
    )
    unit = place.controls.number_input(
        f"Neuron, 0 to {request.model.d_mlp - 1}",
        0,
        request.model.d_mlp - 1,
        key=neuron_key(request),
        width=220,
    )
    table = tables.gradient_neurons(request, layer, matrix, (int(unit),), False)
    everything = tables.neuron_overlap(request, layer, matrix)
    rows = everything[everything["neuron"] == unit]
    place.show(
        one_neuron_finding(table.iloc[0], request.model.d_mlp),
        coefficient_chart(rows, symbol, dark=is_dark()),
        "Bar chart of how much of each prompt token's vector the neuron holds",
        fit=False,
    )
    place.finish(
        code_lines(
            request,
            "run = trace(model, prompt, target)",
            f'table = gradient_neurons(run, {layer}, "{matrix}", units=({int(unit)},))',
        ),
        table,
    )


def listed(tokens: list[str]) -> str:
    return " | ".join(visible(token) for token in tokens[:SHOWN_TOKENS]) or "–"
