"""A benchmark's table by hand, its failures in words, and its archive as a stranger's file."""

import io
import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core import Benchmark, PromptError, shipped_benchmarks
from core.benchmarking import archive, parts, results
from core.benchmarking.failures import FAILURES, failed_prompts, said_in
from core.benchmarking.header import digest_of
from core.benchmarking.means import harmonic_mean
from core.benchmarking.measures import COLUMNS, KINDS, MEASURES
from core.benchmarking.parts import in_order, part_bytes, ready
from core.benchmarking.store import Store
from core.studies.bootstrap import mean_interval, mean_intervals, student, wilson_interval
from tests.core.benchmarking.made import METHODS, all_rows, header_of, made_rows, some_records

RECORDS = some_records()


def benchmark_of(rows: pd.DataFrame, methods: tuple[str, ...] = METHODS, **more) -> Benchmark:
    header = header_of(RECORDS, methods, **more)
    return Benchmark(header, tuple(RECORDS), in_order([ready(rows)], header))


@pytest.fixture(scope="module")
def whole() -> Benchmark:
    return benchmark_of(all_rows(RECORDS))


# The table


def with_values(name: str, values: list[float], **more: object) -> Benchmark:
    """A benchmark of ROME alone with these values of a measure."""
    rows = made_rows(RECORDS, [(i, "rome") for i in range(len(values))], **more)
    rows[name] = values
    return benchmark_of(rows)


