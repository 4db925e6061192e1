"""A benchmark's folder: one writer, nothing lost or repeated whenever it is killed."""

import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core import PromptError, Record
from core.benchmarking import disk, parts
from core.benchmarking import store as module
from core.benchmarking.header import BenchmarkHeader, digest_of, header_from
from core.benchmarking.measures import COLUMNS, TEXTS
from core.benchmarking.parts import in_order, in_parts, part_bytes, ready, shortened
from core.benchmarking.store import HEADER, MOST_SMALL, Store, part_paths, read_folder
from tests.core.benchmarking.made import (
    METHODS,
    all_rows,
    header_of,
    made_row,
    made_rows,
    some_records,
)

ROOT = Path(__file__).resolve().parents[3]
RECORDS = some_records()
ALL = ("original", *METHODS)


def begin(folder: Path, **more):
    return Store.begin(folder, header_of(RECORDS, **more), RECORDS)


def filled(folder: Path, records: int = len(RECORDS)) -> None:
    with begin(folder) as store:
        for i in range(records):
            store.append(made_rows(RECORDS, [(i, name) for name in ALL]))


def assert_rows(rows: pd.DataFrame, wanted: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(rows, wanted, check_dtype=False)
    assert rows["record"].dtype == np.int64
    assert {str(rows[name].dtype) for name in COLUMNS[3:-4]} == {"float64"}


# Rows come and stay


def test_rows_are_read_as_they_were_written(tmp_path):
    with begin(tmp_path / "new" / "folder") as store:
        assert store.missing() == [(i, ALL) for i in range(len(RECORDS))]
        assert store.rows().empty
        assert list(store.rows()) == list(COLUMNS)
        store.append(made_rows(RECORDS, [(1, "rome"), (0, METHODS[1]), (0, "original")]))
        assert store.missing()[:3] == [(0, ("rome",)), (1, ("original", METHODS[1])), (2, ALL)]
        assert store.missing(["rome"])[:2] == [(0, ("rome",)), (1, ("original",))]
        pairs = [(0, "original"), (0, METHODS[1]), (1, "rome")]
        assert_rows(store.rows(), made_rows(RECORDS, pairs))
    header, records, rows = read_folder(tmp_path / "new" / "folder")
    assert header == header_of(RECORDS)
    assert list(records) == RECORDS
    assert_rows(rows, made_rows(RECORDS, pairs))


def test_records_keep_what_only_the_benchmark_reads(tmp_path):
    more = {"generation_prompts": ("He was",), "relation": "P103", "target_id": "Q1860"}
    records = [replace(record, **more) for record in RECORDS]
    assert digest_of(records) != digest_of(RECORDS)
    with Store.begin(tmp_path, header_of(records), records):
        pass
    assert read_folder(tmp_path)[1].records == tuple(records)


def test_columns_may_stand_in_another_order_and_be_more(tmp_path):
    rows = all_rows(RECORDS)
    mixed = rows[list(reversed(COLUMNS))].assign(more=1)
    with begin(tmp_path) as store:
        store.append(mixed)
        assert_rows(store.rows(), rows)
        with pytest.raises(ValueError, match="rows without kept"):
            store.append(rows.drop(columns="kept"))


def test_the_first_row_of_a_record_and_method_stays(tmp_path):
    with begin(tmp_path) as store:
        store.append(made_rows(RECORDS, [(0, "rome"), (0, "rome")]))
        store.append(made_rows(RECORDS, [(0, "rome")], kept=7.0))
        store.append(made_rows(RECORDS, []))
        assert len(part_paths(tmp_path)) == 1
        assert_rows(store.rows(), made_rows(RECORDS, [(0, "rome")]))


def test_of_a_row_in_two_parts_the_first_counts(tmp_path):
    """As a kill leaves them that comes between the merged part and the old ones' end."""
    with begin(tmp_path) as store:
        store.append(made_rows(RECORDS, [(0, "rome")]))
    again = ready(made_rows(RECORDS, [(0, "rome"), (1, "rome")], kept=7.0))
    (tmp_path / "part-000009.parquet").write_bytes(part_bytes(again))
    with begin(tmp_path) as store:
        assert store.rows()["kept"].tolist() == [made_row(RECORDS, 0, "rome")["kept"], 7.0]
        assert store.next == 10
        store.compact()
        assert [path.name for path in part_paths(tmp_path)] == ["part-000010.parquet"]
        assert len(store.rows()) == 2


def test_methods_are_added_to_a_benchmark(tmp_path):
    filled(tmp_path)
    with begin(tmp_path, methods=("mend", "rome")) as store:
        assert store.header.methods == (*METHODS, "mend")
        assert store.missing() == [(i, ("mend",)) for i in range(len(RECORDS))]
        assert store.missing(["rome"]) == []
        store.append(made_rows(RECORDS, [(4, "mend")]))
    with begin(tmp_path) as store:  # with fewer methods
        assert store.header.methods == (*METHODS, "mend")
        assert len(store.rows()) == len(RECORDS) * 3 + 1
        assert store.rows()["method"].tolist()[12:16] == [*ALL, "mend"]


def other_records() -> list[Record]:
    return [*RECORDS[1:], RECORDS[0]]


@pytest.mark.parametrize(
    "other",
    [
        {"fingerprint": "1235"},
        {"seed": 4},
        {"limit": 50},
        {"generate": False},
        {"tokens_generated": 50},
        {"perplexity_text": "abce"},
        {"records": "other.json", "n_layers": 9},
    ],
)
def test_another_benchmark_does_not_go_into_the_folder(tmp_path, other):
    filled(tmp_path, 1)
    with (
        pytest.raises(PromptError, match="holds another benchmark: tiny-gpt2, 12 of 100 records"),
        begin(tmp_path, **other),
    ):
        pass
    with begin(tmp_path, records="renamed.json", versions={"torch": "99"}) as store:
        assert len(store.rows()) == 3


def test_other_records_do_not_go_into_the_folder(tmp_path):
    filled(tmp_path, 1)
    records = other_records()
    with (
        pytest.raises(PromptError, match="another benchmark"),
        Store.begin(tmp_path, header_of(records), records),
    ):
        pass


def test_records_are_the_headers(tmp_path):
    with (
        pytest.raises(ValueError, match="not the header's"),
        Store.begin(tmp_path, header_of(RECORDS), other_records()),
    ):
        pass


def test_records_that_cannot_be_kept(tmp_path):
    records = [*RECORDS, replace(RECORDS[0], paraphrases=("", "He"))]
    with (
        pytest.raises(PromptError, match="cannot be kept as it is"),
        Store.begin(tmp_path, header_of(records), records),
    ):
        pass
    assert not (tmp_path / HEADER).exists()


# Many parts


def test_many_parts_are_merged_by_themselves(tmp_path):
    pairs = [(i, name) for i in range(len(RECORDS)) for name in ALL]
    pairs += [(i, f"rome:layer={n}") for i in range(len(RECORDS)) for n in range(5)]
    methods = (*METHODS, *(f"rome:layer={n}" for n in range(5)))
    with begin(tmp_path, methods=methods) as store:
        for pair in pairs:
            store.append(made_rows(RECORDS, [pair]))
            assert len(part_paths(tmp_path)) <= MOST_SMALL + 1
        assert store.missing() == []
        store.compact()
        assert len(part_paths(tmp_path)) == 1
        assert_rows(store.rows(), all_rows(RECORDS, methods))


def test_full_parts_are_not_merged_again(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "FULL_ROWS", 6)
    monkeypatch.setattr(module, "FULL_ROWS", 6)
    filled(tmp_path, 6)  # each three rows: half of what is full
    names = [path.name for path in part_paths(tmp_path)]
    with begin(tmp_path) as store:
        store.compact()
        assert [path.name for path in part_paths(tmp_path)] == names
        for name in ALL:
            store.append(made_rows(RECORDS, [(7, name)]))
        store.compact()
        assert [path.name for path in part_paths(tmp_path)] == [*names, "part-000009.parquet"]
        assert len(store.rows()) == 21


def test_a_merge_that_cannot_be_written_loses_nothing(tmp_path, monkeypatch):
    filled(tmp_path)
    with begin(tmp_path) as store:
        with monkeypatch.context() as full:
            full.setattr(disk, "flush", no_space)
            with pytest.raises(PromptError, match="No space left"):
                store.compact()
        assert_rows(store.rows(), all_rows(RECORDS))
        store.compact()
        assert len(part_paths(tmp_path)) == 1


def no_space(path: Path) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_is_said_and_the_row_is_made_again(tmp_path, monkeypatch):
    with begin(tmp_path) as store:
        with monkeypatch.context() as full:
            full.setattr(disk, "flush", no_space)
            with pytest.raises(PromptError, match="No space left on device. Make room"):
                store.append(made_rows(RECORDS, [(0, "rome")]))
        assert not list(tmp_path.glob("*.new"))
        assert not part_paths(tmp_path)
        assert store.missing()[0] == (0, ALL)
        store.append(made_rows(RECORDS, [(0, "rome")]))
        assert len(store.rows()) == 1


PAIRS = some.tuples(some.integers(0, 3), some.sampled_from(ALL))
DEEDS = some.one_of(some.lists(PAIRS, max_size=4), some.sampled_from(["compact", "again"]))


@given(some.lists(DEEDS, max_size=12))
@settings(max_examples=25, deadline=None)
def test_whatever_is_done_each_row_is_there_once(tmp_path_factory, deeds):
    """Rows are numbered as they come; the first of a record and method is the one to stay."""
    folder, first, number = tmp_path_factory.mktemp("store"), {}, 0
    open_store = begin(folder)
    store = open_store.__enter__()
    for deed in deeds:
        if deed == "compact":
            store.compact()
        elif deed == "again":
            open_store.__exit__(None, None, None)
            open_store = begin(folder)
            store = open_store.__enter__()
        else:
            rows = made_rows(RECORDS, deed)
            rows["kept"] = np.arange(number, number + len(deed), dtype=float)
            for place, pair in enumerate(deed):
                first.setdefault(pair, float(number + place))
            number += len(deed)
            store.append(rows)
    rows = store.rows()
    keys = zip(rows["record"], rows["method"], strict=True)
    assert dict(zip(keys, rows["kept"], strict=True)) == first
    left = {(i, name) for i, names in store.missing() for name in names}
    assert left == {(i, name) for i in range(len(RECORDS)) for name in ALL} - set(first)
    open_store.__exit__(None, None, None)


# Kills


LEFT = some_records(6)  # those of the writers that are killed


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> tuple[Path, dict[str, list[tuple[int, int]]]]:
    """The folder, and by how they were killed each writer's exit code and rows there then."""
    folder = tmp_path_factory.mktemp("killed")
    child = subprocess.run(
        [sys.executable, "-m", "tests.core.benchmarking.killed", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert child.returncode == 0, child.stderr
    found: dict[str, list[tuple[int, int]]] = {}
    for line in child.stdout.splitlines():
        how, code, rows = json.loads(line)
        found.setdefault(how, []).append((code, rows))
    return folder, found


needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork and SIGKILL")


@needs_fork
@pytest.mark.parametrize("how", ["at_steps", "from_outside"])
def test_killed_at_random_moments_it_loses_and_repeats_nothing(killed, how):
    folder = killed[0] / how
    codes, rows = zip(*killed[1][how], strict=True)
    assert set(codes[:-1]) == {-signal.SIGKILL}
    assert codes[-1] == 0
    assert rows[0] >= 0
    assert list(rows) == sorted(rows)  # what was there stays, as it was made
    assert len(set(rows)) > 1  # kills came at different places
    with Store.begin(folder, header_of(LEFT), LEFT) as store:
        assert store.missing() == []
    header, records, found = read_folder(folder)
    assert_rows(found, all_rows(LEFT))
    assert (header, list(records)) == (header_of(LEFT), LEFT)
    assert not [path for path in folder.iterdir() if path.suffix in (".new", ".damaged")]


@needs_fork
def test_killed_at_any_step_it_goes_on(killed):
    """Nothing is damaged by it: not the header, not the records, no part."""
    folder, found = killed
    codes, rows = zip(*found["at_each_step"], strict=True)
    assert rows == (len(LEFT) * len(ALL),) * len(rows)
    assert codes == (-signal.SIGKILL,) * (len(codes) - 1) + (0,)
    assert len(codes) > 20
    assert not list(folder.rglob("*.damaged"))
    assert not list(folder.glob("each-*/*.new"))


@needs_fork
def test_killed_at_any_step_of_a_merge_it_loses_and_repeats_nothing(killed):
    found = killed[1]["in_compact"]
    assert [rows for _, rows in found] == [len(LEFT) * len(ALL)] * len(found)
    assert [code for code, _ in found] == [-signal.SIGKILL] * (len(found) - 1) + [0]
    assert len(found) > 12  # the new part is written, flushed and moved; three old ones are deleted
    for i in range(1, len(found) + 1, 5):
        folder = killed[0] / f"copy-{i}"
        with Store.begin(folder, header_of(LEFT), LEFT) as store:
            store.compact()
            assert store.missing() == []
            assert_rows(store.rows(), all_rows(LEFT))
        assert len(part_paths(folder)) == 1
        assert not list(folder.glob("*.new"))


# Damage


DAMAGES = {
    "cut off": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "no parquet": lambda content: b"PAR1" + bytes(400) + b"PAR1",
    "other bytes": lambda content: content[:200] + b"\xff" * 100 + content[300:],
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_part_is_set_aside_and_made_again(tmp_path, how):
    filled(tmp_path, 3)
    damaged = part_paths(tmp_path)[1]
    damaged.write_bytes(DAMAGES[how](damaged.read_bytes()))
    assert read_folder(tmp_path)[2]["record"].tolist() == [0, 0, 0, 2, 2, 2]
    with begin(tmp_path) as store:
        assert store.missing()[0] == (1, ALL)
        assert (tmp_path / "part-000001.parquet.damaged").exists()
        store.append(made_rows(RECORDS, [(1, name) for name in ALL]))
        assert store.missing()[0] == (3, ALL)
        expected = [(i, name) for i in range(3) for name in ALL]
        assert_rows(store.rows(), made_rows(RECORDS, expected))
    assert sorted(path.name for path in tmp_path.glob("part*"))[1] == "part-000001.parquet.damaged"


def test_a_part_that_is_damaged_while_it_is_written_to(tmp_path):
    filled(tmp_path, 3)
    with begin(tmp_path) as store:
        part_paths(tmp_path)[2].write_bytes(b"")
        store.compact()
        assert store.missing()[0] == (2, ALL)
        assert store.rows()["record"].tolist() == [0, 0, 0, 1, 1, 1]


WRONG_ROWS = {
    "a record that there is not": {"record": 99},
    "a negative record": {"record": -1},
    "a method that there is not": {"method": "sgd"},
    "another record's name": {"case_id": "other"},
    "an endless number": {"kept": math.inf},
    "a number too large": {"seconds": 1e300},
    "a text too long": {"text": "x" * 60_000},
    "no text": {"problem": None},
}


@pytest.mark.parametrize("what", WRONG_ROWS)
def test_a_part_of_other_rows_is_set_aside(tmp_path, what):
    filled(tmp_path, 1)
    wrong = made_rows(RECORDS, [(1, "rome")], **WRONG_ROWS[what])
    (tmp_path / "part-000001.parquet").write_bytes(part_bytes(wrong))
    with begin(tmp_path) as store:
        assert len(store.rows()) == 3
        assert (tmp_path / "part-000001.parquet.damaged").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b'{"format": 9}', b"\xff"])
def test_a_damaged_header_is_said(tmp_path, content):
    filled(tmp_path, 1)
    (tmp_path / HEADER).write_bytes(content)
    with (
        pytest.raises(PromptError, match="benchmark.json in the folder .* is damaged"),
        begin(tmp_path),
    ):
        pass
    with pytest.raises(PromptError, match="is damaged"):
        read_folder(tmp_path)


def test_damaged_records_are_written_again(tmp_path):
    filled(tmp_path, 1)
    file = tmp_path / module.RECORDS
    whole = file.read_bytes()
    for damaged in (whole[:-300], b"", None):
        file.unlink() if damaged is None else file.write_bytes(damaged)
        with pytest.raises(PromptError):
            read_folder(tmp_path)
        with begin(tmp_path) as store:
            assert len(store.rows()) == 3
        assert file.read_bytes() == whole


def test_parts_without_a_header_are_not_taken_over(tmp_path):
    filled(tmp_path, 1)
    (tmp_path / HEADER).unlink()
    with (
        pytest.raises(PromptError, match="without its benchmark.json. Choose an empty folder"),
        begin(tmp_path),
    ):
        pass


def test_what_a_killed_writer_left_is_removed_and_other_files_are_not(tmp_path):
    filled(tmp_path, 1)
    (tmp_path / "part-000001.parquet.new").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "part-of-mine.parquet").write_text("mine")
    assert len(read_folder(tmp_path)[2]) == 3
    with begin(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {
        *("benchmark.json", "records.jsonl", "part-000000.parquet", "writing.lock"),
        *("notes.txt", "part-of-mine.parquet"),
    }


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PromptError, match="cannot be written to 'file'"), begin(tmp_path / "file"):
        pass


# One writer, any readers


def test_a_second_writer_is_refused(tmp_path):
    with begin(tmp_path) as store:
        with (
            pytest.raises(PromptError, match="Another one writes to the benchmark"),
            begin(tmp_path),
        ):
            pass
        store.append(made_rows(RECORDS, [(0, "rome")]))
        assert len(read_folder(tmp_path)[2]) == 1
    with begin(tmp_path) as store:
        assert len(store.rows()) == 1


def test_the_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), begin(tmp_path):
        raise RuntimeError
    with begin(tmp_path):
        pass


