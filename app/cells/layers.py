"""Across layers: how alike their signals are, and where answer and target stand in each."""

from __future__ import annotations

import core
from app.cells.controls import by_segment, choice, token_picker
from app.charts.curves import token_rank_by_layer
from app.charts.grid import cosine_table
from app.findings.lenses import token_rank_finding
from app.findings.signal import similarity_finding
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.state import Request
from app.titles import VECTOR_TITLES, WORD_TITLES
from app.words import code_span


def similarity_cell(number: int, request: Request) -> None:
    place = cell(
        number,
        "Do the layers learn the same?",
        "Each cell compares the learning signals δ of FF2 in two layers at one token: 1 is the "
        "same direction, 0 is none in common, −1 the opposite.",
        key="similarity",
    )
    position = token_picker(place.controls, request, "similarity")
    table = tables.layer_similarity(request, position)
    token = tables.trace(request).tokens[position]
    place.show(
        similarity_finding(table, code_span(token)),
        cosine_table(table, dark=is_dark()),
        "Heatmap of the cosine between the learning signals of all pairs of layers",
        fit=False,
    )
    place.controls.caption("“–” is a layer whose signal at this token is zero.")
    place.finish(
        code_lines(
            request,
            "run = trace(model, prompt, target)",
            f"table = layer_similarity(run, position={position})",
        ),
        table,
    )


def token_ranks_cell(number: int, request: Request) -> None:
    """The ranks of target and answer in x of FF1 and delta of FF2."""
    place = cell(
        number,
        "Where the target and the answer stand",
        "A line follows one token or segment through the layers: high up, the vector says the "
        "word; at the bottom of δ, the update, which subtracts δ, pushes towards it.",
        key="token_ranks",
    )
    row = place.controls.container(horizontal=True, vertical_alignment="bottom", gap="large")
    matrix = choice(row, "Vector", VECTOR_TITLES, "ranks_vector", default="ff2")
    word = choice(row, "Word", WORD_TITLES, "ranks_word", default="target")
    segmented = by_segment(row, request, "ranks")
    run = tables.trace(request)
    lens = tables.backward_lens(request, matrix)
    column, vocabulary = f"{word}_rank", request.model.vocabulary_size
    text = run.target.token if word == "target" else run.answer
    lines = [f'table = backward_lens(trace(model, prompt, target), "{matrix}")']
    shown = lens
    if segmented:
        shown = core.segment_means(lens, tables.segments(request))
        lines.append("table = segment_means(table, segments(model, prompt, subject))")
    elif matrix == "ff1":
        shown = lens.drop(columns="near_zero")  # x is there even where nothing is learned
    symbol = "δ of FF2" if matrix == "ff2" else "x of FF1"
    if lens[column].isna().all():
        place.picture.info("Nothing to draw: the signal is zero everywhere.")
    else:
        place.show(
            token_rank_finding(lens, column, text, symbol, vocabulary),
            token_rank_by_layer(
                shown,
                vocabulary,
                column,
                f"Rank of the {word} in {symbol}",
                "Segment" if segmented else "Prompt token",
                dark=is_dark(),
                subject=() if segmented else tables.subject_positions(request),
            ),
            f"Line chart of the {word}'s rank in {symbol} by layer",
            fit=True,
        )
    place.finish(code_lines(request, *lines), shown)
