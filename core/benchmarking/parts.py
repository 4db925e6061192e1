"""Rows of a benchmark as parquet: how they are made ready, written, and read with bounds."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.benchmarking.header import BenchmarkHeader
from core.benchmarking.measures import COLUMNS, TEXTS
from core.benchmarking.specs import ORIGINAL
from core.studies.counterfact import Record
from core.studies.parquet import MOST_TEXT, read_table

NUMBERS = tuple(name for name in COLUMNS if name not in TEXTS)
KEY = ["record", "method"]
SCHEMA = pa.schema(
    [
        (name, pa.string() if name in TEXTS else pa.int64() if name == "record" else pa.float64())
        for name in COLUMNS
    ]
)
# Characters of a text; of a `said` or `nlls` that is longer, what fits.
LONGEST = {"case_id": 5_000, "method": 1_000, "problem": 10_000, "text": 50_000}
LONGEST_JSON = 250_000
MOST_ROWS = 500_000  # of one part
# Rows and characters of texts with which a part is full; in bytes these stay below what is read.
FULL_ROWS, FULL_TEXT = 5_000, MOST_TEXT // 4
LARGEST = 1e100  # of a number; an edit can push a perplexity beyond every bound


def empty_rows() -> pd.DataFrame:
    return SCHEMA.empty_table().to_pandas()


def ready(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with exactly the columns of COLUMNS, their kinds, and nothing that cannot be kept.

    Raises ValueError for a column that is missing.
    """
    if missing := [name for name in COLUMNS if name not in rows]:
        raise ValueError(f"rows without {', '.join(missing)}")
    numbers = rows[list(NUMBERS[1:])].to_numpy(dtype="float64").clip(-LARGEST, LARGEST)
    columns = {"record": rows["record"].to_numpy(dtype="int64")}
    columns |= dict(zip(NUMBERS[1:], numbers.T, strict=True))
    for name in TEXTS:
        columns[name] = pd.Series([fitting(name, text) for text in rows[name]], dtype="str")
    return pd.DataFrame(columns, columns=list(COLUMNS))


def fitting(name: str, text: object) -> str:
    whole = "" if text is None else str(text).encode("utf-8", "replace").decode()
    if name in LONGEST:
        return whole[: LONGEST[name]]
    return whole if len(whole) <= LONGEST_JSON else shortened(whole)


def shortened(text: str) -> str:
    """The first items of a JSON list that is too long; nothing of what is no list."""
    try:
        items = json.loads(text)
    except ValueError:
        return ""
    while len(text) > LONGEST_JSON and isinstance(items, list):
        items = items[: len(items) * LONGEST_JSON // (len(text) + 1)]
        text = json.dumps(items, ensure_ascii=False)
    return text if len(text) <= LONGEST_JSON else ""


def in_parts(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Rows in pieces of which none is more than full; at least one row each."""
    sizes = sum(rows[name].str.len().to_numpy() for name in TEXTS)
    start, size = 0, 0
    for i, here in enumerate(sizes):
        if i > start and (i - start == FULL_ROWS or size + here > FULL_TEXT):
            yield rows.iloc[start:i]
            start, size = i, 0
        size += here
    if start < len(rows):
        yield rows.iloc[start:]


def part_bytes(rows: pd.DataFrame, *, compression: str = "snappy") -> bytes:
    """A parquet file of rows that are `ready`."""
    buffer = io.BytesIO()
    table = pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), buffer, compression=compression)
    return buffer.getvalue()


def part_rows(content: bytes, header: BenchmarkHeader, records: Sequence[Record]) -> pd.DataFrame:
    """The rows of a parquet file, checked against what the benchmark is of.

    Raises ValueError, or what pyarrow raises, for what is no part of it.
    """
    rows = read_table(content, TEXTS, NUMBERS, most_rows=MOST_ROWS, most_columns=len(COLUMNS))
    if not len(rows):
        return empty_rows()
    if not pd.api.types.is_integer_dtype(rows["record"]):
        raise ValueError("records without a whole number")
    if not rows["record"].between(0, header.total - 1).all():
        raise ValueError("a record that there is not")
    if not rows["method"].isin((ORIGINAL, *header.methods)).all():
        raise ValueError("a method that there is not")
    check_cells(rows)
    case_ids = [str(records[i].case_id) for i in rows["record"]]
    if case_ids != list(rows["case_id"]):
        raise ValueError("rows of other records")
    kinds = {name: "int64" if name == "record" else "float64" for name in NUMBERS}
    return rows[list(COLUMNS)].astype({n: k for n, k in kinds.items() if rows[n].dtype != k})


def check_cells(rows: pd.DataFrame) -> None:
    """Texts are there and not too long; numbers are finite, or NaN."""
    for name in TEXTS:
        lengths = rows[name].str.len()
        if lengths.isna().any() or lengths.max() > LONGEST.get(name, LONGEST_JSON):
            raise ValueError(f"a {name} that is missing or too long")
    numbers = rows[list(NUMBERS[1:])].to_numpy(dtype="float64")
    if (np.abs(numbers) > LARGEST).any():
        raise ValueError("a number that is endless")


def in_order(parts: Sequence[pd.DataFrame], header: BenchmarkHeader) -> pd.DataFrame:
    """All rows once each, of the same record and method the first, by record and by method."""
    rows = pd.concat(parts, ignore_index=True) if parts else empty_rows()
    rows = rows.drop_duplicates(KEY)
    places = {name: i for i, name in enumerate((ORIGINAL, *header.methods))}
    order = np.lexsort((rows["method"].map(places), rows["record"]))
    return rows.iloc[order].reset_index(drop=True)
