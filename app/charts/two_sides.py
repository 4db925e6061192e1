"""Two runs in one picture: a line each over the layers, or bars of their difference."""

from __future__ import annotations

import altair as alt
import pandas as pd
import pyarrow as pa

from app.charts.palette import DIVERGING, INK, QUIET
from app.charts.style import NUMBER_LABEL, finished, layered
from app.charts.themes import in_both_themes
from app.words import number

HEIGHT = 300
PLACE_LABELS = (
    "datum.value == 0 ? 'most probable' : datum.value == 1 ? 'least probable' : "
    "format(datum.value, '.0%') + ' of the way down'"
)


def colours(dark: bool) -> list[str]:
    """The left side's, and the right side's: the ends of the palette of differences."""
    return [DIVERGING[dark][0], DIVERGING[dark][2]]


@in_both_themes
def side_curves(
    table: pd.DataFrame,
    column: str,
    title: str,
    names: tuple[str, str],
    *,
    dark: bool,
    places: bool = False,
    depth: bool = False,
) -> alt.LayerChart:
    """A line a side over the layers, or over relative `depth`, for models of other depth.

    table: core.both_sides, with one row a side and layer. `places` are from 0, the most probable
    token, on top, to 1. The sides have other dashes and dots too.
    """
    shown = table[table[column].notna()]
    titles = list(names)
    data = pa.table(
        {
            "layer": shown["layer"],
            "depth": shown["depth"],
            "value": shown[column].astype("float64"),
            "Side": [titles[side == "right"] for side in shown["side"]],
            "text": [f"{v:.1%}" if places else number(v) for v in shown[column]],
        }
    )
    scale = alt.Scale(domain=titles, range=colours(dark))
    if depth:
        x = alt.X(
            "depth:Q",
            title="Depth: 0 is the first layer, 1 the last one",
            scale=alt.Scale(domain=[0, 1], nice=False),
        )
    else:
        x = alt.X("layer:O", title="Layer", axis=alt.Axis(labelAngle=0))
    y = alt.Y("value:Q", title=title)
    if places:
        y = alt.Y(
            "value:Q",
            title=title,
            scale=alt.Scale(domain=[0, 1], reverse=True, nice=False),
            axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], labelExpr=PLACE_LABELS, labelLimit=220),
        )
    legend = alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=4, labelLimit=360)
    base = alt.Chart().encode(x=x, y=y)
    lines = base.mark_line(strokeWidth=3).encode(
        color=alt.Color("Side:N", title=None, scale=scale, legend=legend),
        strokeDash=alt.StrokeDash(
            "Side:N", scale=alt.Scale(domain=titles, range=[[1, 0], [7, 4]]), legend=None
        ),
    )
    dots = base.mark_point(size=70, filled=True, opacity=1).encode(
        color=alt.Color("Side:N", scale=scale, legend=None),
        shape=alt.Shape(
            "Side:N", scale=alt.Scale(domain=titles, range=["circle", "square"]), legend=None
        ),
        tooltip=[
            alt.Tooltip("Side:N"),
            alt.Tooltip("layer:O", title="Layer"),
            alt.Tooltip("text:N", title=title.replace("\\", "\\\\")),
        ],
    )
    return finished(layered(lines, dots, data=data, height=HEIGHT), dark)


@in_both_themes
def difference_bars(
    table: pd.DataFrame, column: str, title: str, names: tuple[str, str], *, dark: bool
) -> alt.LayerChart:
    """A bar a layer: above zero the right side has more, below it the left one.

    table: layer and the column, right less left.
    """
    values = table[column].astype("float64")
    widest = float(values.abs().max()) or 1.0
    more = ["", *(f"more on the {name[0].lower()}{name[1:]}" for name in names)]
    data = pa.table(
        {
            "layer": table["layer"],
            "value": values,
            "More": [more[0 if not v else 1 if v < 0 else 2] for v in values],
            "text": [number(v) for v in values],
        }
    )
    legend = alt.Legend(orient="top", labelLimit=360)
    base = alt.Chart(data).encode(
        x=alt.X("layer:O", title="Layer", axis=alt.Axis(labelAngle=0)),
        y=alt.Y(
            "value:Q",
            title=title,
            scale=alt.Scale(domain=[min(values.min(), -widest / 9), max(values.max(), widest / 9)]),
            axis=alt.Axis(labelExpr=NUMBER_LABEL),
        ),
    )
    bars = base.mark_bar().encode(
        color=alt.Color(
            "More:N",
            title=None,
            scale=alt.Scale(domain=more[1:], range=colours(dark)),
            legend=legend,
        ),
        tooltip=[
            alt.Tooltip("layer:O", title="Layer"),
            alt.Tooltip("text:N", title="Right less left"),
        ],
    )
    labels = base.mark_text(fontSize=12, color=INK[dark], baseline="bottom", dy=-3).encode(
        text=alt.Text("text:N")
    )
    zero = alt.Chart(pa.table({"value": [0.0]})).mark_rule(color=QUIET[dark])
    zero = zero.encode(y=alt.Y("value:Q"))
    return finished(layered(bars, zero, labels, height=HEIGHT), dark)
