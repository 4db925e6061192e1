"""A chart as a picture file, drawn on the server: no browser, no network."""

from __future__ import annotations

import re

import altair as alt
import vl_convert

from app.charts.palette import PAPER

STRETCHED = 900  # pixels, for a chart that fills the page's width
SHARPNESS = 2  # pixels of a PNG for each of the chart's
MOST_PIXELS = 12_000_000  # of a chart's own, before it is made sharper
SIZE = re.compile(r'<svg[^>]*? width="([0-9.]+)" height="([0-9.]+)"')
VERSION = ".".join(alt.SCHEMA_VERSION.split(".")[:2])  # of Vega-Lite
# What no XML may hold. The program that draws would end at it, and take the whole server along.
NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The same as it is written in the texts of an expression, such as an axis's labels.
EXPRESSIONS = {"labelExpr", "expr", "signal", "test", "calculate", "filter"}
ESCAPES = re.compile(r"(\\\\)|\\(?:[bfv0]|(?:u00|x)[01][0-9a-fA-F]|u[fF]{3}[e-fE-F])")


def picture(chart: alt.TopLevelMixin, form: str, *, dark: bool, stretched: bool) -> bytes:
    """The chart as "svg" or "png", on the page's own background."""
    with alt.data_transformers.disable_max_rows():
        spec = chart.to_dict(validate=False)
    return drawn(spec, form, dark=dark, stretched=stretched)


def drawn(spec: dict[str, object], form: str, *, dark: bool, stretched: bool) -> bytes:
    """A specification that holds its rows, as a picture; nothing is fetched for it.

    Raises ValueError for what cannot be drawn, and for a picture that would be huge.
    """
    width = {"width": STRETCHED} if stretched else {}
    spec = drawable(spec | {"background": PAPER[dark]} | width)
    svg = vl_convert.vegalite_to_svg(spec, vl_version=VERSION, allowed_base_urls=[])
    if form == "svg":
        return svg.encode()
    across, down = map(float, SIZE.search(svg).groups())
    if across * down > MOST_PIXELS:
        raise ValueError(f"The picture would be {across:,.0f} by {down:,.0f} pixels large.")
    return vl_convert.svg_to_png(svg, scale=SHARPNESS)


def drawable(part: object, name: str = "") -> object:
    """A specification, or the part of one that has a name, with a sign for each character that
    cannot be drawn."""
    if isinstance(part, str):
        text = NO_XML.sub("\ufffd", part)
        return ESCAPES.sub(kept_or_sign, text) if name in EXPRESSIONS else text
    if isinstance(part, dict):
        return {drawable(key): drawable(value, key) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return [drawable(value, name) for value in part]
    return part


def kept_or_sign(escape: re.Match) -> str:
    """A backslash, and the white space that XML may hold, stay."""
    return escape[0] if escape[1] or escape[0][-2:].lower() in ("09", "0a", "0d") else "\ufffd"