def test_a_reader_reads_again_what_is_merged_meanwhile(tmp_path, monkeypatch):
    filled(tmp_path)
    merged = []

    def merge_first(path, *about, real=module.whole_rows):
        if not merged:
            merged.append(path)
            with begin(tmp_path) as store:
                store.compact()
        return real(path, *about)

    with begin(tmp_path):
        pass
    monkeypatch.setattr(Store, "read_parts", own_read_parts)
    monkeypatch.setattr(module, "whole_rows", merge_first)
    assert_rows(read_folder(tmp_path)[2], all_rows(RECORDS))
    assert merged
    assert len(part_paths(tmp_path)) == 1


def own_read_parts(store, paths=None, whole_rows=module.whole_rows):
    for path in part_paths(store.folder) if paths is None else paths:
        yield path, whole_rows(path, store.header, store.records)


# Rows that are made ready


def test_what_cannot_be_kept_is_made_so_that_it_can(tmp_path):
    long = "half \ud800 of one" + "x" * 60_000
    said = [["rewrite", "x" * 1000, " a", " b"]] * 400
    rows = made_rows(RECORDS, [(0, "rome")], perplexity=math.inf, entropy=-math.inf, seconds=3)
    rows["said"], rows["text"] = json.dumps(said), pd.Series([long], dtype="object")
    rows["nlls"], rows["problem"] = json.dumps({"rewrite": [[1.5, 2.5, 1]] * 30_000}), None
    with begin(tmp_path) as store:
        store.append(rows)
        (row,) = store.rows().to_dict("records")
    assert (row["perplexity"], row["entropy"], row["seconds"]) == (1e100, -1e100, 3.0)
    assert row["text"].startswith("half ? of one")
    assert len(row["text"]) == 50_000
    assert json.loads(row["said"]) == said[: len(json.loads(row["said"]))]
    assert 100_000 < len(row["said"]) <= 250_000
    assert (row["nlls"], row["problem"]) == ("", "")


