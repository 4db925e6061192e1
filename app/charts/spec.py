"""A chart on its way to the page: its specification, and its numbers as Arrow.

Altair checks every chart against the schema of Vega-Lite each time it is written out, and copies
it with its data several times, which takes longer than all else on a page. The tests do that for
every chart; here the same is read from Altair's objects as they stand. Nothing in here is shared:
any number of threads may write charts at once.
"""

from __future__ import annotations

import hashlib
from functools import cache

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa

PLAIN = {str, int, float, bool, type(None)}
NOT_WRITTEN = {"shorthand", "_cached_hash"}  # what Altair keeps for itself
# How Altair writes charts, channels and all else; any other way is a class's own.
USUAL_WAYS = {
    part.to_dict for part in (alt.Chart, alt.LayerChart, alt.X, alt.XDatum, alt.XValue, alt.Axis)
}


def specification(chart: alt.TopLevelMixin) -> dict[str, object]:
    """The chart in Vega-Lite, for st.vega_lite_chart: what `chart.to_dict()` gives, unchecked,
    with each table as Arrow in its "datasets", under a name that follows from its content.

    What the chart itself has in `datasets` (lists of rows) keeps its name: where only that changes,
    the page changes the marks in the picture, which is not drawn anew. A chart has data, itself or
    from the chart around it; each field's type stands beside its name. Raises ValueError for a
    field without a type.
    """
    writer = Writer()
    spec = writer.written(chart)
    named = {
        name: arrow_bytes(pa.Table.from_pylist(rows))
        for name, rows in spec.get("datasets", {}).items()
    }
    return {"$schema": alt.SCHEMA_URL} | spec | {"datasets": writer.datasets | named}


class Writer:
    """Writes the parts of one chart; what stands in several layers is written once."""

    def __init__(self) -> None:
        self.datasets: dict[str, bytes] = {}
        self.done: dict[int, tuple[object, object]] = {}  # a part's id: the part, how it is written

    def written(self, part: object) -> object:
        """A part of a chart in lists, dicts, texts and numbers."""
        if type(part) in PLAIN:
            return part
        if isinstance(part, dict):
            return {k: self.written(v) for k, v in part.items() if v is not alt.Undefined}
        if isinstance(part, list | tuple):
            return [self.written(v) for v in part]
        if isinstance(part, np.number):
            return float(part)
        if id(part) not in self.done:
            self.done[id(part)] = part, self.written_once(part)
        return self.done[id(part)][1]

    def written_once(self, part: object) -> object:
        if isinstance(part, pd.DataFrame | pa.Table):
            content = arrow_bytes(part)
            name = hashlib.blake2b(content, digest_size=12).hexdigest()
            self.datasets[name] = content
            return {"name": name}
        if type(part).to_dict not in USUAL_WAYS:
            return self.written(part.to_dict())
        if part._args:
            return self.written(part._args[0])
        given = part._kwds
        members = {k: v for k, v in given.items() if v is not alt.Undefined}
        for name, value in field_and_type(part).items():
            members.setdefault(name, value)
        if isinstance(members.get("mark"), str):
            members["mark"] = {"type": members["mark"]}
        return {k: self.written(v) for k, v in members.items() if k not in NOT_WRITTEN}


def field_and_type(part: alt.SchemaBase) -> dict[str, str]:
    """What a channel's shorthand says, "share:Q"; nothing of a part that has none."""
    shorthand = part._kwds.get("shorthand", alt.Undefined)
    if shorthand is alt.Undefined:
        return {}
    said = parsed(shorthand)
    if "type" not in part._kwds:  # such as y2, whose type is y's
        return {name: value for name, value in said.items() if name != "type"}
    if "type" not in said and part._kwds["type"] is alt.Undefined:
        raise ValueError(f"The field {shorthand!r} of a chart has no type, such as {shorthand}:Q.")
    return said


@cache
def parsed(shorthand: str) -> dict[str, str]:
    return alt.utils.parse_shorthand(shorthand)


def arrow_bytes(table: pd.DataFrame | pa.Table) -> bytes:
    """A table as a stream of Arrow's."""
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False, nthreads=1)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
