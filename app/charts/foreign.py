"""Whether a specification that came from anywhere is a chart as ours are, and nothing more.

Vega-Lite can load data and pictures from addresses, and make links. So what a chart may hold is
listed here: the names of its members, its marks, and what its expressions may say. All else is
refused, be it harmless or not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import altair as alt
import pyarrow as pa

from app.charts.expressions import is_plain_expression
from app.charts.plain import Plain
from app.charts.token_table import OPENS_AT_END

MEMBER_NAMES = """
    $schema align anchor angle aria as autosize axis bandPosition baseline bounds calculate clamp
    clear clip color columns condition config contains cornerRadius cursor data detail direction
    domain domainColor dx dy empty encoding field fields fill filled fillOpacity filter fontSize
    fontWeight format frame grid gridColor gridOpacity groupby hconcat header height interactive
    interpolate labelAlign labelAngle labelBaseline labelColor labelExpr labelFlush labelFontSize
    labelFontWeight labelLimit labelOverlap labelPadding labels layer legend legendX legendY limit
    lineBreak mark name nearest nice offset on opacity opensAtEnd order orient padding param params
    point range resolve reverse scale select shape size sort spacing step stroke strokeCap
    strokeDash strokeJoin strokeOpacity strokeWidth subtitle symbolLimit symbolOpacity symbolSize
    symbolStrokeColor symbolStrokeWidth symbolType test text tickColor tickCount tickMinStep ticks
    title titleAlign titleAnchor titleColor titleFontSize titleLimit titlePadding toggle tooltip
    transform type usermeta value values vconcat view views width x x2 x2Offset xOffset y y2
    y2Offset yOffset zero
"""
MEMBERS = frozenset(MEMBER_NAMES.split())
MARKS = {"area", "bar", "circle", "line", "point", "rect", "rule", "square", "text", "tick"}
EXPRESSIONS = {"labelExpr", "test", "filter", "calculate"}
FREE = {"title", "subtitle", "text", "domain", "sort", "values", "equal", "datum"}  # any words
SIMPLE = re.compile(r"[\w #%.,~+()-]{0,200}")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}|transparent")
PIXELS = {"width", "height", "step", "fontSize", "dx", "dy", "size", "padding", "spacing", "offset"}
MOST_PIXELS, DEEPEST, LONGEST = 20_000, 24, 5_000
# The name under which the browser's tooltips show a picture from an address.
PICTURE_IN_TOOLTIP = "image"
NAMING = {"title", "field", "fields", "as"}  # what a tooltip's lines are named by


def is_a_chart_of_ours(spec: object) -> bool:
    """Never raises, whatever it is given."""
    try:
        return not any(problems(spec))
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError, OverflowError):
        return False
    except pa.ArrowException:
        return False


def problems(spec: Plain) -> Iterator[str]:
    tables = spec["datasets"]
    if spec["$schema"] != alt.SCHEMA_URL or spec.get("usermeta", OPENS_AT_END) != OPENS_AT_END:
        yield "another format"
    for table in tables.values():
        yield from table_problems(table)
    inked = set()
    for part in parts({name: value for name, value in spec.items() if name != "datasets"}):
        yield from part_problems(part, tables)
        if part.get("scale", "") is None:
            inked.add(part["field"])
    for table in tables.values():
        for name in inked & set(table):
            if not all(value is None or COLOUR.fullmatch(value) for value in table[name]):
                yield f"{name} is no colour"


def parts(value: object, depth: int = 0) -> Iterator[dict]:
    """Every object in a specification."""
    if depth > DEEPEST:
        raise ValueError("too deep")
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from parts(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from parts(inner, depth + 1)


def part_problems(part: dict, tables: dict) -> Iterator[str]:
    for name, value in part.items():
        if name not in MEMBERS:
            yield f"{name[:40]} is unknown"
        elif name == "data":
            if set(value) != {"name"} or value["name"] not in tables:
                yield "data from elsewhere"
        elif name == "mark":
            if value["type"] not in MARKS:
                yield "an unknown mark"
        elif name != "$schema":
            yield from (f"{name} is {each!r}"[:80] for each in flat(value) if not fits(name, each))


def flat(value: object) -> Iterator[object]:
    """A value itself, or those of a list, within lists too."""
    if isinstance(value, list):
        for inner in value:
            yield from flat(inner)
    else:
        yield value


def fits(name: str, value: object) -> bool:
    """Whether a member may have this value; objects are looked at on their own."""
    if name == "toggle":  # of a selection: Vega takes a text for a condition
        return isinstance(value, bool)
    if isinstance(value, str):
        if name in EXPRESSIONS:
            return is_plain_expression(value)
        if len(value) > LONGEST or (name in NAMING and is_picture(value)):
            return False
        return name in FREE or (SIMPLE.fullmatch(value) is not None and "url" not in value.lower())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return math.isfinite(value) and not (name in PIXELS and abs(value) > MOST_PIXELS)
    return value is None or isinstance(value, bool | dict)


def is_picture(name: str) -> bool:
    return name.strip().casefold() == PICTURE_IN_TOOLTIP


def table_problems(table: dict) -> Iterator[str]:
    """Columns of one length, each of one kind of plain values."""
    if len({len(values) for values in table.values()}) > 1:
        yield "columns of different lengths"
    if any(map(is_picture, table)):
        yield "a picture in a tooltip"
    for values in table.values():
        kinds = {type(value) for value in values} - {type(None)}
        if not (kinds <= {str} or kinds <= {bool} or kinds <= {int, float}):
            yield "values of several kinds"
        if str in kinds and any(len(value) > LONGEST for value in values if value is not None):
            yield "an endless text"
        if float in kinds and not all(v is None or math.isfinite(v) for v in values):
            yield "no number"
    pa.table(table)  # numbers that fit
