"""The sheets of an XLSX workbook as rows of text, as its user sees them.

A file may come from anyone, and the library that reads cells makes room for the whole rectangle
that they span: two cells far apart end the process. So the file is looked through first, and only
the parts that were seen are handed on.
"""

from __future__ import annotations

import datetime
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

from core.errors import PromptError

MOST_UNPACKED = 20 * 2**20  # bytes of the parts that are read
MOST_PARTS = 5_000
MOST_CELLS = 1_000_000  # that may be spanned, empty ones too
MOST_ENTRIES = 500_000  # cells and texts that a part may list
MOST_SHEETS = 20
READ_PARTS = ("[content_types]", "_rels/", "xl/_rels/", "xl/workbook", "xl/sharedstrings")
READ_PARTS += ("xl/styles", "xl/worksheets/")
PLACE = re.compile(r"([A-Z]{1,3})([1-9][0-9]{0,6})")
DAMAGED = "is no workbook that can be read. Save it again as XLSX, or as CSV"
# What zipfile raises for archives that are damaged, encrypted or lie about themselves.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError)
ZIP_ERRORS += (OverflowError, KeyError)


@dataclass(frozen=True)
class Sheet:
    """A sheet that is not empty; `rows` are (number as the program shows it, its cells)."""

    name: str
    rows: list[tuple[int, list[str]]]


def workbook_sheets(data: bytes, title: str, most_rows: int) -> list[Sheet]:
    """The sheets that are not empty, hidden ones last, each up to `most_rows` rows that are not.

    Raises PromptError, with the file's title, for what is no workbook, is too large or is damaged.
    """
    checked = rebuilt(data, title)
    try:
        with CalamineWorkbook.from_filelike(checked) as book:
            about = sorted(
                book.sheets_metadata, key=lambda s: s.visible != SheetVisibleEnum.Visible
            )
            sheets = []
            for sheet in about[:MOST_SHEETS]:
                rows = filled_rows(book.get_sheet_by_name(sheet.name).iter_rows(), most_rows)
                sheets.append(Sheet(sheet.name, rows))
    except CalamineError:
        raise PromptError(f"{title} {DAMAGED}.") from None
    return [sheet for sheet in sheets if sheet.rows]


def filled_rows(rows: Iterator[list], most_rows: int) -> list[tuple[int, list[str]]]:
    found = []
    for number, row in enumerate(rows, 1):
        cells = [cell_text(value) for value in row]
        if any(cells):
            found.append((number, cells))
            if len(found) == most_rows:
                break
    return found


def cell_text(value: object) -> str:
    """A cell as text: 2020 and not 2020.0, a day without its midnight."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return value.date().isoformat() if midnight else value.isoformat(" ", "minutes")
    if isinstance(value, datetime.time):
        return value.isoformat("minutes")
    return str(value)


def rebuilt(data: bytes, title: str) -> io.BytesIO:
    """The workbook with nothing but the parts that are read, each of them looked through."""
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(buffer, "w") as checked:
            for name, part in read_parts(archive, title).items():
                content = archive.read(part)
                check_part(content, title)
                checked.writestr(name, content)
    except PromptError:
        raise
    except ZIP_ERRORS:
        raise PromptError(f"{title} {DAMAGED}.") from None
    buffer.seek(0)
    return buffer


def read_parts(archive: zipfile.ZipFile, title: str) -> dict[str, zipfile.ZipInfo]:
    """The parts to be read by name; by what the archive says they are small enough, and it is held
    to that: no more of a part is unpacked than it says."""
    parts = archive.infolist()
    read = {p.filename: p for p in parts if p.filename.lower().startswith(READ_PARTS)}
    if not any(name.lower() == "xl/workbook.xml" for name in read):
        raise PromptError(f"{title} {DAMAGED}.")
    if len(parts) > MOST_PARTS or sum(part.file_size for part in read.values()) > MOST_UNPACKED:
        raise PromptError(
            f"{title} unpacks to more than {MOST_UNPACKED // 2**20} MB. Keep one sheet with your "
            "prompts, or save that sheet as CSV."
        )
    return read


def check_part(content: bytes, title: str) -> None:
    """Raises PromptError for XML that is damaged, has a definition of its own, lists too much, or
    whose cells span too much."""
    look = Look()
    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = look.start, look.end
    parser.StartDoctypeDeclHandler = look.refuse
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, NotInWorkbooksError):
        raise PromptError(f"{title} {DAMAGED}.") from None
    if look.entries > MOST_ENTRIES or look.spanned > MOST_CELLS:
        where = f" It has something in {look.farthest}, far from the rest." if look.farthest else ""
        raise PromptError(
            f"{title} is too large a table.{where} Copy the rows with your prompts to a new sheet."
        )


class NotInWorkbooksError(ValueError):
    """No program that makes workbooks writes this."""


class Look:
    """What a part holds: how many cells and texts, and which rectangle its filled cells span."""

    def __init__(self) -> None:
        self.entries = 0
        self.rows = self.columns = 1
        self.rows_named = 0  # the last row that names itself
        self.unplaced = self.unnumbered = 0  # cells, and rows, that do not say where they stand
        self.farthest = ""
        self._cell: str | None = None  # a cell of which nothing is seen yet

    @property
    def spanned(self) -> int:
        """At most so many cells, wherever those that say nothing may stand."""
        if not self.unplaced:
            return self.rows * self.columns
        rows = max(self.rows, self.rows_named) + self.unnumbered
        return rows * (self.columns + self.unplaced)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        kind = name.rpartition(":")[2]
        if self._cell is not None:
            self.place(self._cell)
            self._cell = None
        if kind in ("c", "si"):
            self.entries += 1
        if kind == "c":
            self._cell = attributes.get("r", "")
        elif kind == "row":
            number = attributes.get("r", "")
            self.unnumbered += not number
            self.rows_named = max(self.rows_named, row_number(number))

    def end(self, name: str) -> None:
        self._cell = None

    def refuse(self, *_: object) -> None:
        raise NotInWorkbooksError

    def place(self, place: str) -> None:
        if not place:
            self.unplaced += 1
            return
        parts = PLACE.fullmatch(place)
        if parts is None:
            raise NotInWorkbooksError
        row, column = int(parts[2]), column_number(parts[1])
        if row > self.rows or column > self.columns:
            self.farthest = place
        self.rows, self.columns = max(self.rows, row), max(self.columns, column)


def row_number(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch("[0-9]{1,7}", text):
        raise NotInWorkbooksError
    return int(text)


def column_number(letters: str) -> int:
    """A is 1, Z is 26, AA is 27."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def column_letters(number: int) -> str:
    """1 is A, 27 is AA."""
    letters = ""
    while number:
        number, place = divmod(number - 1, 26)
        letters = chr(ord("A") + place) + letters
    return letters
