"""Lines of several studies in one picture, with layers and ranks from 0 to 1 (Figures 3, 18)."""

from __future__ import annotations

import altair as alt
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, LINES
from app.charts.style import finished, layered

LAYER_TITLE = "Layer, from the first (0) to the last (1)"


def share_by_layer(table: pd.DataFrame, *, dark: bool) -> alt.LayerChart:
    """The share of prompts whose gradient has full rank, a line a study (Figure 3).

    table: study, layer, relative_layer, rank_is_full, rank_is_full_error, n.
    """
    y = alt.Y(
        "rank_is_full:Q",
        title="Prompts with full rank",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format=".0%", tickCount=5),
    )
    shown = alt.Tooltip("rank_is_full:Q", title="Share with full rank", format=".1%")
    return lines(table, "rank_is_full", y, shown, dark=dark)


def relative_rank_by_layer(
    table: pd.DataFrame, word: str, title: str, *, dark: bool
) -> alt.LayerChart:
    """A word's mean rank as a part of the vocabulary, a line a study (Figure 18).

    table: study, layer, relative_layer, relative_<word>_rank, n. The most probable is on top.
    """
    column = f"relative_{word}_rank"
    ends = (
        "datum.value == 0 ? 'most probable (0)' : datum.value == 1 ? 'least probable (1)' : "
        "format(datum.value, '.2f')"
    )
    y = alt.Y(
        f"{column}:Q",
        title=title,
        scale=alt.Scale(domain=[0, 1], reverse=True),
        axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], labelExpr=ends, labelLimit=200),
    )
    shown = alt.Tooltip(f"{column}:Q", title="Mean rank, part of the vocabulary", format=".3f")
    return lines(table[table[column].notna()], column, y, shown, dark=dark)


def lines(
    table: pd.DataFrame, column: str, y: alt.Y, shown: alt.Tooltip, *, dark: bool
) -> alt.LayerChart:
    """A line a study, with its standard error where the table has one."""
    studies = list(dict.fromkeys(table["study"]))
    colours = [ACCENT[dark], *LINES[dark]][: len(studies)]
    colour = alt.Color(
        "study:N",
        title="Study",
        scale=alt.Scale(domain=studies, range=colours),
        sort=studies,
        legend=alt.Legend(orient="top", labelLimit=300) if len(studies) > 1 else None,
    )
    error = table[f"{column}_error"].fillna(0) if f"{column}_error" in table else 0
    data = pa.table(
        {name: table[name] for name in ("study", "layer", "relative_layer", "n", column)}
        | {
            "low": (table[column] - error).clip(0, 1),
            "high": (table[column] + error).clip(0, 1),
        }
    )
    x = alt.X(
        "relative_layer:Q",
        title=LAYER_TITLE,
        scale=alt.Scale(domain=[0, 1], nice=False, padding=8),
        axis=alt.Axis(format=".1f", tickCount=10),
    )
    base = alt.Chart().encode(x=x, color=colour)
    spread = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        y=alt.Y("low:Q", title=""), y2=alt.Y2("high:Q")
    )
    curves = base.mark_line(point={"size": 55, "filled": True}).encode(
        y=y,
        tooltip=[
            alt.Tooltip("study:N", title="Study"),
            alt.Tooltip("layer:O", title="Layer"),
            shown,
            alt.Tooltip("n:Q", title="Prompts"),
        ],
    )
    return finished(layered(curves, spread, data=data, height=300), dark)