@given(some.lists(some.text(max_size=40), max_size=40), some.integers(2, 400))
@settings(deadline=None)
def test_a_shortened_list_is_the_longest_part_that_surely_fits(items, longest):
    text = json.dumps(items, ensure_ascii=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "LONGEST_JSON", longest)
        found = parts.fitting("said", text)
    assert len(found) <= longest
    kept = json.loads(found)
    assert kept == items[: len(kept)]
    assert len(text) > longest or kept == items


@pytest.mark.parametrize("text", ['{"a": 1}', '"' + "x" * 250_000 + '"', "x" * 250_001, "9" * 9])
def test_what_is_no_list_is_not_shortened(text):
    assert shortened(text) == (text if len(text) <= parts.LONGEST_JSON else "")


@given(some.lists(some.integers(0, 300), max_size=30))
@settings(deadline=None)
def test_rows_in_parts_are_all_rows(lengths):
    rows = pd.DataFrame({name: pd.Series([""] * len(lengths), dtype="str") for name in TEXTS})
    rows["text"] = pd.Series(["x" * length for length in lengths], dtype="str")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "FULL_ROWS", 7)
        patch.setattr(parts, "FULL_TEXT", 500)
        found = list(in_parts(rows))
    assert [len(text) for part in found for text in part["text"]] == lengths
    for part in found:
        assert 1 <= len(part) <= 7
        assert len(part) == 1 or part["text"].str.len().sum() <= 500


