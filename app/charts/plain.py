"""A chart as plain values, to be kept, saved and given away: JSON without anything of Python's.

It is what st.vega_lite_chart gets (app.charts.spec), with each table's columns as lists in place
of Arrow. What has no number in JSON (NaN, infinity) is null, as Vega reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import altair as alt
import pyarrow as pa

from app.charts.spec import arrow_bytes, specification

Plain = dict[str, object]  # a specification; its "datasets" hold columns: {name: {column: [..]}}


def plain_specification(chart: alt.TopLevelMixin) -> Plain:
    spec = specification(chart)
    tables = {name: columns_of(content) for name, content in spec["datasets"].items()}
    return finite(spec | {"datasets": tables})


def columns_of(content: bytes) -> dict[str, list]:
    return pa.ipc.open_stream(content).read_all().to_pydict()


def finite(part: object) -> object:
    """The same in JSON's values: a copy."""
    if isinstance(part, float):
        return part if math.isfinite(part) else None
    if isinstance(part, Mapping):
        return {name: finite(value) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [finite(value) for value in part]
    return part


def with_arrow(spec: Plain) -> Plain:
    """For st.vega_lite_chart; raises ArrowInvalid for a column of several kinds of values."""
    tables = spec["datasets"].items()
    return spec | {"datasets": {name: arrow_bytes(pa.table(table)) for name, table in tables}}


def with_rows(spec: Plain) -> Plain:
    """As Vega-Lite itself reads it anywhere."""
    return spec | {"datasets": {name: rows(table) for name, table in spec["datasets"].items()}}


def rows(table: Mapping[str, list]) -> list[dict[str, object]]:
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
