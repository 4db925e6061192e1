"""Heatmaps of numbers: layer by layer, neuron by token."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, DIVERGING, INK, QUIET, diverging
from app.charts.style import (
    NUMBER_LABEL,
    OWN_COLOURS,
    along,
    each_once,
    finished,
    in_layer,
    labels_of,
    layered,
    squares,
)
from app.charts.themes import in_both_themes
from app.charts.token_table import PAGE_WIDTH
from app.words import number, shortened, visible

LARGEST_WITH_TEXT = 16  # layers up to which each cell of a cosine table holds its number


@in_both_themes
def cosine_table(
    cosines: pd.DataFrame, *, dark: bool, difference: bool = False, narrow: bool = False
) -> alt.LayerChart:
    """Layer by layer, the cosine of their signals (Figures 22, 23), or a difference of cosines.

    cosines: layer, other_layer, cosine; NaN is drawn as an empty cell. A difference is on a
    scale of its own; a `narrow` table has its legend below.
    """
    n_layers = cosines["layer"].nunique()
    colours = diverging(dark)
    empty = cosines["cosine"].isna()
    limit = max(1e-9, cosines["cosine"].abs().max()) if difference else 1
    inks = colours.inks((cosines["cosine"].fillna(0) / limit + 1) / 2)
    values = cosines["cosine"].tolist()
    written = signed_difference if difference else "{:.2f}".format
    data = pa.table(
        {
            "layer": cosines["layer"],
            "other_layer": cosines["other_layer"],
            "cosine": cosines["cosine"],
            "text": ["–" if e else written(v) for e, v in zip(empty, values, strict=True)],
            "ink": [QUIET[dark] if e else ink for e, ink in zip(empty, inks, strict=True)],
            "empty": empty,
        }
    )
    cell = max(10, min(40 if narrow else 44, 520 // n_layers))
    every_layer = alt.Scale(domain=list(range(n_layers)))  # silent ones stay
    base = alt.Chart().encode(
        x=alt.X("other_layer:O", title="Layer", axis=layer_axis(n_layers), scale=every_layer),
        y=alt.Y(
            "layer:O",
            title="Layer",
            axis=layer_axis(n_layers),
            scale=alt.Scale(domain=list(range(n_layers))[::-1]),  # the last on top
        ),
        tooltip=[
            alt.Tooltip("layer:O", title="Layer"),
            alt.Tooltip("other_layer:O", title="and layer"),
            alt.Tooltip("text:N", title="Cosine"),
        ],
    )
    colour = alt.Color(
        "cosine:Q",
        title="Difference of means" if difference else "Cosine of δ",
        scale=alt.Scale(domain=[-limit, 0, limit], range=list(colours.stops), interpolate="rgb"),
        legend=alt.Legend(
            orient="bottom" if narrow else "right",
            titleLimit=200,
            **squares(dark),
        ),
        condition={"test": "datum.empty", "value": "transparent"},
    )
    layers = [base.mark_rect().encode(color=colour)]
    if n_layers <= LARGEST_WITH_TEXT:
        layers.append(words_on_cells(base))
    height = max(10, min(30, 420 // n_layers))
    chart = layered(
        *layers,
        data=data,
        width=alt.Step(cell),
        height=alt.Step(height),
        resolve=OWN_COLOURS,
    )
    return finished(chart, dark)


def signed_difference(value: float) -> str:
    """Of two cosines: "+0.05", "−0.02", "0"."""
    size = f"{abs(value):.2f}"
    return "0" if size == "0.00" else f"{'+' if value > 0 else '−'}{size}"


def words_on_cells(cells: alt.Chart) -> alt.Chart:
    """The column text in each cell, in the colour of its column ink."""
    return cells.mark_text(fontSize=12).encode(
        text=alt.Text("text:N"), color=alt.Color("ink:N", scale=None)
    )


def layer_axis(n_layers: int) -> alt.Axis:
    """The last layer's number, and every one, 2nd, 4th below it, as there is room."""
    every = 1 if n_layers <= LARGEST_WITH_TEXT else 2 if n_layers <= 36 else 4
    values = list(range(n_layers - 1, -1, -every))[::-1]
    return alt.Axis(grid=False, labelAngle=0, labelOverlap=False, values=values)