def test_the_table_has_a_row_a_method(whole):
    table = whole.table
    assert table["method"].tolist() == ["original", *METHODS]
    assert table["title"].tolist() == ["Unedited model", "ROME", "MEMIT (layers 3+4)"]
    assert table["records"].tolist() == [12, 12, 12]
    measured = [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high", "_n")]
    assert list(table) == ["method", "title", "records", "problems", "score", *measured]
    assert whole.finished
    for name in set(MEASURES) - {"reference"}:
        own = whole.rows.groupby("method")[name].mean()
        assert table.set_index("method")[name].to_dict() == pytest.approx(own.to_dict())
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
    assert table["reference"].isna().all()
    assert table["reference_low"].isna().all()
    assert table["reference_n"].tolist() == [0, 0, 0]


def test_a_table_is_made_once_and_everyone_has_his_own(whole):
    first = whole.table
    first.loc[0, "title"] = "mine"
    assert whole.table.loc[0, "title"] == "Unedited model"
    assert whole.means is whole.means
    assert benchmark_of(all_rows(RECORDS)).table.equals(whole.table)


def test_values_that_are_missing_are_left_out_and_counted():
    """Half of the median ones; two values of 0.2 and 0.6 have a mean of 0.4."""
    (row,) = with_values("kept", [0.2, math.nan, 0.6, math.nan]).table.to_dict("records")
    assert (row["records"], row["kept_n"], row["kept"]) == (4, 2, pytest.approx(0.4))
    assert row["kept_low"] == pytest.approx(0.2)  # of two values only the whole range is known
    assert row["kept_high"] == pytest.approx(0.6)


def test_of_one_value_nothing_is_known():
    (row,) = with_values("perplexity", [30.0, math.nan]).table.to_dict("records")
    assert (row["perplexity"], row["perplexity_n"]) == (30.0, 1)
    assert math.isnan(row["perplexity_low"])
    assert math.isnan(row["perplexity_high"])


def test_shares_of_records_have_wilsons_interval():
    """5 of 5: Wilson's lower bound is 1 / (1 + z²/n) = 5 / (5 + 3.8415); 3 of 4 by hand, too."""
    (row,) = with_values("efficacy_acc", [1.0] * 5).table.to_dict("records")
    assert row["efficacy_acc_low"] == pytest.approx(5 / (5 + 1.959964**2))
    assert row["efficacy_acc_high"] == 1.0
    (row,) = with_values("efficacy_acc", [0.0] * 5).table.to_dict("records")
    assert row["efficacy_acc_low"] == 0.0
    assert row["efficacy_acc_high"] == pytest.approx(1.959964**2 / (5 + 1.959964**2))
    (row,) = with_values("efficacy_acc", [1, 0, 1, 1]).table.to_dict("records")
    z2 = 1.959964**2
    middle = (0.75 + z2 / 8) / (1 + z2 / 4)
    half = math.sqrt(z2) * math.sqrt(0.75 * 0.25 / 4 + z2 / 64) / (1 + z2 / 4)
    assert row["efficacy_acc_low"] == pytest.approx(middle - half)
    assert row["efficacy_acc_high"] == pytest.approx(middle + half)


def test_equal_values_have_an_interval_without_width():
    (row,) = with_values("kept", [0.5] * 6).table.to_dict("records")
    assert [row["kept_low"], row["kept"], row["kept_high"]] == pytest.approx([0.5] * 3)


@pytest.mark.parametrize(
    ("values", "mean"),
    [([1, 1, 1], 1), ([0.5, 1, 1], 0.75), ([0.2, 0.3, 0.6], 0.3), ([0, 1, 1], 0)],
)
def test_the_score_is_the_harmonic_mean_of_the_successes(values, mean):
    assert harmonic_mean(values) == pytest.approx(mean)
    names = [f"{name}_success" for name in ("efficacy", "paraphrase", "neighbourhood")]
    rows = made_rows(RECORDS, [(0, "rome"), (1, "rome")]).assign(
        **dict(zip(names, values, strict=True))
    )
    assert benchmark_of(rows).table["score"].item() == pytest.approx(mean)
    rows["neighbourhood_success"] = math.nan
    assert math.isnan(benchmark_of(rows).table["score"].item())


def test_rows_without_an_edit_count_and_are_counted():
    more = {"problem": ["", "no edit", ""]}
    rows = made_rows(RECORDS, [(i, "rome") for i in range(3)]).assign(**more)
    assert benchmark_of(rows.assign(kept=[1, 0, 0.5])).table["problems"].item() == 1
    assert benchmark_of(rows.assign(kept=[1, 0, 0.5])).table["kept"].item() == 0.5


def test_a_benchmark_that_has_just_begun():
    empty = benchmark_of(made_rows(RECORDS, []))
    assert empty.methods == ()
    assert empty.table.empty
    assert not empty.finished
    begun = benchmark_of(made_rows(RECORDS, [(0, METHODS[1])]))
    assert begun.methods == (METHODS[1],)
    assert begun.table["records"].tolist() == [1]
    with pytest.raises(PromptError, match=r"no method 'rome'. Its methods: 'memit:layers=3\+4'"):
        begun.failures("rome")


# The intervals


def test_the_intervals_of_columns_are_each_ones_own():
    values = np.random.default_rng(0).random((30, 4))
    options = {"level": 0.9, "resamples": 500, "seed": 7}
    together = mean_intervals(values, **options)
    alone = [mean_interval(values[:, i], **options) for i in range(4)]
    np.testing.assert_allclose(together, alone)


def test_many_values_are_resampled_in_parts(monkeypatch):
    values = np.random.default_rng(0).random(300)
    options = {"level": 0.95, "resamples": 900, "seed": 7}
    whole = mean_interval(values, **options)
    monkeypatch.setattr("core.studies.bootstrap.AT_ONCE", 1000)
    assert mean_interval(values, **options) == pytest.approx(whole)


def test_the_interval_of_a_mean_is_students_where_values_are_normal():
    values = np.sort(np.random.default_rng(1).normal(size=20)) + 5
    low, high = mean_interval(values, level=0.95, resamples=40_000, seed=0)
    half = student(1.959964, 19) * values.std(ddof=1) / np.sqrt(20)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.03)
    assert (high - low) / 2 == pytest.approx(half, rel=0.04)


@pytest.mark.parametrize("n", [8, 40])
def test_the_interval_of_a_mean_holds_the_truth_19_times_in_20(n):
    """Loose bounds, at least 4 standard errors of 400 rounds."""
    random, held = np.random.default_rng(0), 0
    for seed in range(400):
        low, high = mean_interval(random.normal(size=n), level=0.95, resamples=800, seed=seed)
        held += low <= 0 <= high
    assert 0.905 < held / 400 < 0.99


@given(some.integers(1, 500).flatmap(lambda n: some.tuples(some.integers(0, n), some.just(n))))
@settings(deadline=None)
def test_wilsons_interval_holds_the_share_and_has_a_width(pair):
    successes, n = pair
    low, high = wilson_interval(successes, n, level=0.95)
    assert 0 <= low <= successes / n <= high <= 1
    assert high - low > 1 / (n + 4)
    mirrored = wilson_interval(n - successes, n, level=0.95)
    assert (1 - high, 1 - low) == pytest.approx(mirrored)


