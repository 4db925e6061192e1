"""How a comparison is looked at: side by side, as a difference, or as a list."""

from __future__ import annotations

from collections.abc import Callable

import altair as alt
import pandas as pd
from streamlit.delta_generator import DeltaGenerator

import core
from app.cells.compare_sides import Sides
from app.cells.controls import (
    LAYERS_IN_SIGHT,
    MOST_LAYERS,
    SEGMENT_WIDTH,
    choice,
    some_layers,
)
from app.cells.tooltips import describe_cells
from app.charts.token_table import CELL_WIDTHS, PAGE_WIDTH, Quantity, token_table
from app.notebook.cell import Cell, is_dark
from app.outliers import ordinary_limit
from app.shell.state import Request
from app.titles import SEGMENT_TITLES
from app.words import plain, shortened, visible

SIDE, DIFFERENCE, LISTED = "sides", "difference", "list"
VIEWS = {SIDE: "Side by side", DIFFERENCE: "Difference", LISTED: "List (largest first)"}
HALF_WIDTH = 360  # pixels of a table that stands beside another
ROWS = 20  # of a list; all are in the CSV
UNBOUNDED = ("norm", "input_norm")  # measures of which a few cells may dwarf all others
NUMBER_CELL = 62  # pixels of a cell with a sign and a number

Scale = tuple[float, float] | None
Shown = tuple[str, Callable[[float], str]]  # a measure's name, and how its values are written
Picture = Callable[[Request, pd.DataFrame, int], alt.TopLevelMixin]


def control_row(place: Cell) -> DeltaGenerator:
    """Where a cell's pickers stand, beside one another."""
    return place.controls.container(horizontal=True, vertical_alignment="bottom", gap="small")


def view_of(row: DeltaGenerator, how: core.Alignment, key: str) -> str:
    """The view that was picked; side by side, with the reason, where there is no other."""
    view = choice(row, "View", VIEWS, f"{key}_view")
    if view != SIDE and not how.by:
        row.info(plain(how.reason))
        return SIDE
    return view


def marked_names(sides: Sides) -> tuple[str, str]:
    """The sides' names as Markdown."""
    return tuple(f"**{plain(name)}**" for name in sides.names)


def side_title(sides: Sides, right: bool) -> str:
    return f"{'Right' if right else 'Left'}: {sides.names[right]}"


def common_scale(sides: Sides, side_tables: list[pd.DataFrame | None], column: str) -> Scale:
    """The ends of one colour scale for both sides; None where each has its own, as two models'."""
    if not sides.same_model:
        return None
    ends = [
        ordinary_limit(table[column], table["position"]) or table[column].max()
        for table in side_tables
    ]
    return (0.0, float(max(ends)))


def side_pictures(
    place: Cell,
    sides: Sides,
    side_tables: list[pd.DataFrame | None],
    draw: Picture,
    alt_text: str,
    *,
    least: int = CELL_WIDTHS[0],
) -> None:
    """The picture of either side: beside one another if both fit, else one above the other."""
    requests = (sides.left, sides.right)
    widest = max(t["position"].nunique() for t in side_tables if t is not None)
    beside = widest * least <= HALF_WIDTH
    where = place.picture.columns(2) if beside else [place.picture, place.picture]
    thin = thinned(place, [t for t in side_tables if t is not None])
    for i, (request, table) in enumerate(zip(requests, side_tables, strict=True)):
        if request is None:
            continue
        chart = draw(request, thin(table), HALF_WIDTH if beside else PAGE_WIDTH)
        chart.title = side_title(sides, bool(i))
        name = "right" if i else "left"
        place.draw(chart, f"{alt_text}. {side_title(sides, bool(i))}", name=name, where=where[i])


