"""The comparison's norms: how strong the signal is on either side."""

from __future__ import annotations

from functools import partial

import pandas as pd

import core
from app.cells.compare_measures import (
    NORM,
    NORMS,
    SHARE,
    comparable,
    given,
    numbers,
    parts,
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
from app.cells.tooltips import describe_cells, exact, short_number
from app.charts.token_table import NUMBER_WIDTH, Quantity, token_table
from app.findings.compared import (
    apart_finding,
    strength_finding,
)
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.compared import comparison_code
from app.shell.state import Request
from app.titles import MODULE_TITLES


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
        place.say(text)
    elif sides.whole:
        place.say(apart_finding(*norms, marked_names(sides), column, symbol))
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
