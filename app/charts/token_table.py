"""The token table: layer by prompt token, a word in each cell, colour for a quantity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, INK, PAPER, QUIET, ramp
from app.charts.regions import PICKED, Region, region_frames, rows_of
from app.charts.style import (
    FONT_SIZE,
    OWN_COLOURS,
    along,
    finished,
    in_layer,
    labels_of,
    layered,
    squares,
)
from app.charts.themes import in_both_themes
from app.outliers import ordinary_limit
from app.words import number, shortened, visible

PAGE_WIDTH = 790  # pixels that a laptop leaves beside the sidebar and the layer axis
CELL_WIDTHS = (66, 130)
LEGEND_LENGTH = 260
NUMBER_WIDTH = 50  # the least for a cell that holds a short number
CHARACTER_WIDTH = 7.1  # of the table's 12-pixel font
OPENS_AT_END = {"opensAtEnd": True}  # of a table whose layers stand at its right end
BEYOND = "◥"  # in the corner of a cell whose value is beyond the scale


@dataclass(frozen=True)
class Quantity:
    """What colour means: the column, its palette, its name with unit, and its scale.

    `domain` fixes the ends of the scale; else they are the column's own, where a few huge values
    are left beyond its end. `log` is for ranks, which span the vocabulary.
    """

    column: str
    palette: str
    title: str
    domain: tuple[float, float] | None = None
    log: bool = False


@in_both_themes
def token_table(
    table: pd.DataFrame,
    text: str,
    quantity: Quantity,
    tooltips: dict[str, pd.Series],
    *,
    dark: bool,
    blank: str | None = None,
    marked: pd.Series | None = None,
    page_width: int = PAGE_WIDTH,
    least_width: int = CELL_WIDTHS[0],
    x_title: str = "Prompt token",
    names: dict[str, str] | None = None,
    scale_of: pd.DataFrame | None = None,
    slanted: bool = False,
    picked: Sequence[Region] | None = None,
) -> alt.LayerChart:
    """A heatmap with text; the last layer on top, prompt tokens from left to right.

    table: one row a cell with layer, position, token and the columns named here. `text` is the
    column written in the cells, `tooltips` maps titles to a text for each row, `blank` names a
    boolean column of cells that stay empty, `marked` says which cells get a frame. Cells share
    `page_width` pixels, but none is narrower than `least_width`: the table scrolls instead, and
    columns of layer numbers stand so near to one another that one is always in sight.
    `names` are the labels of columns that are no tokens, `slanted` where they have little room.
    Tables that are compared have one scale, that of `scale_of`, all of them together.
    With `picked`, a click picks a cell (selection "cell": layer, position), and these regions are
    framed; none of them, to begin with.
    """
    low, high, limit = ends(table if scale_of is None else scale_of, quantity)
    n_tokens, n_layers = table["position"].nunique(), table["layer"].nunique()
    width = max(least_width, min(CELL_WIDTHS[1], page_width // n_tokens))
    height = 26 if n_layers <= 12 else 21
    scrolls = width * n_tokens > page_width
    rulers = ruler_places(n_tokens, page_width // width) if scrolls else []
    colours = ramp(quantity.palette, dark)
    nowhere = pd.Series(False, index=table.index)
    hidden = table[blank] if blank else nowhere
    values = table[quantity.column].astype("float64")
    inks = colours.inks(share(values.to_numpy(), low, high, quantity.log))
    letters = int((width - 6) / CHARACTER_WIDTH)
    cells = pa.table(
        {
            "layer": table["layer"],
            # A prompt may lack segments: columns are counted as they stand.
            "position": np.unique(table["position"], return_inverse=True)[1],
            "value": values + (1 if quantity.log else 0),
            "text": [
                "–" if h else shortened(t, letters)
                for h, t in zip(hidden, table[text], strict=True)
            ],
            "ink": [QUIET[dark] if h else ink for h, ink in zip(hidden, inks, strict=True)],
            "hidden": hidden,
            "marked": nowhere if marked is None else marked.reindex(table.index),
            "beyond": nowhere if limit is None else values > limit,
        }
        # Titles may hold any text, and a field's name may not hold a dot or a bracket.
        | {f"tip{i}": lines.reindex(table.index) for i, lines in enumerate(tooltips.values())}
    )
    scale = alt.Scale(
        domain=domain_of_three(low, high, quantity.log),
        range=list(colours.stops),
        type="log" if quantity.log else "linear",
        interpolate="rgb",
        clamp=True,
    )
    # A table that scrolls opens at its end, the last prompt token: its layers stand there.
    layer_axis = alt.Axis(grid=False, orient="right" if scrolls else "left")
    up = {"sort": "descending"}
    if picked is not None:  # Vega-Lite sorts no values of two tables, the cells and what is picked
        up = {"scale": alt.Scale(domain=np.unique(table["layer"])[::-1].tolist())}
    base = alt.Chart().encode(  # its numbers are all layers', and stand beside them
        x=alt.X(
            "position:O",
            title=x_title,
            axis=token_axis(table, letters if not slanted else 99, names, dark, slanted),
            scale=alt.Scale(domain=sorted([*range(n_tokens), *rulers])),
        ),
        y=alt.Y("layer:O", title="Layer", axis=layer_axis, **up),
        # Vega-Lite puts a title between quotes, but escapes no backslash in it.
        tooltip=[
            alt.Tooltip(f"tip{i}:N", title=title.replace("\\", "\\\\"))
            for i, title in enumerate(tooltips)
        ],
    )
    place = {"orient": "bottom"}
    if scrolls:  # under the end of the table, where it opens
        end = width * (n_tokens + len(rulers)) - LEGEND_LENGTH - 30
        bottom = height * n_layers + 44
        place = {"orient": "none", "legendX": end, "legendY": bottom, "direction": "horizontal"}
    title = quantity.title
    if limit is not None:
        title += f" ({BEYOND} is beyond the scale)"
        place |= {"values": [low, (low + limit) / 2, limit], "labelExpr": legend_labels(low, limit)}
    if quantity.log:
        place["values"] = [10**power for power in range(len(str(int(high + 1))))]
    if quantity.palette == "difference":
        place |= {"values": [low, low / 2, 0, high / 2, high], "format": ",.2~r"}
    legend = alt.Legend(**place, **squares(dark), titleLimit=LEGEND_LENGTH + 140)
    fill = alt.Color(
        "value:Q",
        title=title,
        scale=scale,
        legend=legend,
        condition={"test": "datum.hidden", "value": "transparent"},
    )
    rects = base.mark_rect(stroke=INK[dark], strokeOpacity=0.12).encode(color=fill)
    words = base.mark_text(fontSize=FONT_SIZE, clip=True).encode(
        text=alt.Text("text:N"), color=alt.Color("ink:N", scale=None)
    )
    layers = [rects, words]
    if limit is not None:
        corner = {"dx": width / 2 - 2, "dy": 1 - height / 2, "align": "right", "baseline": "top"}
        layers.append(
            base.transform_filter("datum.beyond")
            .mark_text(text=BEYOND, fontSize=FONT_SIZE, **corner)
            .encode(color=alt.Color("ink:N", scale=None))
        )
    if rulers:
        layers.append(layer_rulers(table, rulers, dark))
    if marked is not None and marked.any():
        framed = base.transform_filter("datum.marked")
        # The frame stands on a halo: on the strongest cells it would not be seen without.
        layers += [
            framed.mark_rect(filled=False, stroke=colour[dark], strokeWidth=width)
            for colour, width in ((PAPER, 6), (ACCENT, 3))
        ]
    more = {"usermeta": OPENS_AT_END} if scrolls else {}
    if picked is not None:
        rects.name, rects.mark.cursor, words.mark.cursor = "cells", "pointer", "pointer"
        pick = alt.selection_point(
            name="cell", fields=["layer", "position"], on="click", toggle=False
        )
        layers += region_frames(dark)
        more |= {"params": [in_layer(pick, "cells")], "datasets": {PICKED: rows_of(picked, table)}}
    chart = layered(
        *layers,
        data=cells,
        width=alt.Step(width),
        height=alt.Step(height),
        resolve=OWN_COLOURS,
        **more,
    )
    return finished(chart, dark)


def ends(table: pd.DataFrame, quantity: Quantity) -> tuple[float, float, float | None]:
    """The least and the largest value of the scale, and the largest again if some are beyond."""
    values = table[quantity.column]
    if quantity.domain:
        return *quantity.domain, None
    limit = None if quantity.log else ordinary_limit(values, table["position"])
    return values.min(), values.max() if limit is None else limit, limit


def legend_labels(low: float, limit: float) -> str:
    """Vega's expression for the three labels of a scale that ends before the largest value."""
    middle = (low + limit) / 2
    return (
        f"datum.value < {(low + middle) / 2} ? '{number(low)}' : "
        f"datum.value < {(middle + limit) / 2} ? '{number(middle)}' : '≥ {number(limit)}'"
    )


