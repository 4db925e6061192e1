"""Imprint and shift as a picture: what goes in, what is written, what is said before and after."""

from __future__ import annotations

from dataclasses import dataclass

import altair as alt
import pyarrow as pa

from app.charts.palette import ACCENT, INK, QUIET, ramp
from app.charts.style import finished, layered
from app.charts.themes import in_both_themes
from app.words import shortened

COLUMN, GAP, ROW, HEAD = 176, 34, 30, 58  # pixels
LETTERS = 15


@dataclass(frozen=True)
class Panel:
    """One column of the picture: two lines of title, and words with a bar for each."""

    title: str
    subtitle: str
    words: tuple[str, ...]
    shares: tuple[float, ...]  # 0 ... 1, the bars' lengths
    notes: tuple[str, ...]  # what stands at the right of each word


@in_both_themes
def flow_chart(panels: list[Panel], target: str, *, dark: bool) -> alt.LayerChart:
    """Panels from left to right with arrows between them; rows that hold the target are framed."""
    rows, heads = [], []
    for i, panel in enumerate(panels):
        left = i * (COLUMN + GAP)
        heads.append({"x": left, "title": panel.title, "subtitle": panel.subtitle})
        for j, (word, share, note) in enumerate(
            zip(panel.words, panel.shares, panel.notes, strict=True)
        ):
            rows.append(
                {
                    "left": left,
                    "right": left + COLUMN,
                    "top": HEAD + j * ROW,
                    "bottom": HEAD + j * ROW + ROW - 4,
                    "middle": HEAD + j * ROW + (ROW - 4) / 2,
                    "end": left + max(2.0, COLUMN * share),
                    "word": shortened(word, LETTERS),
                    "whole": word,
                    "note": note,
                    "marked": word == target,
                    "panel": panel.title,
                }
            )
    width = len(panels) * (COLUMN + GAP) - GAP
    height = HEAD + max(len(panel.words) for panel in panels) * ROW
    chart = layered(
        *row_marks(pa.Table.from_pylist(rows), width, height, dark),
        *head_marks(pa.Table.from_pylist(heads), width, height, dark),
        *arrow_marks(len(panels), width, height, dark),
        width=width,
        height=height,
    )
    return finished(chart, dark, view=alt.ViewConfig(stroke=None))


def across(field: str, width: float) -> alt.X:
    scale = alt.Scale(domain=[0, width], nice=False)
    return alt.X(f"{field}:Q", scale=scale, axis=None)


def down(field: str, height: float) -> alt.Y:
    scale = alt.Scale(domain=[height, 0], nice=False)
    return alt.Y(f"{field}:Q", scale=scale, axis=None)


def row_marks(rows: pa.Table, width: float, height: float, dark: bool) -> list[alt.Chart]:
    bars = ramp("probability", dark)
    base = alt.Chart(rows).encode(
        y=down("top", height),
        y2=alt.Y2("bottom:Q"),
        tooltip=[
            alt.Tooltip("panel:N", title="Where"),
            alt.Tooltip("whole:N", title="Word"),
            alt.Tooltip("note:N", title="How much"),
        ],
    )
    empty = base.mark_rect(fill=bars.stops[0], stroke=QUIET[dark], strokeOpacity=0.35).encode(
        x=across("left", width), x2=alt.X2("right:Q")
    )
    filled = base.mark_rect(fill=bars.stops[1], opacity=0.55).encode(
        x=across("left", width), x2=alt.X2("end:Q")
    )
    frames = (
        base.transform_filter("datum.marked")
        .mark_rect(filled=False, stroke=ACCENT[dark], strokeWidth=2.5)
        .encode(x=across("left", width), x2=alt.X2("right:Q"))
    )
    words, notes = (
        alt.Chart(rows)
        .mark_text(align=align, baseline="middle", dx=shift, fontSize=13)
        .encode(
            x=across(edge, width),
            y=down("middle", height),
            text=alt.Text(f"{text}:N"),
            color=alt.ColorValue(INK[dark]),
        )
        for align, shift, edge, text in (
            ("left", 7, "left", "word"),
            ("right", -7, "right", "note"),
        )
    )
    return [empty, filled, frames, words, notes]


def head_marks(heads: pa.Table, width: float, height: float, dark: bool) -> list[alt.Chart]:
    return [
        alt.Chart(heads)
        .mark_text(align="left", baseline="top", fontSize=size, fontWeight=weight, color=colour)
        .encode(x=across("x", width), y=alt.YValue(y), text=alt.Text(f"{text}:N"))
        for text, y, size, weight, colour in (
            ("title", 4, 14, "bold", INK[dark]),
            ("subtitle", 26, 12, "normal", QUIET[dark]),
        )
    ]


def arrow_marks(panels: int, width: float, height: float, dark: bool) -> list[alt.Chart]:
    middle = HEAD + (height - HEAD) / 2
    places = [(i + 1) * (COLUMN + GAP) - GAP / 2 for i in range(panels - 1)]
    numbers = pa.schema({"x": pa.float64(), "y": pa.float64()})  # also where there is none
    arrows = pa.table({"x": places, "y": [middle] * len(places)}, schema=numbers)
    mark = alt.Chart(arrows).mark_text(text="→", fontSize=24, color=QUIET[dark])
    return [mark.encode(x=across("x", width), y=down("y", height))]
