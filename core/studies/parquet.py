"""Tables of a study's file, read with bounds: the file may come from anyone.

A few kilobytes of parquet can stand for gigabytes: the same row a million times, the same long text
in each row, pages that are packed thousandfold. What a table would take is looked at before it is
made.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

CODECS = {"SNAPPY", "UNCOMPRESSED"}  # these pack twentyfold at most; the first is what is written
MOST_COLUMNS = 20
MOST_TEXT = 32 * 2**20  # bytes of all texts of a column


def read_table(
    content: bytes,
    texts: Sequence[str],
    numbers: Sequence[str],
    *,
    most_rows: int,
    most_columns: int = MOST_COLUMNS,
) -> pd.DataFrame:
    """The named columns of a parquet file, in this order; raises ValueError for a table that is too
    large or of another kind."""
    file = pq.ParquetFile(io.BytesIO(content), read_dictionary=list(texts))
    meta = file.metadata
    if meta.num_rows > most_rows or meta.num_columns > most_columns:
        raise ValueError(f"a table of {meta.num_rows} x {meta.num_columns}")
    if not meta.num_rows:  # its columns are of no kind
        return pd.DataFrame(columns=[*texts, *numbers])
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    if {group.column(i).compression for group in groups for i in range(meta.num_columns)} - CODECS:
        raise ValueError("a table that is packed in another way")
    for name in numbers:
        kind = file.schema_arrow.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise ValueError(f"{name} holds no numbers")
    table = file.read(columns=[*texts, *numbers], use_threads=False)
    columns = {name: unpacked(table[name]) for name in texts}
    columns |= {name: table[name] for name in numbers}
    return pa.table(columns).to_pandas(use_threads=False)


def unpacked(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of texts, which are kept once each, as a text a row."""
    if not pa.types.is_dictionary(column.type):
        raise ValueError("a column that holds no texts")
    size = 0
    for chunk in column.chunks:
        lengths = pc.take(pc.binary_length(chunk.dictionary), chunk.indices)
        size += pc.sum(lengths).as_py() or 0
    if size > MOST_TEXT:
        raise ValueError(f"texts of {size} bytes")
    return column.cast(pa.large_string())
