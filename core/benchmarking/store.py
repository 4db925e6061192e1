"""Where a benchmark is kept while it is made: a folder with one writer.

`benchmark.json` is the header, `records.jsonl` the drawn records, `part-000000.parquet` and so on
the rows as they come. Each file is written beside its place and put there at once, so that after a
kill at any moment what stands there is whole. Of a row that stands in two parts the first counts:
merged parts are written before those that they are of are removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from core.benchmarking.disk import NEW, flush, flush_folder, only_writer, put, written
from core.benchmarking.header import BenchmarkHeader, digest_of, header_from
from core.benchmarking.measures import TEXTS
from core.benchmarking.parts import (
    FULL_ROWS,
    FULL_TEXT,
    KEY,
    in_order,
    in_parts,
    part_bytes,
    part_rows,
    ready,
)
from core.benchmarking.specs import ORIGINAL
from core.errors import PromptError
from core.studies.counterfact import Record, Records, load_counterfact, save_counterfact

HEADER, RECORDS = "benchmark.json", "records.jsonl"
PART = re.compile(r"part-(\d{6,12})\.parquet")
DAMAGED = ".damaged"  # at the end of the name of a part that was set aside
MOST_SMALL = 50  # parts; with more they are merged
TRIES = 20  # of a reader whose parts are merged while it reads


class Store:
    """A benchmark's folder while it is written; made by `Store.begin`."""

    def __init__(self, folder: Path, header: BenchmarkHeader, records: Sequence[Record]) -> None:
        self.folder, self.header, self.records = folder, header, records
        self.next = 1 + max((number_of(path) for path in folder.glob("part-*")), default=-1)
        self.look()

    def look(self) -> None:
        """See what is there."""
        self.done: set[tuple[int, str]] = set()
        self.small: list[Path] = []  # parts that are not full
        for path, rows in self.read_parts():
            self.done.update(keys(rows))
            if not is_full(rows):
                self.small.append(path)

    @classmethod
    @contextmanager
    def begin(
        cls, folder: str | Path, header: BenchmarkHeader, records: Sequence[Record]
    ) -> Iterator[Store]:
        """The folder's one writer, who begins a benchmark there or goes on with it.

        `records` are the drawn ones, all `header.total` of them. What the header's methods add to
        those of an earlier run comes after them (`store.header`). Raises PromptError where another
        one writes, where the folder holds another benchmark, and where it cannot be written.
        """
        folder = Path(folder)
        with written(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with only_writer(folder):
            with written(folder):
                for left in folder.glob(f"*{NEW}"):
                    left.unlink()
                whole = begun(folder, header, records)
                store = cls(folder, whole, records)
            yield store

    def append(self, rows: pd.DataFrame) -> None:
        """Keep rows with the columns of COLUMNS; what stands there already is left as it is.

        They are on the disk when this returns. Raises PromptError where the disk is full.
        """
        fresh = ready(rows).drop_duplicates(KEY, ignore_index=True)
        fresh = fresh.loc[[i for i, key in enumerate(keys(fresh)) if key not in self.done]]
        for part in in_parts(fresh):
            self.write_part(part)
        if len(self.small) > MOST_SMALL:
            self.compact()

    def missing(self, methods: Sequence[str] | None = None) -> list[tuple[int, tuple[str, ...]]]:
        """(record, the methods whose row is missing) of each record that is not complete, in order.

        `methods` are the header's if none are given; "original" is looked for too.
        """
        wanted = self.header.methods if methods is None else methods
        wanted = tuple(dict.fromkeys((ORIGINAL, *wanted)))
        left = (
            (i, tuple(name for name in wanted if (i, name) not in self.done))
            for i in range(self.header.total)
        )
        return [(i, names) for i, names in left if names]

    def rows(self) -> pd.DataFrame:
        """All rows so far, by record and in the order of methods."""
        return in_order([rows for _, rows in self.read_parts()], self.header)

    def compact(self) -> None:
        """Merge the parts that are not full."""
        old = self.small
        if len(old) < 2:
            return
        parts = dict(self.read_parts(old))
        for part in in_parts(in_order(list(parts.values()), self.header)):
            self.write_part(part)
        with written(self.folder):
            for path in parts:
                path.unlink(missing_ok=True)
            flush_folder(self.folder)
        self.small = [path for path in self.small if path not in parts]
        if len(parts) < len(old):
            self.look()

    def write_part(self, rows: pd.DataFrame) -> None:
        path = self.folder / f"part-{self.next:06d}.parquet"
        with written(self.folder):
            put(path, part_bytes(rows))
        self.next += 1
        self.done.update(keys(rows))
        if not is_full(rows):
            self.small.append(path)

    def read_parts(
        self, paths: Sequence[Path] | None = None
    ) -> Iterator[tuple[Path, pd.DataFrame]]:
        """Each part that is whole; the others are set aside, and their rows are missing again."""
        for path in part_paths(self.folder) if paths is None else paths:
            rows = whole_rows(path, self.header, self.records)
            if rows is None:
                os.replace(path, path.with_name(path.name + DAMAGED))
            else:
                yield path, rows


def begun(folder: Path, header: BenchmarkHeader, records: Sequence[Record]) -> BenchmarkHeader:
    """The header of the folder's benchmark, with this one's methods; it is written if it is new."""
    if len(records) != header.total or digest_of(records) != header.digest:
        raise ValueError("records that are not the header's")
    if not (folder / HEADER).exists():
        if part_paths(folder):
            raise PromptError(
                f"The folder {folder.name!r} holds parts of a benchmark without its {HEADER}. "
                "Choose an empty folder."
            )
        keep_records(folder, records)
        put(folder / HEADER, header.as_json())
        return header
    saved = kept_header(folder)
    if not saved.same_benchmark(header):
        raise PromptError(
            f"The folder {folder.name!r} holds another benchmark: {saved.model}, {saved.total:,} "
            f"of {saved.limit:,} records of {saved.records}, seed {saved.seed}. Choose an empty "
            "folder."
        )
    if not records_are_whole(folder, header):
        keep_records(folder, records)
    both = saved.with_methods(header.methods)
    if both != saved:
        put(folder / HEADER, both.as_json())
    return both


def keep_records(folder: Path, records: Sequence[Record]) -> None:
    """Write the records; raises PromptError if they would not be the same when they are read."""
    fresh = folder / f"{RECORDS}{NEW}"
    save_counterfact(records, fresh)
    if tuple(load_counterfact(fresh)) != tuple(records):
        raise PromptError(
            "A record of the benchmark cannot be kept as it is: a prompt, subject or target is "
            "empty or too long, or the subject does not stand in the prompt. Take the records "
            "from load_counterfact, which leaves such records out."
        )
    flush(fresh)
    os.replace(fresh, folder / RECORDS)


def records_are_whole(folder: Path, header: BenchmarkHeader) -> bool:
    try:
        return digest_of(load_counterfact(folder / RECORDS).records) == header.digest
    except PromptError:
        return False


def kept_header(folder: Path) -> BenchmarkHeader:
    try:
        return header_from((folder / HEADER).read_bytes())
    except (ValueError, RecursionError) as error:
        raise PromptError(
            f"The file {HEADER} in the folder {folder.name!r} is damaged, or of another version. "
            "Choose an empty folder."
        ) from error


def read_folder(folder: Path) -> tuple[BenchmarkHeader, Records, pd.DataFrame]:
    """What a folder holds, also while another one writes it; damaged parts are left out.

    Raises PromptError where the header or the records are damaged, too.
    """
    header = kept_header(folder)
    records = load_counterfact(folder / RECORDS, name=header.records)
    if len(records) != header.total or digest_of(records) != header.digest:
        raise PromptError(f"The file {RECORDS} in the folder {folder.name!r} is damaged.")
    for _ in range(TRIES):
        try:
            found = [whole_rows(path, header, records) for path in part_paths(folder)]
        except FileNotFoundError:  # merged meanwhile
            header = kept_header(folder)
        else:
            return header, records, in_order([r for r in found if r is not None], header)
    raise PromptError(f"The folder {folder.name!r} changes too fast to be read. Try again.")


def whole_rows(
    path: Path, header: BenchmarkHeader, records: Sequence[Record]
) -> pd.DataFrame | None:
    """A part's rows; None for one that is damaged."""
    content = path.read_bytes()
    try:
        return part_rows(content, header, records)
    except Exception:  # a damaged file fails in a dozen ways
        return None


def part_paths(folder: Path) -> list[Path]:
    """The parts in their order."""
    found = [path for path in folder.glob("part-*.parquet") if PART.fullmatch(path.name)]
    return sorted(found, key=number_of)


def number_of(path: Path) -> int:
    """Of a part, also of one that is set aside; -1 of another file."""
    found = PART.match(path.name)
    return int(found[1]) if found else -1


def keys(rows: pd.DataFrame) -> list[tuple[int, str]]:
    return list(zip(rows["record"].tolist(), rows["method"].tolist(), strict=True))


def is_full(rows: pd.DataFrame) -> bool:
    """Whether to merge it with others would cost more than it brings."""
    size = sum(int(rows[name].str.len().sum()) for name in TEXTS)
    return len(rows) >= FULL_ROWS // 2 or size >= FULL_TEXT // 2
