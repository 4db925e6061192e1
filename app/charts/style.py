"""What all charts share: text that stands out from the page, labels under their marks."""

from __future__ import annotations

import json

import altair as alt

from app.charts.palette import INK
from app.words import SUPERSCRIPTS

# Altair would check each part of a chart against Vega-Lite's schema as it is made; the tests check
# whole charts.
alt.utils.schemapi.disable_debug_mode()

FONT_SIZE = 12
# Vega's expression for the numbers of an axis or a legend, as app.words.number writes them: Vega's
# own formats of significant digits would say 3e+3.
POWER = "floor(log(abs(datum.value)) / LN10 + 1e-9)"
POWERS = json.dumps([f"10{str(-power).translate(SUPERSCRIPTS)}" for power in range(46)])
NUMBER_LABEL = (
    "datum.value == 0 || abs(datum.value) >= 1e-5 ? format(datum.value, ',.6~r') : "
    f"format(datum.value / pow(10, {POWER}), '.2~r') + ' × ' + {POWERS}[-{POWER}]"
)


def finished(chart: alt.TopLevelMixin, dark: bool) -> alt.TopLevelMixin:
    """The chart itself; axis, legend and header text in the page's own colour, at least 12 px."""
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
    )
    return chart