# Failures


def said(*prompts: tuple[str, str, str, str]) -> str:
    return json.dumps([list(prompt) for prompt in prompts])


GOOD = ("rewrite", "He speaks", " Dutch", " Dutch")
BAD = ("rewrite", "He speaks", " Dutch", " French")
ASIDE = ("paraphrase", "His tongue:", " Dutch", " Dutch")
ASIDE_BAD = ("paraphrase", "His tongue:", " Dutch", " the")
NEAR = ("neighbour", "She speaks", " French", " English")  # as before, if not right
NEAR_BAD = ("neighbour", "She speaks", " French", " Dutch")
DENIED = ("negation", "He does not speak", " Dutch", " French")
DENIED_BAD = ("negation", "He does not speak", " Dutch", " Dutch")
TURNED_BAD = ("reversed", "Dutch is spoken by", " He", " the")


def failing(*rows: str) -> Benchmark:
    """A benchmark of the unedited model, which says NEAR, and of ROME."""
    pairs = [(i, name) for i in range(len(rows)) for name in ("original", "rome")]
    made = made_rows(RECORDS, pairs)
    made["said"] = [text for row in rows for text in (said(BAD, NEAR), row)]
    return benchmark_of(made)


def test_a_failure_in_words():
    found = failing(said(GOOD, ASIDE, NEAR, DENIED), said(GOOD, ASIDE_BAD, NEAR)).failures("rome")
    assert list(found) == list(FAILURES)
    (row,) = found.to_dict("records")
    record = RECORDS[1]
    assert row == {
        "record": 1,
        "case_id": str(record.case_id),
        "prompt": record.prompt,
        "subject": record.subject,
        "target_new": record.target_new,
        "target_true": record.target_true,
        "kind": "paraphrase",
        "asked": "His tongue:",
        "wanted": " Dutch",
        "said": " the",
        "text": " of the ü\n",
        "problem": "",
    }


@pytest.mark.parametrize(
    ("prompt", "fails"),
    [
        (GOOD, False),
        (BAD, True),
        (ASIDE, False),
        (ASIDE_BAD, True),
        (NEAR, False),
        (NEAR_BAD, True),
        (DENIED, False),
        (DENIED_BAD, True),
        (TURNED_BAD, True),
        (("reversed", "Dutch is spoken by", " He", " He"), False),
    ],
)
def test_what_fails(prompt, fails):
    found = failing(said(prompt)).failures("rome")
    assert len(found) == int(fails)
    if fails:
        assert found["kind"].item() == prompt[0]
        assert found["said"].item() == prompt[3]


def test_a_neighbour_should_say_what_it_said_before():
    found = failing(said(NEAR_BAD)).failures("rome")
    assert found["wanted"].item() == " English"
    alone = failing(said(NEAR_BAD))
    alone = replace(alone, rows=alone.rows[alone.rows["method"] == "rome"])
    assert alone.failures("rome")["wanted"].item() == " French"


def test_the_worst_comes_first():
    """By the sum of each kind's share; what cannot be turned round hardly counts."""
    other = ("neighbour", "They speak", " French", " Dutch")
    found = failing(
        said(GOOD, TURNED_BAD),  # 0.01
        said(GOOD, NEAR, other),  # 0.5
        said(BAD, ASIDE_BAD, NEAR_BAD, DENIED_BAD),  # 4
        said(GOOD, NEAR_BAD, other, TURNED_BAD, ASIDE, ASIDE_BAD),  # 1.51, most of it neighbours
        said(GOOD, ASIDE),  # nothing
        said(BAD, ASIDE_BAD),  # 2
        said(BAD, ASIDE_BAD),  # 2, later
    ).failures("rome")
    assert found["record"].tolist() == [2, 5, 6, 3, 1, 0]
    kinds = ["rewrite", "rewrite", "rewrite", "neighbour", "neighbour", "reversed"]
    assert found["kind"].tolist() == kinds
    assert found["asked"].tolist()[3:] == ["She speaks", "They speak", "Dutch is spoken by"]


def test_as_many_failures_as_are_asked_for():
    found = failing(*[said(BAD)] * 5)
    assert found.failures("rome", count=2)["record"].tolist() == [0, 1]
    assert len(found.failures("rome")) == 5
    none = found.failures("rome", count=0)
    assert list(none) == list(FAILURES)
    assert none.empty


