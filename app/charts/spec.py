"""A chart on its way to the page: its specification, and its numbers as Arrow.

Altair checks every chart against the schema of Vega-Lite each time it is written out, which takes
longer than all else on a page. The tests do that once for every chart; here it is left out.
"""

from __future__ import annotations

import hashlib
import threading

import altair as alt
import pandas as pd
import pyarrow as pa

NAME = "as_arrow"
_one_at_a_time = threading.Lock()  # Altair's theme and transformer are the whole process's


def specification(chart: alt.TopLevelMixin) -> dict[str, object]:
    """The chart in Vega-Lite, for st.vega_lite_chart: what `chart.to_dict()` gives, unchecked,
    with each DataFrame as Arrow in its "datasets", under a name that follows from its content."""
    frames: dict[str, bytes] = {}

    def as_arrow(data: object) -> object:
        if not isinstance(data, pd.DataFrame):
            return data
        written = arrow_bytes(data)
        name = hashlib.blake2b(written, digest_size=12).hexdigest()
        frames[name] = written
        return {"name": name}

    with _one_at_a_time:
        alt.data_transformers.register(NAME, as_arrow)
        with alt.theme.enable("none"), alt.data_transformers.enable(NAME):
            spec = chart.to_dict(validate=False)
    return spec | {"datasets": spec.get("datasets", {}) | frames}


def arrow_bytes(frame: pd.DataFrame) -> bytes:
    """A table as a stream of Arrow's."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
