"""Rows of cells from a text: which encoding it is in, what separates its cells, where rows end."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterator

import chardet
from clevercsv import Detector
from clevercsv.exceptions import Error as CleverCSVError

from core.errors import PromptError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # which begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE, SAMPLE_LINES = 5_000, 100  # characters and lines by which encoding and separator are found
LONGEST_ROW = 20_000  # characters
MOST_LINES = 20  # of a row with line breaks in its cells; one that does not end then is none
NO_TEXT = re.compile("[\x00-\x08\x0e-\x1a]")  # what stands in pictures and programs


def decoded(data: bytes, title: str) -> tuple[str, str]:
    """The text and the name of its encoding; raises PromptError for what is no text."""
    code = encoding_of(data)
    try:
        text = data.decode(code)
    except (UnicodeDecodeError, LookupError):
        text = "\0"
    if NO_TEXT.search(text):
        raise PromptError(
            f"{title} is no table of text. Save it as CSV (UTF-8) or XLSX in your spreadsheet."
        )
    return text.removeprefix("\ufeff"), code


def encoding_of(data: bytes) -> str:
    """By its mark, as UTF-8 where it is that, else as a library guesses."""
    for mark, code in MARKS:
        if data.startswith(mark):
            return code
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        if b"\0" not in data:
            return "utf-8"
    # What is only ASCII tells nothing, but in UTF-16, whose bytes must stay in pairs.
    lines = [data] if b"\0" in data else [x for x in data.split(b"\n") if not x.isascii()]
    found = chardet.detect(b"\n".join(lines)[: 4 * SAMPLE])["encoding"]
    return found or "utf-8"


def split_rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """(row number, cells) of each row; a row ends where its line does, or its quoted cell's last.

    Only double quotation marks hold a cell together, as spreadsheets write them; where they are
    no cell's, as in pasted rows, they are characters like others. A row that is too long is one
    cell of what it begins with.
    """
    lines = io.StringIO(text, newline=None).readlines()
    start = 0
    for number in itertools.count(1):
        if start >= len(lines):
            return
        size, cells = next_row(lines, start, separator)
        start += size
        yield number, cells


def next_row(lines: list[str], start: int, separator: str) -> tuple[int, list[str]]:
    """How many lines the row takes that starts here, and its cells."""
    line = lines[start].rstrip("\n")
    if len(line) > LONGEST_ROW:
        return 1, [line[:LONGEST_ROW]]
    row, marks = lines[start], line.count('"')
    for size in range(2, MOST_LINES + 1):
        if marks % 2 == 0 or len(row) > LONGEST_ROW or start + size > len(lines):
            break
        more = lines[start + size - 1]
        row += more
        if more.count('"') % 2:
            cells = quoted(row.rstrip("\n"), separator)
            if cells is not None:
                return size, cells
    cells = quoted(line, separator)
    return 1, line.split(separator) if cells is None else cells


def quoted(row: str, separator: str) -> list[str] | None:
    """A row's cells; None where its quotation marks hold none together."""
    try:
        return next(csv.reader([row], delimiter=separator, strict=True), [])
    except csv.Error:
        return None


def sample_of(text: str) -> str:
    """The first lines, whole ones where they are of usual length."""
    lines = itertools.islice(io.StringIO(text[: SAMPLE + LONGEST_ROW], newline=None), SAMPLE_LINES)
    sample, length = [], 0
    for line in lines:
        length += len(line)
        if sample and length > SAMPLE:
            break
        sample.append(line)
    return "".join(sample)[:SAMPLE]


def separator_of(sample: str) -> str:
    """What separates the cells, as a library finds by how alike the rows become.

    Tabs stand in no sentence: where each line has one, they do.
    """
    lines = [line for line in sample.split("\n") if line.strip()]
    if lines and all("\t" in line for line in lines):
        return "\t"
    try:
        found = Detector().detect(sample, delimiters=list(SEPARATORS))
    except (CleverCSVError, ValueError, IndexError):
        found = None
    if found is not None and found.delimiter in SEPARATORS:
        return found.delimiter
    return max(SEPARATORS, key=lambda mark: sum(mark in line for line in lines))