PROMPTS = some.tuples(
    some.sampled_from(KINDS), some.sampled_from("pq"), some.sampled_from("ab"), some.just("a")
)


@given(some.lists(PROMPTS, max_size=12), some.lists(PROMPTS, max_size=4))
@settings(deadline=None)
def test_failed_prompts_are_among_those_asked(prompts, before):
    for kind, (share, failed) in failed_prompts(prompts, before).items():
        asked = [prompt for prompt in prompts if prompt[0] == kind]
        assert failed
        assert share == len(failed) / len(asked)
        assert {prompt[1] for prompt in failed} <= {prompt[1] for prompt in asked}


# The archive


def test_an_archive_is_read_as_it_was_written(whole, tmp_path):
    whole.save(tmp_path / "found.zip")
    content = (tmp_path / "found.zip").read_bytes()
    assert content == whole.as_zip() == benchmark_of(all_rows(RECORDS)).as_zip()
    for source in (tmp_path / "found.zip", str(tmp_path / "found.zip"), content):
        again = Benchmark.load(source)
        assert again.header == whole.header
        assert tuple(again.records) == whole.records
        pd.testing.assert_frame_equal(again.rows, whole.rows)
        pd.testing.assert_frame_equal(again.table, whole.table)
    assert Benchmark.load(content).as_zip() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.zip"]


def test_an_archive_of_nothing_yet_and_of_many_parts(monkeypatch, whole):
    empty = Benchmark.load(benchmark_of(made_rows(RECORDS, [])).as_zip())
    assert empty.rows.empty
    assert list(empty.rows) == list(COLUMNS)
    monkeypatch.setattr(parts, "FULL_ROWS", 5)
    pd.testing.assert_frame_equal(Benchmark.load(whole.as_zip()).rows, whole.rows)


def test_a_folder_is_read(whole, tmp_path):
    with Store.begin(tmp_path, header_of(RECORDS), RECORDS) as store:
        store.append(all_rows(RECORDS))
        found = Benchmark.load(tmp_path)  # while it is written
    pd.testing.assert_frame_equal(found.table, whole.table)
    assert found.as_zip() == whole.as_zip()


def test_a_file_that_cannot_be_written(whole, tmp_path):
    with pytest.raises(PromptError, match="cannot be written"):
        whole.save(tmp_path / "no folder" / "found.zip")


def files_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def packed(files: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive_file:
        for name, content in files.items():
            archive_file.writestr(name, content)
    return buffer.getvalue()


def with_rows(**more: object) -> dict[str, bytes]:
    """A part whose rows have another value of a column."""
    rows = ready(all_rows(RECORDS)).assign(**more)
    return {"part-000000.parquet": part_bytes(rows)}


def with_header(**more: object) -> dict[str, bytes]:
    return {"benchmark.json": json.dumps(json.loads(HEADER) | more).encode()}


HEADER = header_of(RECORDS).as_json()
LINE = json.dumps([["rewrite", "a", "b"]])
STRANGE = {
    "no header": {"benchmark.json": None},
    "no records": {"records.jsonl": None},
    "another header": with_header(model=3),
    "more records than there are": with_header(total=13),
    "other records": with_header(digest="0" * 64),
    "fewer methods": with_header(methods=["rome"]),
    "a header that is too large": with_header(model="x" * 2**21),
    "records that are none": {"records.jsonl": b"[]"},
    "records that are broken": {"records.jsonl": b"\xff\xfe" * 100},
    "a part that is none": {"part-000000.parquet": b"PAR1"},
    "rows twice": {"part-000007.parquet": with_rows()["part-000000.parquet"]},
    "an unknown method": with_rows(method="sgd"),
    "an endless number": with_rows(kept=math.inf),
    "one record for all": with_rows(record=0),
    "answers that are no JSON": with_rows(said="["),
    "answers that are no list": with_rows(said='{"rewrite": 1}'),
    "an answer of three": with_rows(said=LINE),
    "an answer of numbers": with_rows(said='[["rewrite", "a", "b", 1]]'),
    "an answer to nothing": with_rows(said='[["other", "a", "b", "c"]]'),
    "half a character": with_rows(said='[["rewrite", "a", "\\ud800", "c"]]'),
    "many answers": with_rows(said=json.dumps([["rewrite", "", "", ""]] * 2001)),
    "deep answers": with_rows(said="[" * 100_000),
    "numbers that are none": with_rows(nlls='{"rewrite": [["a", 1, 0]]}'),
    "numbers of no kind": with_rows(nlls='{"other": []}'),
    "endless numbers": with_rows(nlls='{"rewrite": [[Infinity, 1, 0]]}'),
    "numbers in a list": with_rows(nlls="[1]"),
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_strangers_archive_is_checked(whole, what):
    files = files_of(whole.as_zip()) | STRANGE[what]
    content = packed({name: content for name, content in files.items() if content is not None})
    with pytest.raises(PromptError, match="no benchmark that the app can read.*Choose the zip"):
        Benchmark.load(content)


def test_the_archive_that_the_strange_ones_are_made_of_is_read(whole):
    files = files_of(whole.as_zip())
    pd.testing.assert_frame_equal(Benchmark.load(packed(files)).rows, whole.rows)
    more = packed(files | {"readme.txt": b"hello", "../part-000003.parquet": b"x"})
    pd.testing.assert_frame_equal(Benchmark.load(more).rows, whole.rows)
    again = packed(files | with_rows())
    pd.testing.assert_frame_equal(Benchmark.load(again).rows, whole.rows)


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 1000])
def test_what_is_no_archive(content, tmp_path):
    (tmp_path / "file.zip").write_bytes(content)
    for source in (content, tmp_path / "file.zip", tmp_path / "missing.zip"):
        with pytest.raises(PromptError, match="no benchmark"):
            Benchmark.load(source)


