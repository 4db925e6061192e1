"""What all charts share: text that stands out from the page, labels under their marks."""

from __future__ import annotations

import altair as alt

from app.charts.palette import INK

FONT_SIZE = 12


def finished(chart: alt.TopLevelMixin, dark: bool) -> alt.TopLevelMixin:
    """The chart with axis, legend and header text in the page's own colour, at least 12 px."""
    text = {
        "labelColor": INK[dark],
        "titleColor": INK[dark],
        "labelFontSize": FONT_SIZE,
        "titleFontSize": FONT_SIZE + 1,
    }
    return (
        chart.configure_axis(**text, labelFlush=False)
        .configure_legend(**text)
        .configure_header(**text)
        .configure_title(color=INK[dark], fontSize=FONT_SIZE + 1, anchor="start")
    )
