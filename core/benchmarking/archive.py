"""A benchmark as one zip archive of its folder's files, and read back with bounds: the file may
come from anyone."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from core.benchmarking.header import BenchmarkHeader, digest_of, header_from
from core.benchmarking.measures import TEXTS
from core.benchmarking.parts import KEY, in_order, in_parts, part_bytes, part_rows
from core.benchmarking.store import HEADER, PART, RECORDS
from core.errors import PromptError
from core.studies.counterfact import Record, Records, load_counterfact, save_counterfact
from core.studies.store import reader

MADE = (1980, 1, 1, 0, 0, 0)  # of each file: the same benchmark is the same archive
MOST_PARTS = 1_000
LARGEST_FILE = 64 * 2**20  # bytes
MOST_TEXT = 256 * 2**20  # characters of all texts
LARGEST_HEADER = 2**20


def zipped(header: BenchmarkHeader, records: Sequence[Record], rows: pd.DataFrame) -> bytes:
    """The archive. Rows are not packed twice: it packs what different methods have in common."""
    files = {HEADER: header.as_json(), RECORDS: records_bytes(records)}
    for i, part in enumerate(in_parts(rows)):
        files[f"part-{i:06d}.parquet"] = part_bytes(part, compression="none")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            about = zipfile.ZipInfo(name, MADE)
            about.external_attr = 0o644 << 16
            archive.writestr(about, content, zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def records_bytes(records: Sequence[Record]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / RECORDS
        save_counterfact(records, file)
        return file.read_bytes()


def unzipped(source: str | Path | bytes) -> tuple[BenchmarkHeader, Records, pd.DataFrame]:
    """What an archive holds; raises ValueError, or what zipfile and pyarrow raise, for another."""
    read = reader(source, largest=LARGEST_FILE)
    names = part_names(source)
    described = read(HEADER)
    if len(described) > LARGEST_HEADER:
        raise ValueError("a header that is too large")
    header = header_from(described)
    try:
        records = load_counterfact(io.BytesIO(read(RECORDS)), name=header.records)
    except PromptError as error:
        raise ValueError("no records") from error
    if len(records) != header.total or digest_of(records) != header.digest:
        raise ValueError("records that are not the header's")
    parts, size, count = [], 0, 0
    for name in names:
        rows = part_rows(read(name), header, records)
        size += sum(int(rows[text].str.len().sum()) for text in TEXTS)
        count += len(rows)
        if size > MOST_TEXT or count > header.total * (1 + len(header.methods)):
            raise ValueError("more than a benchmark can be")
        parts.append(rows)
    whole = in_order(parts, header)
    if len(whole) < count:
        raise ValueError(f"a {' and '.join(KEY)} that comes twice")
    return header, records, whole


def part_names(source: str | Path | bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
        names = archive.namelist()
    parts = sorted(name for name in names if PART.fullmatch(name))
    if len(parts) > MOST_PARTS or len(set(names)) < len(names):
        raise ValueError("too many files")
    return parts
