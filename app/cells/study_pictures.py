"""The pictures of one study, and of several side by side."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

import core
from app.cells.controls import SEGMENT_WIDTH, choice, some_layers
from app.cells.shipped_studies import claims_cell, is_shipped, shipped_code
from app.cells.tooltips import short_number
from app.charts.grid import cosine_table
from app.charts.studies import relative_rank_by_layer, share_by_layer
from app.charts.token_table import Quantity, token_table
from app.findings.signal import similarity_finding
from app.findings.studies import full_rank_finding, study_norm_finding, study_rank_finding
from app.notebook.cell import cell, is_dark
from app.notebook.code import literal, program
from app.titles import (
    ANSWERED_TITLES,
    MATRIX_TITLES,
    MODULE_TITLES,
    SEGMENT_TITLES,
    VECTOR_TITLES,
    WORD_TITLES,
)
from app.words import number
from core.studies.counterfact import MINI_COUNTERFACT
from core.studies.prompts import COUNTERFACT_TYPES


def study_code(study: core.Study, table: str) -> str:
    """Python that makes this study and its table anew."""
    if is_shipped(study):
        return shipped_code(study, table)
    header = study.header
    own = header.records == MINI_COUNTERFACT.name
    path = f"data/{header.records}" if own else header.records
    facts = path.lower().endswith(COUNTERFACT_TYPES)
    return program(
        header.model,
        [
            f"records = {'load_counterfact' if facts else 'load_prompts'}({literal(path)})",
            f"result = study(model, records, limit={header.limit}, seed={header.seed})",
            f"table = result.{table}",
        ],
    )


def picture_cells(studies: dict[str, core.Study], main: core.Study) -> None:
    answered = st.session_state["answered"]
    full_rank_cell(1, studies, main, answered)
    norms_cell(2, main, answered)
    ranks_cell(3, studies, main, answered)
    cosine_cell(4, main, answered)
    claims_cell(5, main, answered)


def nothing(place: object, answered: str) -> None:
    place.picture.info(f"No prompt of this study was {ANSWERED_TITLES[answered].lower()}.")


def full_rank_cell(
    number: int, studies: dict[str, core.Study], main: core.Study, answered: str
) -> None:
    place = cell(
        number,
        "Does every token add a direction?",
        "How many prompts' gradients have as many independent directions as the prompt has tokens, "
        "layer by layer. In the last layer only the last token learns: the rank is 1. (Figure 3)",
        key="study_rank",
        original=True,
    )
    matrix = choice(
        place.controls,
        "Matrix",
        MATRIX_TITLES,
        "study_rank_matrix",
        among=main.header.mlp_matrices,
        default="ff1",
        bound=False,
    )
    table = core.side_by_side(studies, "gradient_ranks")
    table = table[(table["answered"] == answered) & (table["matrix"] == matrix) & (table["n"] > 0)]
    if table.empty:
        nothing(place, answered)
        return
    place.show(
        full_rank_finding(main, matrix, answered),
        share_by_layer(table, dark=is_dark()),
        "Line chart of the share of prompts with full gradient rank by layer",
        fit=True,
    )
    exceptions = main.exceptions
    with place.controls.expander(f"{len(exceptions)} exceptions"):
        st.dataframe(exceptions, hide_index=True)
    place.finish(study_code(main, "gradient_ranks"), main.gradient_ranks)


def segment_table(table: pd.DataFrame, column: str, quantity: Quantity, title: str) -> object:
    """A heatmap of one study's means, layer by segment."""
    written = "{:,.0f}".format if quantity.palette == "rank" else short_number
    empty = (table["n"] == 0) | table[column].isna()  # a vector of zeros has no rank
    data = table.assign(
        position=[core.SEGMENTS.index(name) for name in table["segment"]],
        token=table["segment"],
        word=table[column].map(written),
        empty=empty,
    )
    data = data[data.groupby("segment")["n"].transform("sum") > 0]
    places = {p: i for i, p in enumerate(sorted(data["position"].unique()))}
    data["position"] = data["position"].map(places)
    tooltips = {
        "Layer": data["layer"].astype(str),
        "Segment": data["segment"],
        title: data[column].map(partial(number, digits=4)),
        "Standard error": data[f"{column}_error"].map(partial(number, digits=2)),
        "Prompts": data["n"].astype(str),
    }
    return token_table(
        data,
        "word",
        quantity,
        tooltips,
        dark=is_dark(),
        blank="empty",
        least_width=SEGMENT_WIDTH,
        x_title="Segment of the prompt",
        names=SEGMENT_TITLES,
    )


