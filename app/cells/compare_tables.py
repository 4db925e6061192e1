"""The comparison's tables of words: forward lens and backward lens of two requests."""

from __future__ import annotations

from functools import partial

import pandas as pd

import core
from app.cells.backward import gradient_table
from app.cells.compare_measures import (
    BACKWARD,
    COSINE,
    FORWARD,
    NORM,
    SIZES,
    comparable,
    given,
    numbers,
    parts,
    sizes,
)
from app.cells.compare_sides import Sides
from app.cells.compare_views import (
    DIFFERENCE,
    LISTED,
    Scale,
    common_scale,
    control_row,
    difference_table,
    listed,
    marked_names,
    side_pictures,
    view_of,
)
from app.cells.controls import choice
from app.cells.tooltips import describe_cells, first, first_words, rank_text
from app.charts.token_table import Quantity, token_table
from app.findings.compared import (
    apart_finding,
    cosine_finding,
    probability_finding,
    strength_finding,
    words_finding,
)
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.compared import comparison_code
from app.shell.state import Request
from app.words import percent, visible


def forward_comparison(number: int, sides: Sides, how: core.Alignment) -> None:
    place = cell(
        number,
        "What each layer would say next",
        "Side by side: the word after each token if the model stopped at this layer. Difference: "
        "how much more probable each side's own target is.",
        key="compare_forward",
        original=True,
    )
    row = control_row(place)
    view = view_of(row, how, "compare_forward")
    lenses = [side and tables.forward_lens(side) for side in (sides.left, sides.right)]
    segments = parts(sides, how)
    table = None
    if sides.whole and how.by:
        table = core.forward_difference(*lenses, vocabularies=sizes(sides), segments=segments)
        words = "" if segments else f" {words_finding(table)}"
        place.say(probability_finding(table, marked_names(sides)) + words)
    if view in (DIFFERENCE, LISTED):
        measure = choice(row, "What is compared", FORWARD, "compare_forward_measure")
        shown = numbers(FORWARD[measure], measure)
        (difference_table if view == DIFFERENCE else listed)(
            place, sides, how, table, measure, shown, key="compare_forward"
        )
    else:
        side_pictures(place, sides, lenses, forward_picture, "Heatmap of the most probable words")
    if table is not None:
        code = comparison_code(
            sides.left,
            sides.right,
            "left = forward_lens({0.asked}{0.edits})",
            "right = forward_lens({1.asked}{1.edits})",
            SIZES,
            f"table = forward_difference(left, right, vocabularies=sizes{given(segments)})",
            by_segment=bool(segments),
        )
        place.finish(code, table)
    elif sides.whole:
        place.finish(
            comparison_code(
                sides.left,
                sides.right,
                "left = forward_lens({0.asked}{0.edits})",
                "right = forward_lens({1.asked}{1.edits})",
                "table = both_sides(left, right)",
            ),
            core.both_sides(*lenses),
        )


def forward_picture(request: Request, lens: pd.DataFrame, width: int):
    target = request.model.target(request.prompt, request.target).token
    table = lens.assign(
        probability=lens["top_probabilities"].str[0],
        word=first_words(lens["top_tokens"]),
        silent=lens["top_tokens"].str.len() == 0,
    )
    named = describe_cells(table) | {
        "Probability": table["probability"].map(lambda p: "–" if pd.isna(p) else percent(p)),
        "Target": pd.Series(visible(target), index=table.index),
        "Target's probability": table["target_probability"].map(percent),
        "Rank of the target": table["target_rank"].map(rank_text),
    }
    quantity = Quantity(
        "probability", "probability", "Probability of the word shown", domain=(0.0, 1.0)
    )
    return token_table(
        table,
        "word",
        quantity,
        named,
        dark=is_dark(),
        blank="silent",
        marked=table["top_tokens"].str[0] == target,
        page_width=width,
    )


def backward_comparison(number: int, sides: Sides, how: core.Alignment) -> None:
    place = cell(
        number,
        "What the update pushes towards",
        "Side by side: the word that the correction would make the MLP's output say more, its "
        "colour how strong the signal δ is. Difference: in strength, or in direction.",
        key="compare_backward",
        original=True,
    )
    row = control_row(place)
    view = view_of(row, how, "compare_backward")
    both = (sides.left, sides.right)
    lenses = [side and tables.backward_lens(side, "ff2") for side in both]
    segments = parts(sides, how)
    table = cosines = None
    if sides.whole and how.by:
        table = core.backward_difference(*lenses, vocabularies=sizes(sides), segments=segments)
        if sides.same_model:
            runs = [tables.trace(side) for side in both]
            cosines = core.delta_cosines(*runs, segments=segments)
            table = table.merge(cosines, on=["layer", "position", "token"], how="left")
        place.say(backward_text(sides, lenses, table, cosines, bool(segments)))
    elif sides.whole:
        place.say(apart_finding(*lenses, marked_names(sides), NORM, "‖δ‖ of FF2"))
    if view in (DIFFERENCE, LISTED):
        names = comparable(sides, BACKWARD)
        measure = choice(row, "What is compared", names, "compare_backward_measure")
        column = COSINE if measure == COSINE else measure
        (difference_table if view == DIFFERENCE else listed)(
            place,
            sides,
            how,
            table,
            column,
            numbers(BACKWARD[measure], measure),
            key="compare_backward",
        )
    else:
        draw = partial(backward_picture, common_scale(sides, lenses, NORM))
        side_pictures(place, sides, lenses, draw, "Heatmap of the words that the update says")
    if not sides.whole:
        return
    lines = [
        'left = backward_lens({0.trace}, "ff2")',
        'right = backward_lens({1.trace}, "ff2")',
    ]
    if table is None:
        lines.append("table = both_sides(left, right)")
        place.finish(comparison_code(sides.left, sides.right, *lines), core.both_sides(*lenses))
        return
    call = f"backward_difference(left, right, vocabularies=sizes{given(segments)})"
    lines += [SIZES, f"table = {call}"]
    if cosines is not None:
        lines += [
            f"cosines = delta_cosines({{0.trace}}, {{1.trace}}{given(segments)})",
            'table = table.merge(cosines, on=["layer", "position", "token"], how="left")',
        ]
    code = comparison_code(sides.left, sides.right, *lines, by_segment=bool(segments))
    place.finish(code, table)


def backward_text(
    sides: Sides,
    lenses: list[pd.DataFrame],
    table: pd.DataFrame,
    cosines: pd.DataFrame | None,
    segmented: bool,
) -> str:
    """Whose signal is stronger, how alike they point, and how many words differ."""
    if sides.same_model:
        text = strength_finding(*lenses, table, marked_names(sides))
    else:
        text = apart_finding(*lenses, marked_names(sides), NORM, "‖δ‖ of FF2")
    if cosines is not None:
        text += f" {cosine_finding(cosines)}"
    return text if segmented else f"{text} {words_finding(table)}"


def backward_picture(scale: Scale, request: Request, lens: pd.DataFrame, width: int):
    run = tables.trace(request)
    table = lens.assign(word=[first(tokens) for tokens in lens["bottom_tokens"]])
    return gradient_table(
        table,
        {
            "Pushed towards (bottom of δ)": "bottom_tokens",
            "Pushed away from (top of δ)": "top_tokens",
        },
        run.target.token,
        run.answer,
        "Strength of the signal: ‖δ‖ of FF2, L2",
        marked=[run.target.token in tokens[:1] for tokens in table["bottom_tokens"]],
        page_width=width,
        domain=scale,
    )
