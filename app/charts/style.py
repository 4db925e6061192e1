"""What all charts share: text that stands out from the page, layers, labels under their marks.

Two of Altair's ways cost much, and no chart goes them: alt.layer, which copies each layer
(here: `layered`), and a channel that is not one of its objects. It reads y2=alt.Y2("high:Q") and
y=alt.YValue(4) as they are; for y2="high:Q" or y=alt.value(4) it goes through all of its classes.

What is drawn is an Arrow table of the columns that the marks need, pa.table({...}): made and sent
in a fraction of a DataFrame's time. Numbers that may be missing are a Series there, not a list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa

from app.charts.palette import INK, QUIET
from app.words import SUPERSCRIPTS

# Altair would check each part of a chart against Vega-Lite's schema as it is made; the tests check
# whole charts.
alt.utils.schemapi.disable_debug_mode()

FONT_SIZE = 12
OWN_COLOURS = alt.Resolve(scale=alt.ScaleResolveMap(color="independent"))  # a scale for each layer
# Vega's expression for the numbers of an axis or a legend, as app.words.number writes them: Vega's
# own formats of significant digits would say 3e+3.
POWER = "floor(log(abs(datum.value)) / LN10 + 1e-9)"
POWERS = json.dumps([f"10{str(-power).translate(SUPERSCRIPTS)}" for power in range(46)])
NUMBER_LABEL = (
    "datum.value == 0 || abs(datum.value) >= 1e-5 ? format(datum.value, ',.6~r') : "
    f"format(datum.value / pow(10, {POWER}), '.2~r') + ' × ' + {POWERS}[-{POWER}]"
)


def layered(*layers: alt.Chart, **properties: object) -> alt.LayerChart:
    """The layers in one panel, as alt.layer makes it, but without a copy of each and of its data.

    What several layers share is named: data=..., and params=[in_layer(...)] for a selection.
    """
    chart = alt.LayerChart()
    for name, value in {"layer": list(layers), **properties}.items():
        chart[name] = value  # given above, Altair would copy each layer whole three times
    return chart


def labels_of(texts: Sequence[str], first: int = 0) -> str:
    """Vega's expression for the labels of an axis: of the value `first` the first text, and so on.

    They stand in one text. In a list of texts Vega takes "if" for a call, and "constructor" and
    other names of JavaScript's for what they name: a prompt that begins so would have no picture.
    """
    lines = "\n".join(["", *(text.replace("\n", " ") for text in texts)])
    return f'split({json.dumps(lines)}, "\\n")[datum.value + {1 - first}]'


def along(table: pd.DataFrame, place: str, column: str) -> list:
    """What stands in a column at each place, in the places' order; a place has several rows."""
    _, rows = np.unique(table[place], return_index=True)
    return table[column].iloc[rows].tolist()


def each_once(function: Callable[[Any], str], values: pd.Series) -> pa.Array:
    """What the function says of each value; it is asked once for values that come many times."""
    coded = pa.array(values).dictionary_encode()
    return pa.array(map(function, coded.dictionary.to_pylist())).take(coded.indices)


def squares(dark: bool) -> dict[str, object]:
    """For the legend of a scale of colours: squares with their values.

    Vega draws a gradient by the page's address, and it would be gone when a control changes that.
    """
    return {
        "type": "symbol",
        "symbolType": "square",
        "symbolSize": 220,
        "symbolStrokeColor": QUIET[dark],
        "symbolStrokeWidth": 1,
        "symbolOpacity": 1,
    }


def in_layer(selection: alt.Parameter, name: str) -> alt.TopLevelSelectionParameter:
    """A selection made in the layer of this name, for the params of the chart around it."""
    return alt.TopLevelSelectionParameter(
        name=selection.name, select=selection.param.select, views=[name]
    )


def finished(chart: alt.TopLevelMixin, dark: bool, **config: object) -> alt.TopLevelMixin:
    """The chart itself; axis, legend and header text in the page's own colour, at least 12 px.

    `config` is any more of Vega-Lite's configuration.
    """
    text = {
        "labelColor": INK[dark],
        "titleColor": INK[dark],
        "labelFontSize": FONT_SIZE,
        "titleFontSize": FONT_SIZE + 1,
    }
    # In place: each of Altair's own configure_... copies the whole chart.
    chart.config = alt.Config(
        axis=alt.AxisConfig(**text, labelFlush=False),
        legend=alt.LegendConfig(**text),
        header=alt.HeaderConfig(**text),
        title=alt.TitleConfig(color=INK[dark], fontSize=FONT_SIZE + 1, anchor="start"),
        **config,
    )
    return chart