def thinned(place: Cell, side_tables: list[pd.DataFrame]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Leaves out layers of deep models, of both sides alike, unless the visitor wants all."""
    deepest = max(side_tables, key=lambda table: table["layer"].max())
    if deepest["layer"].nunique() <= MOST_LAYERS:
        return lambda table: table
    whole = len(some_layers(place.controls, deepest, (), place.key)) == len(deepest)

    def thin(table: pd.DataFrame) -> pd.DataFrame:
        step = 1 if whole else -(-table["layer"].nunique() // LAYERS_IN_SIGHT)
        return table[(table["layer"].max() - table["layer"]) % step == 0]

    return thin


def column_of(measure: str) -> str:
    """Where a measure's difference stands; a cosine compares both sides itself."""
    return measure if measure == "cosine" else f"{measure}_difference"


def difference_table(
    place: Cell,
    sides: Sides,
    how: core.Alignment,
    table: pd.DataFrame,
    measure: str,
    shown: Shown,
    *,
    key: str,
) -> None:
    """Cells coloured by right less left; a frame marks the largest."""
    title, write = shown
    column = column_of(measure)
    segmented = how.by == "segment"
    values = table[column]
    limit = None
    if measure in UNBOUNDED:
        limit = ordinary_limit(values.abs(), table["position"])
    most = 1.0 if measure == "cosine" else float(limit or values.abs().max() or 0) or 1.0
    table = table.assign(
        text=[signed(v, write, measure) for v in values],
        blank=values.isna(),
        most=values.abs() == values.abs().max(),
    )
    tooltips = describe_cells(table) | both_values(table, sides, measure, write)
    table = thinned(place, [table])(table)
    chart = token_table(
        table,
        "text",
        Quantity(column, "difference", legend_title(sides, measure, title), domain=(-most, most)),
        {name: lines[table.index] for name, lines in tooltips.items()},
        dark=is_dark(),
        blank="blank",
        marked=None if measure == "cosine" else table["most"],
        least_width=SEGMENT_WIDTH if segmented else NUMBER_CELL,
        x_title="Segment of the prompt" if segmented else "Prompt token",
        names=SEGMENT_TITLES if segmented else None,
    )
    chart.title = f"{title}: right less left" if measure != "cosine" else title
    place.draw(chart, f"Heatmap of differences by layer and token. {title}", name="difference")
    place.controls.caption(caption(how, limit is not None and measure != "cosine"))


def signed(value: float, write: Callable[[float], str], measure: str) -> str:
    if pd.isna(value):
        return ""
    if measure == "cosine":
        return f"{value:.2f}".replace("-", "−")
    text = write(abs(value))
    if text.startswith("<"):
        return "≈ 0"
    return ("+" if value > 0 else "−" if value < 0 else "") + text


def both_values(
    table: pd.DataFrame, sides: Sides, measure: str, write: Callable[[float], str]
) -> dict[str, pd.Series]:
    """What the tooltip says of either side: its value, and its word where there is one."""
    lines = {}
    for side, name in zip(("left", "right"), sides.names, strict=True):
        if f"{side}_{measure}" in table:
            texts = table[f"{side}_{measure}"].map(write)
        else:
            texts = pd.Series("", index=table.index)
        if f"{side}_word" in table:
            words = table[f"{side}_word"].map(lambda w: "–" if pd.isna(w) else visible(w))
            texts = (texts + "   " + words).str.strip()
        lines[f"{side.title()}, {shortened(name, 30)}"] = texts
    return lines


def legend_title(sides: Sides, measure: str, title: str) -> str:
    if measure == "cosine":
        return "Cosine of the two δ: 1 is the same direction"
    left, right = (shortened(name, 24) for name in sides.names)
    if measure == "place":
        return f"← {left} further down · {right} further down →"
    return f"← {left} has more · {right} has more →"


def caption(how: core.Alignment, beyond: bool) -> str:
    """How to read a table of differences."""
    parts = ["The frame marks the largest difference; “–” is where a side has no signal."]
    if how.reason:
        parts.append(plain(how.reason))
    if beyond:
        parts.append("A few cells are so large that the colours end before them.")
    return " ".join(parts)


def listed(
    place: Cell,
    sides: Sides,
    how: core.Alignment,
    table: pd.DataFrame,
    measure: str,
    shown: Shown,
    *,
    key: str,
) -> None:
    """The cells with the largest differences, as a table."""
    title, write = shown
    column = column_of(measure)
    if measure == "cosine":  # the least alike first
        rows = table.sort_values(column, kind="stable").head(ROWS)
    else:
        rows = core.largest_first(table, column).head(ROWS)
    lines = {
        "Layer": rows["layer"].astype(str),
        "Segment" if how.by == "segment" else "Token": [
            SEGMENT_TITLES[t] if how.by == "segment" else f"{p + 1}. {visible(t)}"
            for p, t in zip(rows["position"], rows["token"], strict=True)
        ],
    }
    heading = f"{title}: right less left" if measure != "cosine" else title
    lines[heading] = [signed(v, write, measure) or "–" for v in rows[column]]
    lines |= both_values(rows, sides, measure, write)
    place.picture.dataframe(
        pd.DataFrame(lines),
        hide_index=True,
        height=38 + 26 * len(rows),
        row_height=26,
        key=f"{key}_rows",
    )
    order = (
        "The least alike cells come first"
        if measure == "cosine"
        else ("The largest differences come first")
    )
    place.controls.caption(
        f"{order}, the first {len(rows)} of {len(table)}; all are in the CSV. {plain(how.reason)}"
    )