def test_an_empty_folder_is_no_benchmark(tmp_path):
    with pytest.raises(PromptError, match="no benchmark|damaged"):
        Benchmark.load(tmp_path)


@pytest.mark.parametrize("kind", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_archive_that_is_packed_in_a_way_without_bounds(whole, kind):
    with pytest.raises(PromptError, match="no benchmark"):
        Benchmark.load(packed(files_of(whole.as_zip()), kind))


def test_an_archive_that_would_take_too_much(whole, monkeypatch):
    content = whole.as_zip()
    for name, least in (("LARGEST_FILE", 1000), ("MOST_TEXT", 2000), ("MOST_PARTS", 0)):
        with monkeypatch.context() as small:
            small.setattr(archive, name, least)
            with pytest.raises(PromptError, match="no benchmark"):
                Benchmark.load(content)
    assert len(Benchmark.load(content).rows) == 36


@given(some.data())
@settings(deadline=None, max_examples=40)
def test_a_damaged_archive_is_said(data):
    """Whichever bytes are others: it is the same benchmark, or a sentence says that it is none.

    Where the part's name is damaged, it is a benchmark that has just begun.
    """
    content = bytearray(WRITTEN)
    for _ in range(data.draw(some.integers(1, 4))):
        content[data.draw(some.integers(0, len(content) - 1))] = data.draw(some.integers(0, 255))
    try:
        found = Benchmark.load(bytes(content))
    except PromptError:
        return
    assert found.header == header_of(RECORDS)
    if len(found.rows):
        pd.testing.assert_frame_equal(found.rows, benchmark_of(all_rows(RECORDS)).rows)


WRITTEN = benchmark_of(all_rows(RECORDS)).as_zip()


# What ships


def test_shipped_benchmarks_are_those_in_the_folder(whole, tmp_path, monkeypatch):
    whole.save(tmp_path / "tiny-gpt2.zip")
    (tmp_path / "notes.md").write_text("")
    monkeypatch.setattr(results, "SHIPPED", tmp_path)
    found = shipped_benchmarks()
    assert list(found) == ["tiny-gpt2"]
    found.clear()
    assert shipped_benchmarks()["tiny-gpt2"] is shipped_benchmarks()["tiny-gpt2"]
    monkeypatch.setattr(results, "SHIPPED", tmp_path / "none")
    assert shipped_benchmarks() == {}


def test_what_ships_is_whole():
    for name, found in shipped_benchmarks().items():
        assert name == found.header.model
        assert found.finished
        assert digest_of(tuple(found.records)) == found.header.digest
        assert [said_in(text) for text in found.rows["said"]]
        assert Path(results.SHIPPED / f"{name}.zip").stat().st_size < 5 * 2**20
