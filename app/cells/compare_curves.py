"""The comparison's curves over the layers: the target's rank, and the gradient's rank."""

from __future__ import annotations

import pandas as pd
from streamlit.delta_generator import DeltaGenerator

import core
from app.cells.compare_sides import Sides
from app.cells.compare_views import (
    DIFFERENCE,
    LISTED,
    SIDE,
    VIEWS,
    control_row,
    marked_names,
    side_title,
    signed,
)
from app.cells.controls import choice
from app.charts.two_sides import difference_bars, side_curves
from app.findings.compared import place_finding, ranks_finding
from app.findings.lenses import last_token
from app.notebook import tables
from app.notebook.cell import Cell, cell, is_dark
from app.notebook.compared import comparison_code
from app.shell.state import Request
from app.titles import MATRIX_TITLES
from app.words import number

VECTORS = {"delta": "Signal δ of FF2", "forward": "Forward lens"}
DEPTHS = "The models have other numbers of layers: their curves are laid over relative depth, and "


def target_rank_comparison(number_of: int, sides: Sides) -> None:
    place = cell(
        number_of,
        "Where the target stands",
        "How probable each side's own target is at the last token, by layer. In δ, the lower a "
        "line runs, the more the update, which subtracts δ, pushes towards the target.",
        key="compare_target_rank",
        original=True,
    )
    row = control_row(place)
    view = curve_view(place, row, sides, "compare_target_rank")
    vector = choice(row, "Read in", VECTORS, "compare_target_rank_vector")
    whole = [side and whole_table(side, vector) for side in (sides.left, sides.right)]
    curves = stacked([lens if lens is None else at_last_token(lens) for lens in whole])
    if sides.whole:
        place.say(place_finding(curves, marked_names(sides), gradient=vector == "delta"))
    calls = {
        "delta": 'backward_lens({i.trace}, "ff2")',
        "forward": "forward_lens({i.asked}{i.edits})",
    }
    call = calls[vector]
    draw_curves(place, sides, curves, "place", "Rank of the target, of the vocabulary", view)
    if sides.whole:
        lines = [
            "left = " + call.replace("{i", "{0"),
            "right = " + call.replace("{i", "{1"),
            'left["place"] = left["target_rank"] / ({0.model}.vocabulary_size - 1)',
            'right["place"] = right["target_rank"] / ({1.model}.vocabulary_size - 1)',
            "table = both_sides(left, right)",
        ]
        place.finish(comparison_code(sides.left, sides.right, *lines), core.both_sides(*whole))


def whole_table(request: Request, vector: str) -> pd.DataFrame:
    """All tokens' places of the target, from 0 (most probable) to 1."""
    if vector == "delta":
        lens = tables.backward_lens(request, "ff2")
    else:
        lens = tables.forward_lens(request)
    ranks = lens["target_rank"].to_numpy("float64", na_value=float("nan"))
    return lens.assign(place=ranks / (request.model.vocabulary_size - 1))


def at_last_token(table: pd.DataFrame) -> pd.DataFrame:
    """Layer and place."""
    return last_token(table)[["layer", "place"]]


def gradient_rank_comparison(number_of: int, sides: Sides) -> None:
    place = cell(
        number_of,
        "How many directions the change has",
        "The rank of the gradient of either side in every layer. It cannot be higher than the "
        "number of prompt tokens: the share says how near to that it is.",
        key="compare_rank",
        original=True,
    )
    row = control_row(place)
    view = curve_view(place, row, sides, "compare_rank")
    both = [side and tables.gradient_rank(side) for side in (sides.left, sides.right)]
    known = [set(table["matrix"]) for table in both if table is not None]
    matrix = choice(
        row,
        "Matrix",
        MATRIX_TITLES,
        "compare_rank_matrix",
        among=set.intersection(*known),
        default="ff2",
    )
    measure = choice(
        row,
        "Counted",
        {"rank": "In directions", "share": "As a share of the prompt's tokens"},
        "compare_rank_measure",
    )
    shown = [table if table is None else of_matrix(table, matrix) for table in both]
    if sides.whole:
        place.say(ranks_finding(*shown, marked_names(sides)))
    title = "Rank of the gradient" if measure == "rank" else "Rank / prompt tokens"
    draw_curves(place, sides, stacked(shown), measure, title, view)
    if not sides.whole:
        return
    lines = ["left = gradient_rank({0.trace})", "right = gradient_rank({1.trace})"]
    if same_depth(sides):
        lines.append("table = rank_difference(left, right)")
        table = core.rank_difference(*both)
    else:
        lines.append("table = both_sides(left, right)")
        table = core.both_sides(*both)
    place.finish(comparison_code(sides.left, sides.right, *lines), table)


def of_matrix(table: pd.DataFrame, matrix: str) -> pd.DataFrame:
    rows = table[table["matrix"] == matrix].reset_index(drop=True)
    return rows.assign(share=rows["rank"] / rows["prompt_length"])


def stacked(both: list[pd.DataFrame | None]) -> pd.DataFrame:
    """core.both_sides, also where a side is missing."""
    left, right = both
    if left is None or right is None:
        only = left if right is None else right
        name = "right" if left is None else "left"
        return core.both_sides(only, only).query(f"side == '{name}'")
    return core.both_sides(left, right)


def same_depth(sides: Sides) -> bool:
    return sides.left.model.n_layers == sides.right.model.n_layers


def curve_view(place: Cell, row: DeltaGenerator, sides: Sides, key: str) -> str:
    """The view that was picked; with other depths there are only both lines in one picture."""
    titles = VIEWS | {SIDE: "Both lines"}
    view = choice(row, "View", titles, f"{key}_view")
    if sides.whole and not same_depth(sides):
        place.controls.caption(f"{DEPTHS}a difference layer by layer would mean nothing.")
        return SIDE
    return view if sides.whole else SIDE


def draw_curves(
    place: Cell, sides: Sides, curves: pd.DataFrame, column: str, title: str, view: str
) -> None:
    """Both lines, or the difference as bars or a list."""
    names = (side_title(sides, False), side_title(sides, True))
    if view == SIDE:
        depth = sides.whole and not same_depth(sides)
        chart = side_curves(
            curves, column, title, names, dark=is_dark(), places=column == "place", depth=depth
        )
        place.draw(chart, f"Line chart by layer, a line for each side. {title}", fit=True)
        return
    pivot = curves.pivot_table(index="layer", columns="side", values=column, dropna=False)
    table = pivot.reindex(columns=["left", "right"]).reset_index()
    table["difference"] = table["right"] - table["left"]
    if view == DIFFERENCE:
        known = table.dropna(subset="difference")
        chart = difference_bars(
            known, "difference", f"{title}: right less left", names, dark=is_dark()
        )
        place.draw(chart, f"Bar chart of the difference by layer. {title}", fit=True)
    elif view == LISTED:
        write = (lambda v: f"{v:.1%}") if column in ("place", "share") else number
        rows = core.largest_first(table, "difference")
        place.picture.dataframe(
            pd.DataFrame(
                {
                    "Layer": rows["layer"].astype(str),
                    f"{title}: right less left": [
                        signed(v, write, column) or "–" for v in rows["difference"]
                    ],
                    names[0]: ["–" if pd.isna(v) else write(v) for v in rows["left"]],
                    names[1]: ["–" if pd.isna(v) else write(v) for v in rows["right"]],
                }
            ),
            hide_index=True,
            key=f"{place.key}_rows",
        )