def test_rows_without_a_folder_are_the_same():
    rows = all_rows(RECORDS)
    mixed = [ready(rows.sample(frac=1, random_state=1)), ready(rows[:5].assign(kept=9))]
    assert_rows(in_order(mixed, header_of(RECORDS)), rows)


# The header


def test_a_header_is_read_as_it_was_written():
    header = header_of(RECORDS, original_perplexity=math.nan)
    again = header_from(header.as_json())
    assert math.isnan(again.original_perplexity)
    assert replace(again, original_perplexity=0.0) == replace(header, original_perplexity=0.0)
    assert header_from(header_of(RECORDS).as_json()) == header_of(RECORDS)
    assert header_of(RECORDS).with_methods(["original", "rome"]) == header_of(RECORDS)


WRONG_HEADERS = [
    {"format": 2},
    {"format": True},
    {"model": 3},
    {"model": "x" * 2000},
    {"model": "\ud800"},
    {"total": 0},
    {"total": 10**9},
    {"total": True},
    {"total": 1.5},
    {"seed": 10**40},
    {"limit": -1},
    {"generate": 1},
    {"methods": "rome"},
    {"methods": ["rome", "rome"]},
    {"methods": ["original"]},
    {"methods": [""]},
    {"methods": [["rome"]]},
    {"methods": [f"rome:layer={i}" for i in range(60)]},
    {"original_perplexity": math.inf},
    {"original_perplexity": "30"},
    {"versions": {"torch": 2}},
    {"versions": {str(i): "" for i in range(60)}},
    {"versions": ["torch"]},
    {"more": 1},
]


@pytest.mark.parametrize("wrong", WRONG_HEADERS, ids=str)
def test_a_header_is_checked(wrong):
    described = json.loads(header_of(RECORDS).as_json()) | wrong
    with pytest.raises((ValueError, TypeError)):
        header_from(json.dumps(described).encode())


def test_a_header_without_a_field():
    described = json.loads(header_of(RECORDS).as_json())
    for name in described:
        less = {key: value for key, value in described.items() if key != name}
        with pytest.raises(ValueError, match="header|format"):
            header_from(json.dumps(less).encode())
    assert isinstance(header_from(json.dumps(described).encode()), BenchmarkHeader)
