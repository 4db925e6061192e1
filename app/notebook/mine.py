"""My notebook: a visitor's kept cells and texts, in their order; it survives a reload."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import core
from app.notebook.kept import Entry, KeptCell, KeptText
from app.words import megabytes
from app.work.memory import MemoryFullError, claim
from app.work.own import own

NOTEBOOK = "notebook"  # in the session, and what memory is claimed for
MOST_CELLS, MOST_TEXTS = 40, 80
MOST_BYTES = 24_000_000
TEXT_CHARACTERS, TITLE_CHARACTERS = 20_000, 200
FREE = "Remove an entry, or save the notebook and begin a new one."


class NotebookError(core.BackwardLensError):
    """My notebook cannot take something, or a file is none."""


def new_id() -> str:
    return secrets.token_hex(4)


@dataclass(frozen=True)
class Pages:
    """What a notebook holds at one time. `edits` are the files of edits by their ids."""

    title: str = ""
    entries: tuple[Entry, ...] = ()
    edits: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def cells(self) -> tuple[KeptCell, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, KeptCell))

    @property
    def size(self) -> int:
        return sum(e.size for e in self.entries) + sum(map(len, self.edits.values()))

    def with_entries(self, entries: Sequence[Entry]) -> Pages:
        """With these entries, and the edits that they need."""
        needed = {e.id for entry in entries for e in getattr(entry, "edits", ())}
        edits = {name: content for name, content in self.edits.items() if name in needed}
        return replace(self, entries=tuple(entries), edits=edits)


class Notebook:
    """Changed in place, by all tabs of a browser; every change is whole or is none."""

    def __init__(self) -> None:
        self.pages = Pages()
        self.before: Pages | None = None  # what `undo` brings back: all, or what stood at a place
        self.before_place: int | None = None
        self.guard = threading.RLock()

    @property
    def size(self) -> int:
        return self.pages.size + (self.before.size if self.before else 0)

    def put(self, pages: Pages) -> None:
        """Take these pages; raises NotebookError where they are too many or too large."""
        check(pages)
        claim(NOTEBOOK, pages.size)
        self.pages = pages

    def keep(self, cell: KeptCell, edits: Mapping[str, bytes]) -> bool:
        """Put a cell at the end; whether it was not there yet."""
        with self.guard:
            if any(cell.shows == known.shows for known in self.pages.cells):
                return False
            new = replace(
                self.pages,
                entries=(*self.pages.entries, cell),
                edits={**self.pages.edits, **edits},
            )
            self.put(new)
            return True

    def add(self, pages: Pages) -> None:
        """Put another notebook's entries at the end, under ids of their own."""
        with self.guard:
            fresh = tuple(replace(entry, id=new_id()) for entry in pages.entries)
            self.put(
                Pages(
                    self.pages.title or pages.title,
                    self.pages.entries + fresh,
                    {**self.pages.edits, **pages.edits},
                )
            )

    def replace_by(self, pages: Pages) -> None:
        with self.guard:
            before = self.pages
            self.put(pages)
            self.before, self.before_place = (before if before.entries else None), None

    def write(self, after: str | None) -> str:
        """An empty text after an entry, or at the top; its id."""
        with self.guard:
            place = self.place(after) + 1 if after is not None else 0
            entries, text = list(self.pages.entries), KeptText(new_id(), "")
            entries.insert(place, text)
            self.put(replace(self.pages, entries=tuple(entries)))
            return text.id

    def set_text(self, entry_id: str, text: str) -> None:
        with self.guard:
            place = self.place(entry_id)
            if place >= 0 and is_text(self.pages.entries[place]):
                entries = list(self.pages.entries)
                entries[place] = KeptText(entry_id, text[:TEXT_CHARACTERS])
                self.put(replace(self.pages, entries=tuple(entries)))

    def drop_empty(self) -> None:
        """Take texts away in which nothing was written."""
        with self.guard:
            left = [e for e in self.pages.entries if not (is_text(e) and not e.text.strip())]
            self.pages = self.pages.with_entries(left)

    def set_title(self, title: str) -> None:
        with self.guard:
            self.pages = replace(self.pages, title=title.strip()[:TITLE_CHARACTERS])

    def move(self, entry_id: str, by: int) -> None:
        with self.guard:
            place, entries = self.place(entry_id), list(self.pages.entries)
            if place >= 0 and 0 <= place + by < len(entries):
                entries.insert(place + by, entries.pop(place))
                self.pages = replace(self.pages, entries=tuple(entries))

    def remove(self, entry_id: str) -> None:
        with self.guard:
            place, entries = self.place(entry_id), list(self.pages.entries)
            if place >= 0:
                self.before = self.pages.with_entries([entries.pop(place)])
                self.before_place = place
                self.pages = self.pages.with_entries(entries)

    def undo(self) -> None:
        """Put a removed entry back to its place; or exchange what was replaced and what replaced
        it, so that what was added since is not lost either."""
        with self.guard:
            before, place = self.before, self.before_place
            if before is None:
                return
            if place is None:
                self.before, self.pages = self.pages, before
                return
            entries = list(self.pages.entries)
            entries[place:place] = before.entries
            edits = {**self.pages.edits, **before.edits}
            self.put(replace(self.pages, entries=tuple(entries), edits=edits))
            self.before = None

    def place(self, entry_id: str | None) -> int:
        ids = [entry.id for entry in self.pages.entries]
        return ids.index(entry_id) if entry_id in ids else -1


def is_text(entry: Entry) -> bool:
    return isinstance(entry, KeptText)


def check(pages: Pages) -> None:
    cells = len(pages.cells)
    if cells > MOST_CELLS or len(pages.entries) - cells > MOST_TEXTS:
        raise NotebookError(
            f"My notebook takes at most {MOST_CELLS} cells and {MOST_TEXTS} texts. {FREE}"
        )
    if pages.size > MOST_BYTES:
        raise NotebookError(
            f"My notebook would take {megabytes(pages.size)}; it may take "
            f"{megabytes(MOST_BYTES)}. {FREE}"
        )


def notebook() -> Notebook:
    """The visitor's; its size is counted in this session, whichever tab made it grow."""
    found = own(NOTEBOOK, Notebook)
    with contextlib.suppress(MemoryFullError):  # it is there already; what is added is refused
        claim(NOTEBOOK, found.size)
    return found