def norms_cell(number: int, main: core.Study, answered: str) -> None:
    place = cell(
        number,
        "Where the signal is strong",
        "The mean strength of the learning signal δ, and of the input x, by layer and by place in "
        "the prompt as seen from its subject. (Figures 5, 16, 17)",
        key="study_norms",
        original=True,
    )
    module = choice(
        place.controls,
        "Part of the model",
        MODULE_TITLES,
        "study_module",
        among=main.header.modules,
        default="ff2",
        bound=False,
    )
    column = choice(
        place.controls,
        "Quantity",
        {"norm": "Signal ‖δ‖", "input_norm": "Input ‖x‖"},
        "study_quantity",
        default="norm",
        bound=False,
    )
    norms = main.norms
    table = norms[(norms["answered"] == answered) & (norms["module"] == module)]
    if not table["n"].any():
        nothing(place, answered)
        return
    title = "‖δ‖, L2" if column == "norm" else "‖x‖, L2"
    strongest = int(table.loc[table[column].idxmax(), "layer"])
    shown = some_layers(place.controls, table, strongest, "study_norms")
    place.show(
        study_norm_finding(table, column, MODULE_TITLES[module]),
        segment_table(shown, column, Quantity(column, column, f"Mean {title}"), title),
        f"Heatmap of the mean {title} by layer and segment of the prompt",
        fit=False,
    )
    place.finish(study_code(main, "norms"), norms)


def ranks_cell(
    number: int, studies: dict[str, core.Study], main: core.Study, answered: str
) -> None:
    place = cell(
        number,
        "Where the target and the answer stand",
        "Above: mean rank by layer and place in the prompt. Below: the last prompt token, as a "
        "part of the vocabulary. The update subtracts δ: the bottom of δ is what it pushes "
        "towards. (Figures 6, 18-21)",
        key="study_ranks",
        original=True,
    )
    row = place.controls.container(horizontal=True, vertical_alignment="bottom", gap="large")
    matrix = choice(row, "Vector", VECTOR_TITLES, "study_vector", default="ff2", bound=False)
    word = choice(row, "Word", WORD_TITLES, "study_word", default="target", bound=False)
    everything = main.token_ranks
    table = everything[(everything["answered"] == answered) & (everything["matrix"] == matrix)]
    if not table["n"].any():
        nothing(place, answered)
        return
    symbol = "δ of FF2" if matrix == "ff2" else "x of FF1"
    title = f"Rank of the {word} in {symbol}"
    quantity = Quantity(
        f"{word}_rank",
        "rank",
        f"Mean {title[0].lower()}{title[1:]}: 0 = most probable",
        domain=(0, main.header.vocabulary_size - 1),
    )
    place.show(
        study_rank_finding(table, word, symbol, main.header.vocabulary_size),
        segment_table(some_layers(row, table, (), "study_ranks"), f"{word}_rank", quantity, title),
        f"Heatmap of the mean rank of the {word} by layer and segment",
        fit=False,
    )
    lines = core.side_by_side(studies, "token_ranks")
    lines = lines[
        (lines["answered"] == answered)
        & (lines["matrix"] == matrix)
        & (lines["segment"] == core.SEGMENTS[-1])
    ]
    place.draw(
        relative_rank_by_layer(lines, word, f"{title}, last token", dark=is_dark()),
        f"Line chart of the {word}'s mean rank at the last token by layer, a line a study",
        name="last_token",
        fit=True,
    )
    place.finish(study_code(main, "token_ranks"), everything)


def cosine_cell(number: int, main: core.Study, answered: str) -> None:
    place = cell(
        number,
        "Do the layers learn the same?",
        "The mean cosine between layers of FF2's signal δ at the last prompt token: 1 is the same "
        "direction, 0 nothing in common. (Figure 23)",
        key="study_cosine",
        original=True,
    )
    everything = main.cosines
    table = everything[everything["answered"] == answered]
    if not table["n"].any():
        nothing(place, answered)
        return
    place.show(
        similarity_finding(table, "the last token"),
        cosine_table(table, dark=is_dark()),
        "Heatmap of the mean cosine between layers",
        fit=False,
    )
    place.finish(study_code(main, "cosines"), everything)
