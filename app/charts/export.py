"""A chart as a picture file, drawn on the server: no browser, no network."""

from __future__ import annotations

import io

import altair as alt

from app.charts.palette import PAPER

STRETCHED = 900  # pixels, for a chart that fills the page's width
SHARPNESS = 2  # pixels of a PNG for each of the chart's


def picture(chart: alt.TopLevelMixin, form: str, *, dark: bool, stretched: bool) -> bytes:
    """The chart as "svg" or "png", on the page's own background."""
    chart = chart.properties(background=PAPER[dark])
    if stretched:
        chart = chart.properties(width=STRETCHED)
    if form == "svg":
        text = io.StringIO()
        chart.save(text, format="svg")
        return text.getvalue().encode()
    buffer = io.BytesIO()
    chart.save(buffer, format="png", scale_factor=SHARPNESS)
    return buffer.getvalue()
