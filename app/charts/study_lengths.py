"""Gradient rank against prompt length over a study's prompts (Lemma 4.1; Figure 3 by length)."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, INK
from app.charts.rank_length import Group, colours_of, layer_groups, on_the_diagonal, word
from app.charts.style import finished, layered
from app.charts.themes import in_both_themes
from app.words import layer_list, named_layers, number

HEIGHT = 300
PAPER = ("Paper, Figure 3: on the dashed line in more than 98.5% of cases; in the last layer 1",)
NARROW = ("Paper, Figure 3: on the dashed line in more than", "98.5% of cases; in the last layer 1")


@in_both_themes
def mean_rank_by_length(
    ranks: pd.DataFrame,
    *,
    dark: bool,
    span: tuple[int, int] | None = None,
    width: int | None = None,
) -> alt.LayerChart:
    """The mean rank and its spread by prompt length, a line for layers that are alike.

    ranks: layer, prompt_length, n, gradient_rank, gradient_rank_spread, lowest, highest, of one
    matrix. Bars are a standard deviation to either side, dots the larger the more prompts have
    the length. The dashed diagonal is one direction a token. A panel among others has its
    `width`, and the shortest and the longest prompt of all as its `span`.
    """
    rows = ranks.rename(columns={"gradient_rank": "rank"})
    groups = layer_groups(rows, int(ranks["layer"].max()), None)
    shortest, longest = span or (ranks["prompt_length"].min(), ranks["prompt_length"].max())
    shortest, longest = min(int(shortest), int(longest) - 1), int(longest)
    x = alt.X(
        "prompt_length:Q",
        title="Prompt length (tokens)",
        scale=alt.Scale(domain=[shortest, longest], nice=False, padding=14),
        axis=alt.Axis(format="d", tickMinStep=1, grid=False),
    )
    y = alt.Y(
        "rank:Q",
        title="Mean rank of the gradient",
        scale=alt.Scale(domain=[0, longest * (1.15 if width is None else 1.35)], nice=False),
        axis=alt.Axis(format="d", tickMinStep=1, tickCount=8),
    )
    base = alt.Chart(rows_of(rows, groups)).encode(x=x, color=line_colour(groups, dark))
    lines = base.mark_line(strokeWidth=2.5).encode(y=y, detail=alt.Detail("Layers:N"))
    spread = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        y=alt.Y("below:Q", title=""), y2=alt.Y2("above:Q")
    )
    dots = base.mark_point(filled=True, opacity=1).encode(y=y, size=dot_size(ranks), tooltip=tips())
    size = {"height": HEIGHT} if width is None else {"height": HEIGHT, "width": width}
    notes = reference(x, y, shortest, longest, PAPER if width is None else NARROW, dark)
    return finished(layered(lines, spread, dots, *notes, **size), dark)


def line_name(group: Group) -> str:
    """What the legend calls a line; those near the diagonal share a name."""
    if group.role == "other":
        return "other layers"
    if group.role == "full":
        return on_the_diagonal(group.layers)
    name = named_layers(group.layers)
    return f"{name} (last)" if group.role == "last" else name


def line_colour(groups: list[Group], dark: bool) -> alt.Color:
    names = dict(zip(map(line_name, groups), colours_of(groups, dark), strict=True))
    scale = alt.Scale(domain=list(names), range=list(names.values()))
    legend = alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=4, labelLimit=300)
    return alt.Color("Line:N", title=None, scale=scale, sort=list(names), legend=legend)


def rows_of(rows: pd.DataFrame, groups: list[Group]) -> pa.Table:
    """A row a length and line; layers that are alike are described by the first of them."""
    parts = [
        rows[rows["layer"] == group.layers[0]].assign(
            Line=line_name(group), Layers=layer_list(group.layers)
        )
        for group in groups
    ]
    data = pd.concat(parts, ignore_index=True)
    spread = data["gradient_rank_spread"]
    return pa.table(
        {name: data[name] for name in ("prompt_length", "rank", "n", "Line", "Layers")}
        | {
            "below": np.maximum(data["rank"] - spread.fillna(0), data["lowest"]),
            "above": np.minimum(data["rank"] + spread.fillna(0), data["highest"]),
            "mean": [number(value) for value in data["rank"]],
            "Spread": [number(value, 2) for value in spread],
            "Range": [
                f"{low:.0f} to {high:.0f}"
                for low, high in zip(data["lowest"], data["highest"], strict=True)
            ],
        }
    )


def tips() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("prompt_length:Q", title="Prompt length (tokens)"),
        alt.Tooltip("Layers:N"),
        alt.Tooltip("mean:N", title="Mean rank"),
        alt.Tooltip("Spread:N", title="Standard deviation"),
        alt.Tooltip("Range:N", title="Lowest to highest"),
        alt.Tooltip("n:Q", title="Prompts"),
    ]


def dot_size(ranks: pd.DataFrame) -> alt.Size:
    most = int(ranks["n"].max())
    return alt.Size(
        "n:Q", legend=None, scale=alt.Scale(domain=[0, most], range=[20, 140], zero=True)
    )


def reference(
    x: alt.X, y: alt.Y, shortest: int, longest: int, notes: Sequence[str], dark: bool
) -> list[alt.Chart]:
    """The dashed diagonal and 1, and what the paper found of both."""
    dash = {"strokeDash": [5, 4], "strokeWidth": 1.5}
    drawn = []
    for ranks, colour in (([shortest, longest], INK[dark]), ([1, 1], ACCENT[dark])):
        ends = pa.table({"prompt_length": [shortest, longest], "rank": ranks})
        drawn.append(alt.Chart(ends).mark_line(color=colour, **dash).encode(x=x, y=y))
    for i, text in enumerate(notes):
        drawn.append(word(text, 8, 12 + 15 * i, "left", INK[dark]))
    return drawn