def ruler_places(n_tokens: int, seen: int) -> list[float]:
    """Between which tokens the layers stand again, if `seen` columns fit the page: 9.5 is between
    9 and 10. One is at the left end; the axis itself is at the right."""
    every = max(3, seen - 2)
    places = range(n_tokens - every, 1, -every)
    return [-0.5, *sorted(place - 0.5 for place in places)]


def layer_rulers(table: pd.DataFrame, places: list[float], dark: bool) -> alt.Chart:
    """The layers' numbers, inside a table that scrolls."""
    layers = np.unique(table["layer"]).tolist()
    numbers = {"layer": layers * len(places), "position": np.repeat(places, len(layers))}
    return (
        alt.Chart(pa.table(numbers))
        .mark_text(fontSize=FONT_SIZE, color=INK[dark])
        .encode(
            x=alt.X("position:O"), y=alt.Y("layer:O", sort="descending"), text=alt.Text("layer:O")
        )
    )


def domain_of_three(low: float, high: float, log: bool) -> list[float]:
    """The values of a ramp's three colours; a log scale is over rank + 1, as ranks begin at 0."""
    if log:
        low, high = low + 1, max(high + 1, low + 1.001)
        return [low, math.sqrt(low * high), high]
    high = max(high, low + 1e-9)
    return [low, (low + high) / 2, high]


def share(values: np.ndarray | float, low: float, high: float, log: bool) -> np.ndarray | float:
    """Where values lie between the ends of their scale, from 0 to 1; 0 for a value that is NaN."""
    if log:
        values, low, high = np.log(np.add(values, 1)), math.log(low + 1), math.log(high + 1)
    if not high > low:
        return np.zeros_like(values)
    return np.nan_to_num((values - low) / (high - low))


def token_axis(
    table: pd.DataFrame, letters: int, names: dict[str, str] | None, dark: bool, slanted: bool
) -> alt.Axis:
    """Prompt tokens as labels; the position stays the key, so that repeated tokens keep apart."""
    tokens = along(table, "position", "token")
    shown = [shortened(names[t] if names else visible(t), letters) for t in tokens]
    last = len(tokens) - 1
    return alt.Axis(
        labelExpr=labels_of(shown),
        labelAngle=-40 if slanted else 0,
        labelLimit=0,
        labelOverlap=False,
        labelColor={
            "condition": {"test": f"datum.value == {last}", "value": ACCENT[dark]},
            "value": INK[dark],
        },
        grid=False,
    )
