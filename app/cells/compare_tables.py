"""The comparison's token tables: forward lens, backward lens and norms of two requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pandas as pd

import core
from app.cells.backward import gradient_table
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
from app.cells.tooltips import describe_cells, exact, first, first_words, rank_text, short_number
from app.charts.token_table import NUMBER_WIDTH, Quantity, token_table
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
from app.titles import MODULE_TITLES
from app.words import percent, visible

NORM, SHARE, PLACE, COSINE = "norm", "share", "place", "cosine"
FORWARD = {
    "probability": "Target's probability",
    "log_probability": "Its logarithm",
    PLACE: "Target's rank",
}
BACKWARD = {
    NORM: "Strength ‖δ‖",
    SHARE: "Share of the signal",
    PLACE: "Target's rank in δ",
    COSINE: "Direction (cosine)",
}
NORMS = {
    NORM: "Signal ‖δ‖",
    SHARE: "Share of the signal",
    "input_norm": "Input ‖x‖",
    "input_share": "Share of the input",
}
PER_SIDE = {"norm", "input_norm"}  # measures of two models that have no common scale
SIZES = "sizes = ({0.model}.vocabulary_size, {1.model}.vocabulary_size)"


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
        place.picture.markdown(probability_finding(table, marked_names(sides)) + words)
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
        place.picture.markdown(backward_text(sides, lenses, table, cosines, bool(segments)))
    elif sides.whole:
        place.picture.markdown(apart_finding(*lenses, marked_names(sides), NORM, "‖δ‖ of FF2"))
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


def norms_comparison(number: int, sides: Sides, how: core.Alignment) -> None:
    place = cell(
        number,
        "How strong the signal is",
        "The size of the learning signal δ, or of the input x, in each layer at each token. Their "
        "product is the size of the correction.",
        key="compare_norms",
        original=True,
    )
    row = control_row(place)
    view = view_of(row, how, "compare_norms")
    both = [side for side in (sides.left, sides.right) if side]
    among = set.intersection(*(set(tables.trace(side).factors) for side in both))
    module = choice(row, "Part of the model", MODULE_TITLES, "compare_module", among=among)
    measure = choice(row, "What is compared", comparable(sides, NORMS), "compare_norms_measure")
    norms = [side and of_module(side, module) for side in (sides.left, sides.right)]
    segments = parts(sides, how)
    column = measure.replace(SHARE, NORM)  # what either side's own table shows
    symbol = "‖x‖" if "input" in measure else "‖δ‖"
    table = None
    if sides.whole and how.by:
        table = core.norm_difference(*norms, segments=segments)
        text = norms_text(sides, norms, table, measure, symbol)
        place.picture.markdown(text)
    elif sides.whole:
        place.picture.markdown(apart_finding(*norms, marked_names(sides), column, symbol))
    if view in (DIFFERENCE, LISTED):
        (difference_table if view == DIFFERENCE else listed)(
            place, sides, how, table, measure, numbers(NORMS[measure], measure), key="compare_norms"
        )
    else:
        title = f"{'Input' if symbol == '‖x‖' else 'Signal'}: {symbol}, L2"
        draw = partial(norm_picture, column, title, common_scale(sides, norms, column))
        side_pictures(
            place, sides, norms, draw, f"Heatmap by layer and token. {title}", least=NUMBER_WIDTH
        )
    if not sides.whole:
        return
    lines = [
        "left, right = (vjp_norms(run) for run in ({0.trace}, {1.trace}))",
        f'left, right = (side[side["module"] == "{module}"] for side in (left, right))',
        f"table = norm_difference(left, right{given(segments)})",
    ]
    if table is None:
        lines[-1] = "table = both_sides(left, right)"
        table = core.both_sides(*norms)
    code = comparison_code(sides.left, sides.right, *lines, by_segment=bool(segments))
    place.finish(code, table)


def of_module(request: Request, module: str) -> pd.DataFrame:
    norms = tables.vjp_norms(request)
    return norms[norms["module"] == module].reset_index(drop=True)


def norms_text(
    sides: Sides, norms: list[pd.DataFrame], table: pd.DataFrame, measure: str, symbol: str
) -> str:
    things = {
        NORM: "signal is stronger",
        "input_norm": "input is larger",
        SHARE: "layer holds more of its whole signal",
        "input_share": "layer holds more of its whole input",
    }
    column = measure.replace(SHARE, NORM)
    shown = norms
    if measure != column:
        shown = [side.assign(**{measure: side[column] / side[column].sum()}) for side in norms]
        symbol = "share"
    return strength_finding(*shown, table, marked_names(sides), measure, things[measure], symbol)


def norm_picture(
    column: str, title: str, scale: Scale, request: Request, norms: pd.DataFrame, width: int
):
    table = norms.assign(text=norms[column].map(short_number))
    tooltips = describe_cells(table) | {
        "‖δ‖, L2": table["norm"].map(exact),
        "‖x‖, L2": table["input_norm"].map(exact),
    }
    return token_table(
        table,
        "text",
        Quantity(column, column, title, domain=scale),
        tooltips,
        dark=is_dark(),
        marked=table[column] == table[column].max(),
        page_width=width,
        least_width=NUMBER_WIDTH,
    )


def parts(sides: Sides, how: core.Alignment) -> tuple | None:
    """The segments of both prompts, where it is by them that the sides are compared."""
    return sides.segments if how.by == "segment" else None


def given(segments: object) -> str:
    return ", segments=parts" if segments else ""


def sizes(sides: Sides) -> tuple[int, int]:
    return tuple(side.model.vocabulary_size for side in (sides.left, sides.right))


def comparable(sides: Sides, measures: Mapping[str, str]) -> dict[str, str]:
    """The measures that mean something for these sides: vectors of two models have no common
    scale, and no common directions."""
    if not sides.whole or sides.same_model:
        return dict(measures)
    return {k: v for k, v in measures.items() if k not in PER_SIDE and k != COSINE}


def numbers(title: str, measure: str) -> tuple[str, Callable[[float], str]]:
    """The measure's name and how its values are written."""
    parts_of_one = {"probability", SHARE, PLACE, "input_share"}
    return title, (percent_text if measure in parts_of_one else short_number)


def percent_text(value: float) -> str:
    if pd.isna(value):
        return "–"
    return "0" if value == 0 else "<0.1%" if abs(value) < 0.0005 else f"{value:.1%}"