@in_both_themes
def neuron_table(
    overlap: pd.DataFrame, column: str, limit: float, *, dark: bool, chosen: int | None
) -> alt.LayerChart:
    """Neurons in order of norm, left to right, by prompt token: a diverging colour (Figures 7-9).

    overlap: order, neuron, norm, position, token, overlap, cosine. `column` is drawn on a scale
    from -limit to limit. A click chooses a neuron (selection "cell"); `chosen` is marked.
    """
    colours = diverging(dark)
    tokens = along(overlap, "position", "token")
    labels = labels_of([shortened(visible(token), 14) for token in tokens])
    orders, places = np.unique(overlap["order"], return_inverse=True)
    width = max(2, min(24, PAGE_WIDTH // len(orders)))
    data = pa.table(
        {
            "place": places,
            "neuron": overlap["neuron"],
            "order": overlap["order"],
            "size": each_once(number, overlap["norm"]),
            "position": overlap["position"],
            "shown": each_once(visible, overlap["token"]),
            "overlap": overlap["overlap"],
            "cosine": overlap["cosine"],
            "value": overlap[column],
        }
    )
    pick = alt.selection_point(name="cell", fields=["neuron"], on="click")
    base = alt.Chart(data).encode(
        x=alt.X(
            "place:O",
            title="Neurons, the largest norm on the left",
            scale=alt.Scale(domain=list(range(len(orders)))),
            axis=alt.Axis(labels=False, ticks=False, domain=False, grid=False),
        ),
        y=alt.Y(
            "position:O",
            title="Prompt token",
            scale=alt.Scale(domain=list(range(len(tokens)))),  # empty rows stay
            axis=alt.Axis(labelExpr=labels, labelLimit=0, grid=False, labelOverlap=False),
        ),
        tooltip=[
            alt.Tooltip("neuron:O", title="Neuron"),
            alt.Tooltip("order:Q", title="Place by norm (0 is the largest)"),
            alt.Tooltip("size:N", title="Norm, L2"),
            alt.Tooltip("shown:N", title="Spanning vector of"),
            alt.Tooltip("overlap:Q", title="Shared top tokens"),
            alt.Tooltip("cosine:Q", title="Cosine", format=".2f"),
        ],
    )
    rects = base.mark_rect().encode(
        color=alt.Color(
            "value:Q",
            title=None,
            scale=alt.Scale(
                domain=[-limit, 0, limit], range=list(colours.stops), interpolate="rgb"
            ),
            legend=alt.Legend(orient="bottom", **squares(dark)),
        )
    )
    height = 24 if len(tokens) <= 12 else 18
    size = {"width": alt.Step(width), "height": alt.Step(height)}
    found = places[overlap["neuron"] == chosen]
    if len(found):
        arrow = (
            alt.Chart(pa.table({"neuron": [chosen], "place": found[:1]}))
            .mark_point(shape="triangle-down", size=90, filled=True, color=ACCENT[dark], yOffset=-7)
            .encode(x=alt.X("place:O"), y=alt.YValue(0))
        )
        named = rects.properties(name="neurons")
        chart = layered(named, arrow, params=[in_layer(pick, "neurons")], **size)
    else:
        chart = rects.add_params(pick).properties(**size)
    return finished(chart, dark)


@in_both_themes
def span_table(span: pd.DataFrame, *, dark: bool) -> alt.LayerChart:
    """A gradient as a sum of outer products: how much of each token's vector each of its largest
    neurons holds (Figure 2).

    span: place (of the neuron), neuron, position, label (the token and what its vector says),
    coefficient. Cells hold the coefficient as a part of the largest.
    """
    colours = diverging(dark)
    limit = max(span["coefficient"].abs().max(), 1e-30)
    labels = along(span, "position", "label")
    shares = span["coefficient"] / limit
    data = pa.table(
        {
            "place": span["place"],
            "neuron": span["neuron"],
            "position": span["position"],
            "label": span["label"],
            "coefficient": span["coefficient"],
            "text": ["0" if abs(share) < 0.005 else f"{share:+.2f}" for share in shares],
            "ink": colours.inks((shares + 1) / 2),
            "shown": list(map(number, span["coefficient"])),
        }
    )
    base = alt.Chart().encode(
        x=alt.X("place:O", title="The largest neurons", axis=neuron_axis(span)),
        y=alt.Y(
            "position:O",
            title=None,
            axis=alt.Axis(
                labelExpr=labels_of(labels),
                labelLimit=0,
                grid=False,
                labelOverlap=False,
            ),
        ),
        tooltip=[
            alt.Tooltip("neuron:O", title="Neuron"),
            alt.Tooltip("label:N", title="Vector"),
            alt.Tooltip("shown:N", title="Coefficient"),
        ],
    )
    rects = base.mark_rect(stroke=INK[dark], strokeOpacity=0.12).encode(
        color=alt.Color(
            "coefficient:Q",
            title="Coefficient",
            scale=alt.Scale(
                domain=[-limit, 0, limit], range=list(colours.stops), interpolate="rgb"
            ),
            legend=alt.Legend(orient="bottom", labelExpr=NUMBER_LABEL, **squares(dark)),
        )
    )
    chart = layered(
        rects,
        words_on_cells(base),
        data=data,
        width=alt.Step(50),
        height=alt.Step(26),
        resolve=OWN_COLOURS,
    )
    return finished(chart, dark)


def neuron_axis(span: pd.DataFrame) -> alt.Axis:
    neurons = along(span, "place", "neuron")
    return alt.Axis(
        labelExpr=labels_of([str(n) for n in neurons]),
        labelAngle=0,
        grid=False,
        labelOverlap=False,
    )


@in_both_themes
def coefficient_chart(neuron: pd.DataFrame, symbol: str, *, dark: bool) -> alt.LayerChart:
    """One neuron's coefficients, a bar a prompt token.

    neuron: position, token, coefficient, overlap, cosine.
    """
    tokens = along(neuron, "position", "token")
    labels = labels_of([shortened(visible(token), 16) for token in tokens])
    colours = DIVERGING[dark]
    data = pa.table(
        {
            "position": neuron["position"],
            "shown": [visible(token) for token in neuron["token"]],
            "coefficient": neuron["coefficient"],
            "size": [number(value, digits=4) for value in neuron["coefficient"]],
            "cosine": neuron["cosine"],
            "overlap": neuron["overlap"],
        }
    )
    bars = (
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=alt.X(
                "coefficient:Q",
                title=f"Coefficient of {symbol}",
                axis=alt.Axis(labelExpr=NUMBER_LABEL),
            ),
            y=alt.Y(
                "position:O",
                title="Prompt token",
                axis=alt.Axis(labelExpr=labels, labelLimit=0, labelOverlap=False),
            ),
            color=alt.ColorValue(
                colours[2], condition={"test": "datum.coefficient < 0", "value": colours[0]}
            ),
            tooltip=[
                alt.Tooltip("shown:N", title="Prompt token"),
                alt.Tooltip("size:N", title="Coefficient"),
                alt.Tooltip("cosine:Q", title="Cosine", format=".3f"),
                alt.Tooltip("overlap:Q", title="Shared top tokens"),
            ],
        )
    )
    zero = alt.Chart(pa.table({"x": [0]})).mark_rule(color=QUIET[dark]).encode(x=alt.X("x:Q"))
    return finished(layered(bars, zero, width=520, height=alt.Step(24)), dark)
