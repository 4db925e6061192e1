"""Records from the rows of a table of prompts; each is read, or named with what is wrong."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from core.errors import PromptError
from core.gradients.segments import find_subject, propose_subject
from core.studies.columns import Columns, columns_by_place, header_columns
from core.studies.counterfact import (
    LONGEST_ID,
    LONGEST_TEXT,
    MOST_SKIPPED,
    Record,
    Records,
    is_whole,
)

MOST_ROWS = 20_000
IN_CELLS = ("\t", "")  # between cells in which no comma separates anything
TITLES = {
    "prompt": "Prompt",
    "target": "Target",
    "subject": "Subject",
    "answer": "True answer",
    "group": "Group",
}
ADVICE = (
    "A table of prompts has a column “Prompt” and a column “Target”, the word that should come "
    "next; “Subject”, “True answer” and “Group” if you want."
)
Row = tuple[int, Sequence[str]]  # number, as a spreadsheet shows it, and cells


@dataclass(frozen=True)
class PromptTable:
    """What was understood of a table: its records, which columns it has, what was changed."""

    records: Records  # `skipped` has row numbers
    columns: Columns
    notes: tuple[str, ...] = ()  # sentences

    @property
    def groups(self) -> dict[str, int]:
        """How many prompts each group has, in their order; those without one are under ""."""
        return dict(Counter(record.group for record in self.records))


def prompts_from_rows(
    rows: Iterable[Row], *, name: str = "typed rows", separator: str = ""
) -> PromptTable:
    """The prompts of rows; those with nothing in them do not count.

    A first row that names a prompt and a target is a header. `separator` is what stood between the
    cells where they come from a text. Raises PromptError where there is no prompt at all.
    """
    filled = (row for row in rows if any(cell.strip() for cell in row[1]))
    found = list(islice(filled, MOST_ROWS + 2))
    header = header_columns(found[0][1]) if found else None
    body = found[1:] if header else found
    columns = header or columns_by_place(cells for _, cells in body)
    if not body or not {"prompt", "target"} <= columns.places.keys():
        what = "has only one column" if body else "holds no row with a prompt"
        raise PromptError(f"{name} {what}. {ADVICE}")
    return read_rows(body, columns, name, separator)


def read_rows(body: list[Row], columns: Columns, name: str, separator: str) -> PromptTable:
    good: list[Record] = []
    skipped: list[tuple[int, str]] = []
    digest = hashlib.sha256()
    joined = trimmed = 0
    for number, cells in body[:MOST_ROWS]:
        try:
            whole = fitting(cells, columns, separator)
            record = record_of(whole, columns, number)
        except PromptError as error:
            skipped.append((number, str(error)))
            if len(skipped) == MOST_SKIPPED:
                skipped.append((number + 1, f"{MOST_SKIPPED:,} are bad; no more was read."))
                break
            continue
        good.append(record)
        digest.update(repr(record).encode())
        joined += len(whole) < len(cells) and whole[0] != cells[0]
        trimmed += any(whole[columns.places[w]] != getattr(record, a) for w, a in SPACED)
    else:
        if len(body) > MOST_ROWS:
            skipped.append((body[MOST_ROWS][0], f"{MOST_ROWS:,} rows were read, and no more."))
    if not good:
        (number, why), *_ = skipped
        raise PromptError(f"{name} holds no prompt that can be used. Row {number}: {why} {ADVICE}")
    records = Records(name, tuple(good), tuple(skipped), digest.hexdigest())
    return PromptTable(records, columns, tuple(notes_of(columns, joined, trimmed, separator)))


SPACED = (("prompt", "prompt"), ("target", "target_new"))  # a column, and what it is of a record


def notes_of(columns: Columns, joined: int, trimmed: int, separator: str) -> list[str]:
    notes = []
    if not columns.named:
        notes.append(
            "No row names the columns, so they are read by their order: prompt, target, subject, "
            "true answer, group."
        )
    if columns.unused:
        notes.append(f"Not used: {', '.join(f'“{name}”' for name in columns.unused[:10])}.")
    if joined:
        notes.append(
            f"{rows_of(joined)} “{separator}” without quotation marks; it was read as a part of "
            "the prompt."
        )
    if trimmed:
        notes.append(
            f"{rows_of(trimmed)} spaces around the prompt or the target; they were left out, for "
            "a model reads a space at the end as a token of its own."
        )
    return notes


def rows_of(number: int) -> str:
    return f"{number:,} rows have" if number > 1 else "1 row has"


def fitting(cells: Sequence[str], columns: Columns, separator: str) -> Sequence[str]:
    """The cells of a row, as many as there are columns.

    Where a text has more, a comma within a sentence has separated it: in a table of a prompt and
    a target the parts that begin with a space are put together again. Raises PromptError where it
    cannot be told what belongs together.
    """
    filled = max((i + 1 for i, cell in enumerate(cells) if cell.strip()), default=0)
    if separator in IN_CELLS or filled <= columns.width:
        return cells
    *start, target = cells[:filled]
    in_order = columns.width == 2 and columns.places == {"prompt": 0, "target": 1}
    if in_order and all(part.startswith(" ") for part in start[1:]):
        return [separator.join(start), target]
    raise PromptError(
        f"it has {filled} cells where {columns.width} were expected. Put quotation marks around a "
        f"text that holds “{separator}”."
    )


def record_of(cells: Sequence[str], columns: Columns, number: int) -> Record:
    """The record of a row; raises PromptError with the reason if it cannot be used."""
    texts = {name: cell_of(cells, columns, name) for name in TITLES}
    for name in ("prompt", "target"):
        if not texts[name]:
            raise PromptError(f"its {name} is empty.")
    prompt, subject = texts["prompt"], texts["subject"]
    if subject:
        find_subject(prompt, subject)
    return Record(
        case_id=number,
        prompt=prompt,
        subject=subject or propose_subject(prompt) or None,
        target_new=texts["target"],
        target_true=texts["answer"] or None,
        group=texts["group"],
    )


def cell_of(cells: Sequence[str], columns: Columns, name: str) -> str:
    place = columns.places.get(name)
    text = cells[place].strip() if place is not None and place < len(cells) else ""
    most, title = LONGEST_ID if name == "group" else LONGEST_TEXT, TITLES[name].lower()
    if len(text) > most:
        raise PromptError(f"its {title} has {len(text):,} characters; at most {most:,}.")
    if not is_whole(text):
        raise PromptError(f"its {title} holds half of a character.")
    return text
