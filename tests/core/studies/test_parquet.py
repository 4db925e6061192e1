"""Tables of a study's file: what they would take is looked at before they are made."""

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.studies.parquet import MOST_TEXT, read_table

ROWS = 1000
GOOD = {"name": ["a", "ü", "a"], "n": [1, 2, 3], "mean": [0.5, 1.5, None]}


def written(columns: dict, **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, **options)
    return buffer.getvalue()


def read(content: bytes, most_rows: int = ROWS) -> pd.DataFrame:
    return read_table(content, ["name"], ["n", "mean"], most_rows=most_rows)


@pytest.mark.parametrize("codec", ["snappy", "none"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_table_is_read_as_it_was_written(codec, packed):
    content = written(GOOD | {"more": [1, 2, 3]}, compression=codec, use_dictionary=packed)
    table = read(content)
    assert list(table) == ["name", "n", "mean"]
    assert table["name"].tolist() == ["a", "ü", "a"]
    assert table["n"].tolist() == [1, 2, 3]
    pd.testing.assert_frame_equal(table.head(2), pd.DataFrame(GOOD).head(2), check_dtype=False)


def test_an_empty_table():
    content = pd.DataFrame(columns=["name", "n", "mean"]).to_parquet(index=False)
    assert read(content).empty
    assert list(read(content)) == ["name", "n", "mean"]


def same(text: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))


MANY = {"n": [0] * ROWS, "mean": [0.0] * ROWS}
BOMBS = {
    "many rows": (GOOD | {"name": ["a"] * 3}, {}, 2),
    "a long text in each": (MANY | {"name": same("x" * (MOST_TEXT // ROWS + 1), ROWS)}, {}, ROWS),
    "packed thousandfold": (GOOD | {"name": ["x" * 10**6] * 3}, {"compression": "zstd"}, ROWS),
    "texts for numbers": (GOOD | {"n": ["a", "b", "c"]}, {}, ROWS),
    "numbers for texts": (GOOD | {"name": [1, 2, 3]}, {}, ROWS),
    "lists": (GOOD | {"n": [[1], [2], [3]]}, {}, ROWS),
    "many columns": (GOOD | {f"c{i}": [0] * 3 for i in range(40)}, {}, ROWS),
    "a column less": ({"name": ["a"], "n": [1]}, {}, ROWS),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_be_too_large_or_is_of_another_kind_is_refused(name):
    columns, options, most = BOMBS[name]
    with pytest.raises((ValueError, KeyError)):
        read(written(columns, **options), most)


def test_a_long_text_that_fits_is_read():
    columns = MANY | {"name": same("x" * (MOST_TEXT // ROWS), ROWS)}
    assert len(read(written(columns))) == ROWS
