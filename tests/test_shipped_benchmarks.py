"""The benchmarks that ship: whole, reported as they are, and made anew method by method."""

import pandas as pd
import pytest

from core import Benchmark
from core.benchmarking.results import SHIPPED
from core.benchmarking.store import read_folder
from scripts.make_benchmark import METHODS, begin_with_others, report

FILES = sorted(SHIPPED.glob("*.zip"))


@pytest.fixture(scope="module")
def every() -> list[Benchmark]:
    return [Benchmark.load(file) for file in FILES]


def test_each_has_a_hundred_records_and_every_method(every):
    assert {found.header.model for found in every} == {"smollm2-135m", "tiny-gpt2", "tiny-llama2"}
    for found in every:
        assert found.header.total >= 100
        assert set(found.rows["method"]) == {"original", *METHODS}
        assert len(found.rows) == found.header.total * (1 + len(METHODS))
        assert (found.rows["problem"] == "").mean() > 0.9


def test_the_report_is_that_of_the_files(every):
    assert (SHIPPED / "REPORT.md").read_text(encoding="utf-8") == report(every)


def test_the_unedited_model_is_what_it_is_without_an_edit(every):
    for found in every:
        rows = found.rows[found.rows["method"] == "original"]
        assert (rows["kept"].dropna() == 1).all()
        assert (rows["perplexity"] - found.header.original_perplexity).abs().max() < 1e-2 * rows[
            "perplexity"
        ].mean()


def test_one_method_can_be_made_anew_from_the_others(tmp_path):
    file = FILES[-1]
    begin_with_others(file, ["mend", "rome"], tmp_path / "new")
    header, records, rows = read_folder(tmp_path / "new")
    whole = Benchmark.load(file)
    assert header == whole.header
    assert list(records) == list(whole.records)
    left = whole.rows[~whole.rows["method"].isin(["mend", "rome"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows.reset_index(drop=True), left, check_dtype=False)
    with pytest.raises(SystemExit, match="is there already"):
        begin_with_others(file, ["mend"], tmp_path / "new")
