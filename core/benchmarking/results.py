"""What a benchmark has found: its rows, the table of its methods, and what went wrong in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pandas as pd

from core.benchmarking.archive import unzipped, zipped
from core.benchmarking.disk import put, written
from core.benchmarking.failures import check_numbers_in, failures_of, said_in
from core.benchmarking.header import BenchmarkHeader
from core.benchmarking.means import table_of
from core.benchmarking.specs import ORIGINAL
from core.benchmarking.store import read_folder
from core.errors import PromptError
from core.studies.counterfact import Record

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "benchmark"


@dataclass(frozen=True, eq=False)
class Benchmark:
    """The result of core.benchmark, whole or as far as it is.

    `records` are the drawn ones; `rows` has one row a record and method, by record, with the
    columns of core.benchmarking.measures.COLUMNS: record (its place in `records`), case_id, method
    (a spec or "original"), the measures (shares from 0 to 1, NaN where there is none), problem (why
    there is no edit, or ""), text (what the model writes after the prompt), said and nlls (JSON).
    """

    header: BenchmarkHeader
    records: Sequence[Record]
    rows: pd.DataFrame

    @property
    def methods(self) -> tuple[str, ...]:
        """The specs that have a row, "original" first."""
        there = set(self.rows["method"])
        return tuple(name for name in (ORIGINAL, *self.header.methods) if name in there)

    @property
    def finished(self) -> bool:
        """Whether each record has its row of each method."""
        return len(self.rows) == self.header.total * (1 + len(self.header.methods))

    @property
    def table(self) -> pd.DataFrame:
        """One row a method with its means and intervals: see core.benchmarking.means.table_of.

        Made once; who asks gets a copy of his own, which takes no memory until it is changed.
        """
        return self.means.copy(deep=False)

    @cached_property
    def means(self) -> pd.DataFrame:
        return table_of(self.rows, self.methods)

    def failures(self, method: str, *, count: int = 10) -> pd.DataFrame:
        """The `count` worst records of a method, one failure each: record, case_id, prompt,
        subject, target_new, target_true, kind, asked, wanted, said, text, problem. What fails, and
        what is worst, says core.benchmarking.failures.failures_of.

        Raises PromptError for a method that the benchmark has not.
        """
        if method not in self.methods:
            known = ", ".join(map(repr, self.methods)) or "none yet"
            raise PromptError(f"The benchmark has no method {method!r}. Its methods: {known}.")
        of = self.rows["method"]
        before = self.rows[of == ORIGINAL]
        return failures_of(self.rows[of == method], before, self.records, count)

    def as_zip(self) -> bytes:
        """All of it in one zip archive, to download and to send; the same one each time."""
        return zipped(self.header, self.records, self.rows)

    def save(self, path: str | Path) -> None:
        """Write `as_zip` to a file; raises PromptError where it cannot be written."""
        path = Path(path)
        with written(path):
            put(path, self.as_zip())

    @classmethod
    def load(cls, source: str | Path | bytes) -> Benchmark:
        """Read a benchmark from its folder (also while it is made), its zip file or its bytes.

        Raises PromptError for what is not a benchmark of this version.
        """
        in_folder = not isinstance(source, bytes) and Path(source).is_dir()
        try:
            found = cls(*(read_folder(Path(source)) if in_folder else unzipped(source)))
            for said, numbers in zip(found.rows["said"], found.rows["nlls"], strict=True):
                said_in(said)
                check_numbers_in(numbers)
        except PromptError:  # of a folder, which says what is damaged
            raise
        except Exception as error:  # a damaged archive fails in a dozen ways
            raise PromptError(
                "This is no benchmark that the app can read: it is damaged, or of another version. "
                "Choose the zip file that was downloaded from the page Benchmark."
            ) from error
        return found


def shipped_benchmarks() -> dict[str, Benchmark]:
    """The benchmarks that come with Backward Lens, by the model's name; read once."""
    return dict(read_shipped(SHIPPED))


@cache
def read_shipped(folder: Path) -> dict[str, Benchmark]:
    return {file.stem: Benchmark.load(file) for file in sorted(folder.glob("*.zip"))}
