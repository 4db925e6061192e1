"""Prompts of one's own, from a table as people have it: CSV, TSV, XLSX, pasted or typed rows.

A table has a prompt and a target in each row and, if wanted, a subject, the true answer and a
group. Its columns are known by their names or, without a header, by their places.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from core.errors import PromptError
from core.studies.columns import header_columns
from core.studies.counterfact import Record, Records, load_counterfact, opened
from core.studies.delimited import SEPARATORS, decoded, sample_of, separator_of, split_rows
from core.studies.prompt_rows import ADVICE, MOST_ROWS, TITLES, PromptTable, prompts_from_rows
from core.studies.workbook import workbook_sheets

MOST_BYTES = 5 * 2**20
COUNTERFACT_TYPES = (".json", ".jsonl")
ZIP = b"PK\x03\x04"
OTHER_KINDS = {
    b"\xd0\xcf\x11\xe0": "is an old Excel file (.xls), or has a password. Save it as XLSX or CSV, "
    "without a password",
    b"%PDF": "is a PDF. Copy its rows and paste them instead",
}
EXAMPLES = (
    ("The capital of France is", "Rome", "France", "Paris", "capitals"),
    ("The capital of Japan is", "Madrid", "Japan", "Tokyo", "capitals"),
    ("The mother tongue of Mozart is", "French", "Mozart", "German", "languages"),
)


def load_prompts(source: str | Path | BinaryIO, *, name: str | None = None) -> Records:
    """Read a table of prompts, a path or an open binary file: CSV, TSV, XLSX or other text.

    Encoding, separator and columns are found out. A bad row is left out, and `skipped` says its
    number, as a spreadsheet shows it, and why. Without a subject, a name in the prompt is proposed;
    without a true answer it is None. Spaces around a cell are left out. A file whose name ends in
    .json or .jsonl is read by load_counterfact. Raises PromptError, a sentence, for a file that is
    not there, too large, damaged or without any prompt.
    """
    title = title_of(source, name)
    if title.lower().endswith(COUNTERFACT_TYPES):
        return load_counterfact(source, name=title)
    return read_prompts(source, name=title).records


def read_prompts(source: str | Path | BinaryIO, *, name: str | None = None) -> PromptTable:
    """As load_prompts, with what was understood of the table; not for JSON."""
    title = title_of(source, name)
    with opened(source) as file:
        data = file.read(MOST_BYTES + 1)
    check_size(len(data), title)
    for start, sentence in OTHER_KINDS.items():
        if data.startswith(start):
            raise PromptError(f"{title} {sentence}.")
    if data.startswith(ZIP):
        return read_workbook(data, title)
    text, code = decoded(data, title)
    table = prompts_from_text(text, name=title)
    if code.startswith("utf"):
        return table
    return noted(table, f"The file is not in UTF-8; it was read as {code}.")


def title_of(source: str | Path | BinaryIO, name: str | None) -> str:
    return name or Path(str(getattr(source, "name", source))).name


def check_size(size: int, title: str) -> None:
    if size > MOST_BYTES:
        raise PromptError(
            f"{title} is larger than {MOST_BYTES // 2**20} MB. Keep only the columns with your "
            "prompts, or fewer rows."
        )


def noted(table: PromptTable, note: str) -> PromptTable:
    return replace(table, notes=(note, *table.notes))


def read_workbook(data: bytes, title: str) -> PromptTable:
    """The prompts of the first sheet whose header names them, else of the first with anything."""
    sheets = workbook_sheets(data, title, MOST_ROWS + 2)
    if not sheets:
        raise PromptError(f"{title} is empty. {ADVICE}")
    named = [sheet for sheet in sheets if header_columns(sheet.rows[0][1]) is not None]
    chosen = (named or sheets)[0]
    table = prompts_from_rows(chosen.rows, name=title)
    if len(sheets) == 1:
        return table
    return noted(
        table,
        f"{len(sheets)} sheets of the workbook have something in them; “{chosen.name}” was read.",
    )


def prompts_from_text(text: str, *, name: str = "pasted rows") -> PromptTable:
    """The prompts of rows as they are copied from a spreadsheet, or of a CSV file's text."""
    check_size(len(text), name)
    sample = sample_of(text)
    separator = header_separator(sample) or separator_of(sample)
    return prompts_from_rows(split_rows(text, separator), name=name, separator=separator)


def header_separator(sample: str) -> str | None:
    """What separates the names of columns in the first row that holds anything, if it has them."""
    for mark in SEPARATORS:
        row = next(
            (cells for _, cells in split_rows(sample, mark) if any(map(str.strip, cells))), ()
        )
        if header_columns(row) is not None:
            return mark
    return None


def prompts_csv(rows: Iterable[Record]) -> bytes:
    """A CSV file of records, as load_prompts reads it and spreadsheets open it."""
    cells = [(r.prompt, r.target_new, r.subject, r.target_true, r.group) for r in rows]
    return csv_of(cells)


def prompts_template() -> bytes:
    """A CSV file with a header and three example rows in two groups, to be filled in."""
    return csv_of(EXAMPLES)


def csv_of(rows: Iterable[tuple[str | None, ...]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([TITLES.values(), *rows])
    return text.getvalue().encode("utf-8-sig")  # with its mark, for spreadsheets
