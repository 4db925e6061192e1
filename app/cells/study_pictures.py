"""How many directions a study's gradients have, by layer and length, and whether layers agree."""

from __future__ import annotations

from functools import partial

import streamlit as st

import core
from app.cells.controls import choice
from app.cells.shipped_studies import is_shipped, shipped_code
from app.cells.study_groups import (
    Pair,
    every_group,
    lines_of,
    minus,
    panels,
    sentence,
    with_comparison,
)
from app.charts.grid import cosine_table
from app.charts.studies import share_by_layer
from app.charts.study_lengths import mean_rank_by_length
from app.findings.signal import similarity_finding
from app.findings.studies import full_rank_finding, length_finding
from app.notebook.cell import cell, is_dark
from app.notebook.code import literal, program
from app.titles import ANSWERED_TITLES, MATRIX_TITLES
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


def nothing(place: object, answered: str) -> None:
    place.picture.info(f"No prompt of this study was {ANSWERED_TITLES[answered].lower()}.")


def full_rank_cell(
    number: int, studies: dict[str, core.Study], main: core.Study, answered: str, pair: Pair | None
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
    table = core.side_by_side(lines_of(studies, main), "gradient_ranks")
    table = table[(table["answered"] == answered) & (table["matrix"] == matrix) & (table["n"] > 0)]
    if table.empty:
        nothing(place, answered)
        return
    below = below_the_last(main, pair)
    what = f"The share of {MATRIX_TITLES[matrix]}'s gradients with full rank {below_text(pair)}"
    options = {"part": matrix, "layers": below}
    said = {"written": "{:.1%}".format, "gap": points}
    shares = sentence(main, pair, "rank_is_full", what, options=options, **said)
    place.show(
        shares + full_rank_finding(main, matrix, answered),
        share_by_layer(table, dark=is_dark()),
        "Line chart of the share of prompts with full gradient rank by layer",
        fit=True,
    )
    exceptions = main.exceptions
    with place.controls.expander(f"{len(exceptions)} exceptions"):
        st.dataframe(exceptions, hide_index=True)
    code = study_code(main, "gradient_ranks")
    given = f"part={literal(matrix)}", f"layers=range({below.start}, {below.stop})"
    code = with_comparison(code, pair, "rank_is_full", *given)
    place.finish(code, every_group(main, "gradient_ranks"))


def below_the_last(main: core.Study, pair: Pair | None) -> range:
    """The layers whose ranks are compared: in the last one it is 1, whatever the prompts."""
    if pair is not None and pair.layer is not None:
        return range(pair.layer, pair.layer + 1)
    return range(max(1, main.header.n_layers - 1))


def points(value: float) -> str:
    """A difference of percentages."""
    return f"{100 * value:.1f} points"


def below_text(pair: Pair | None) -> str:
    return "below the last layer" if pair is None or pair.layer is None else f"in {pair.where}"


def length_cell(number: int, main: core.Study, answered: str, pair: Pair | None) -> None:
    place = cell(
        number,
        "How many directions for how long a prompt?",
        "The mean rank of the gradient by the prompt's length, over all of these prompts: dots are "
        "the larger the more prompts have the length, bars are a standard deviation. On the dashed "
        "line every token adds a direction. (Lemma 4.1, Figure 3)",
        key="study_lengths",
        original=True,
    )
    everything = every_group(main, "ranks_by_length")
    if everything.empty and main.header.counted:
        place.picture.info(
            "This study was made before it looked at the prompts' lengths: start it again to see "
            "this picture."
        )
        return
    matrix = choice(
        place.controls,
        "Matrix",
        MATRIX_TITLES,
        "study_length_matrix",
        among=main.header.mlp_matrices,
        default="ff1",
        bound=False,
    )
    rows = everything[(everything["answered"] == answered) & (everything["matrix"] == matrix)]
    if rows.empty:
        nothing(place, answered)
        return
    whole = rows[rows["group"] == ""] if pair else rows
    compared = sentence(main, pair, "prompt_length", "The prompts' length in tokens")
    place.say(compared + length_finding(whole, MATRIX_TITLES[matrix]))
    words = "Line chart of the gradient's mean rank by prompt length, a line for layers alike"
    if pair is None:
        place.draw(mean_rank_by_length(rows, dark=is_dark()), words, fit=True)
    else:
        tables = {name: rows[rows["group"] == name] for name in main.groups}
        span = int(rows["prompt_length"].min()), int(rows["prompt_length"].max())
        draw = partial(mean_rank_by_length, span=span, dark=is_dark(), width=310)
        panels(place, main, pair, tables, draw, None, words)
    code = with_comparison(study_code(main, "ranks_by_length"), pair, "prompt_length")
    place.finish(code, everything)


def cosine_cell(number: int, main: core.Study, answered: str, pair: Pair | None) -> None:
    place = cell(
        number,
        "Do the layers learn the same?",
        "The mean cosine between layers of FF2's signal δ at the last prompt token: 1 is the same "
        "direction, 0 nothing in common. (Figure 23)",
        key="study_cosine",
        original=True,
    )
    everything = every_group(main, "cosines")
    rows = everything[everything["answered"] == answered]
    table = rows[rows["group"] == ""] if pair else rows
    if not table["n"].any():
        nothing(place, answered)
        return
    layers = "two layers" if pair is None or pair.layer is None else f"{pair.where} and another"
    what = f"The mean cosine of {layers}"
    place.say(sentence(main, pair, "cosine", what) + similarity_finding(table, "the last token"))
    words = "Heatmap of the mean cosine between layers"
    if pair is None:
        place.draw(cosine_table(table, dark=is_dark()), words)
    else:
        tables = {name: rows[rows["group"] == name] for name in main.groups}
        draw = partial(cosine_table, dark=is_dark(), narrow=True)
        gap = minus(tables[pair.first], tables[pair.second], ["layer", "other_layer"], "cosine")
        panels(place, main, pair, tables, draw, draw(gap, difference=True), words)
    place.finish(with_comparison(study_code(main, "cosines"), pair, "cosine"), everything)
