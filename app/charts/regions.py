"""Frames on a token table: around the cell that is picked, and around what it can reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import altair as alt
import pandas as pd

from app.charts.palette import INK, PAPER

PICKED = "picked"  # the name of the data that say which cell is picked, and what is framed with it


@dataclass(frozen=True)
class Region:
    """A rectangle of cells, ends included: the picked cell itself ("own"), or what it can reach."""

    kind: str  # "own" or "reached"
    low: int  # layer
    high: int
    first: int  # position
    last: int


def rows_of(regions: Sequence[Region], table: pd.DataFrame) -> list[dict[str, object]]:
    """Regions as data, cut to the layers that are shown; never none, so that a picture that has
    none yet is the same picture."""
    layers, last = sorted(set(table["layer"].tolist())), int(table["position"].max())
    rows = [{"kind": "none", "low": layers[0], "high": layers[0], "first": 0, "last": 0}]
    for region in regions:
        shown = [layer for layer in layers if region.low <= layer <= region.high]
        if shown and 0 <= region.first <= region.last <= last:
            cut = {"low": shown[0], "high": shown[-1]}
            rows.append({"kind": region.kind, "first": region.first, "last": region.last} | cut)
    return rows


# Pixels: a frame that stood out of the table would make the picture larger, and move it.
INSIDE = {"xOffset": 2, "x2Offset": -2, "yOffset": 2, "y2Offset": -2}


@cache
def region_frames(dark: bool) -> tuple[alt.Chart, ...]:
    """The picked cell in a frame, what it reaches in dashes; on a halo, for any colour. The same
    for all tables: nothing may be changed in them."""
    places = alt.FacetedEncoding(
        x=alt.X("first:O", bandPosition=0),
        x2=alt.X2("last:O", bandPosition=1),
        y=alt.Y("high:O", bandPosition=0),
        y2=alt.Y2("low:O", bandPosition=1),
    )
    style = {"filled": False, "strokeJoin": "round", "aria": False} | INSIDE
    return tuple(
        alt.Chart(
            alt.NamedData(PICKED),
            encoding=places,
            mark=alt.MarkDef("rect", stroke=colour[dark], strokeWidth=width, **style, **line),
            transform=[alt.FilterTransform(f"datum.kind {sign} '{kind}'")],
        )
        for sign, kind, colour, width, line in (
            ("!=", "none", PAPER, 4, {}),
            ("==", "reached", INK, 2, {"strokeDash": [5, 4]}),
            ("==", "own", INK, 2, {}),
        )
    )
