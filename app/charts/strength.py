"""The smallest rate that works and its perplexity, by layer (Figure 26)."""

from __future__ import annotations

import math
from functools import partial

import altair as alt
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, INK, LINES
from app.charts.style import NUMBER_LABEL, finished, layered
from app.charts.themes import in_both_themes
from app.titles import RATE_TITLES
from app.words import number

SHAPES = ("circle", "square", "diamond")
WIDE = 8  # from this ratio of largest to smallest on, perplexities get a log scale


@in_both_themes
def rate_by_layer(table: pd.DataFrame, *, dark: bool) -> alt.LayerChart:
    """The smallest rate that works, on a log scale, a line a method.

    table: as core.edit_strength makes it. Lines are broken where no rate works, and where none is
    needed.
    """
    shown = table["rate"].where(table["rate"] > 0)
    y = alt.Y(
        "shown:Q",
        title="Smallest rate that works (log scale)",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(labelExpr=NUMBER_LABEL, values=log_ticks(shown.dropna())),
    )
    chart = layered(lines(table, y, dark), data=written(table, shown), height=300)
    return finished(chart, dark)


@in_both_themes
def perplexity_by_layer(table: pd.DataFrame, before: str, *, dark: bool) -> alt.LayerChart:
    """The perplexity at that rate, a line a method, and a dashed rule at what it was before."""
    base = float(table["base_perplexity"].iloc[0])
    shown = table["perplexity"].where(table["perplexity"] < float("inf"))
    values = [base, *shown.dropna()]
    wide = max(values) > WIDE * min(values)
    y = alt.Y(
        "shown:Q",
        title="Perplexity (log scale)" if wide else "Perplexity",
        scale=alt.Scale(type="log" if wide else "linear", zero=False),
        axis=alt.Axis(labelExpr=NUMBER_LABEL, tickCount=6),
    )
    named = alt.StrokeDash(
        "text:N",
        title="Dashed",
        scale=alt.Scale(range=[[5, 4]]),
        legend=alt.Legend(orient="top", symbolType="stroke", symbolSize=400, labelLimit=300),
    )
    rule = (
        alt.Chart(pa.table({"shown": [base], "text": [before]}))
        .mark_rule(strokeWidth=1.5, color=INK[dark])
        .encode(y=y, strokeDash=named)
    )
    curves = lines(table, y, dark).properties(data=written(table, shown))
    return finished(layered(rule, curves, height=300), dark)


def log_ticks(values: pd.Series) -> list[float]:
    """1, 2 and 5 times powers of ten around values of one decade, else powers of ten."""
    low, high = math.floor(math.log10(values.min())), math.ceil(math.log10(values.max()))
    steps = (1, 2, 5) if high - low <= 1 else (1,)
    ticks = [float(f"{step}e{power}") for power in range(low, high + 1) for step in steps]
    return [tick for tick in ticks if tick <= float(f"1e{high}")]


def written(table: pd.DataFrame, shown: pd.Series) -> pa.Table:
    """What is drawn, a row a method and layer, with the numbers as people write them."""
    text = partial(number, digits=4)
    return pa.table(
        {
            "Method": [RATE_TITLES[method] for method in table["method"]],
            "layer": table["layer"],
            "shown": shown,
            "rate": table["rate"],
            "rate_text": list(map(text, table["rate"])),
            "perplexity_text": list(map(text, table["perplexity"])),
            "ratio_text": list(map(text, table["perplexity"] / table["base_perplexity"])),
        }
    )


def lines(table: pd.DataFrame, y: alt.Y, dark: bool) -> alt.Chart:
    """A line with dots for each of the table's methods, told apart by colour and shape."""
    names = [RATE_TITLES[method] for method in table["method"].unique()]
    colours = [ACCENT[dark], *LINES[dark]][: len(names)]
    legend = alt.Legend(orient="top", labelLimit=300, symbolSize=90)
    chosen = {"title": "Method", "sort": names, "legend": legend}
    return (
        alt.Chart()
        .mark_line(point={"size": 60, "filled": True})
        .encode(
            x=alt.X("layer:O", title="Layer", axis=alt.Axis(labelAngle=0, labelOverlap="parity")),
            y=y,
            color=alt.Color("Method:N", scale=alt.Scale(domain=names, range=colours), **chosen),
            shape=alt.Shape(
                "Method:N",
                scale=alt.Scale(domain=names, range=list(SHAPES[: len(names)])),
                **chosen,
            ),
            tooltip=[
                alt.Tooltip("Method:N"),
                alt.Tooltip("layer:O", title="Layer"),
                alt.Tooltip("rate_text:N", title="Smallest rate"),
                alt.Tooltip("perplexity_text:N", title="Perplexity"),
                alt.Tooltip("ratio_text:N", title="Times as before"),
            ],
        )
    )
