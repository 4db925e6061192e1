"""Lines of several studies, or groups of prompts, in one picture, with layers and ranks from 0 to 1
(Figures 3, 18)."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, INK, LINES, QUIET
from app.charts.style import finished, layered
from app.charts.themes import in_both_themes
from app.titles import WORD_TITLES

LAYER_TITLE = "Layer, from the first (0) to the last (1)"


@in_both_themes
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


@in_both_themes
def relative_rank_by_layer(
    table: pd.DataFrame, words: Sequence[str], title: str, *, dark: bool
) -> alt.LayerChart:
    """Words' mean ranks as a part of the vocabulary, a line a study and word (Figures 18, 19).

    table: study, layer, relative_layer, n, and relative_<word>_rank for each of `words`, "target"
    and "answer". The most probable is on top; of two words the second is dashed.
    """
    parts = [
        table.assign(rank=table[f"relative_{word}_rank"], Word=WORD_TITLES[word]) for word in words
    ]
    data = pd.concat(parts, ignore_index=True)
    ends = (
        "datum.value == 0 ? 'most probable (0)' : datum.value == 1 ? 'least probable (1)' : "
        "format(datum.value, '.2f')"
    )
    y = alt.Y(
        "rank:Q",
        title=title,
        scale=alt.Scale(domain=[0, 1], reverse=True),
        axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], labelExpr=ends, labelLimit=200),
    )
    shown = alt.Tooltip("rank:Q", title="Mean rank, part of the vocabulary", format=".3f")
    return lines(data[data["rank"].notna()], "rank", y, shown, dark=dark)


def colours(count: int, dark: bool) -> list[str]:
    """A colour for each of up to eight studies or groups."""
    return [ACCENT[dark], *LINES[dark], QUIET[dark], INK[dark]][:count]


def lines(
    table: pd.DataFrame, column: str, y: alt.Y, shown: alt.Tooltip, *, dark: bool
) -> alt.LayerChart:
    """A line a study, with its standard error where the table has one; of a table with a column
    Word a line a study and word."""
    studies = list(dict.fromkeys(table["study"]))
    colour = alt.Color(
        "study:N",
        title=None,
        scale=alt.Scale(domain=studies, range=colours(len(studies), dark)),
        sort=studies,
        legend=alt.Legend(orient="top", labelLimit=300) if len(studies) > 1 else None,
    )
    names = ["study", "layer", "relative_layer", "n", column]
    channels, tips = {}, []
    if "Word" in table:
        names.append("Word")
        channels["strokeDash"] = word_dashes(list(dict.fromkeys(table["Word"])), dark)
        tips = [alt.Tooltip("Word:N", title="Word")]
    error = table[f"{column}_error"].fillna(0) if f"{column}_error" in table else 0
    data = pa.table(
        {name: table[name] for name in names}
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
    shown_tips = [
        alt.Tooltip("study:N", title="Prompts of"),
        *tips,
        alt.Tooltip("layer:O", title="Layer"),
        shown,
        alt.Tooltip("n:Q", title="Prompts"),
    ]
    # Dots apart from their lines: else Vega-Lite draws the dashes of the legend transparent.
    curves = base.mark_line().encode(y=y, **channels)
    dots = base.mark_point(size=55, filled=True, opacity=1).encode(y=y, tooltip=shown_tips)
    return finished(layered(curves, dots, spread, data=data, height=300), dark)


def word_dashes(words: list[str], dark: bool) -> alt.StrokeDash:
    """The first word's line is whole, the second's dashed."""
    stroke = {"symbolType": "stroke", "symbolStrokeColor": INK[dark], "symbolStrokeWidth": 2}
    return alt.StrokeDash(
        "Word:N",
        title=None,
        scale=alt.Scale(domain=words, range=[[1, 0], [5, 4]][: len(words)]),
        sort=words,
        legend=alt.Legend(orient="top", symbolSize=400, **stroke) if len(words) > 1 else None,
    )
