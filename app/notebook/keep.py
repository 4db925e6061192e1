"""From a cell on the page to a kept one: nothing is written or counted until somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import core
from app.charts.plain import plain_specification
from app.charts.themes import other_theme
from app.notebook.asked import asked_in
from app.notebook.kept import KeptCell, KeptChart, KeptEdit, columns_of, compressed, written
from app.notebook.mine import NotebookError, Pages, new_id, notebook
from app.settings import EDIT_BYTES
from app.shell import ledger
from app.shell.ledger import Entry
from app.shell.navigation import JOB_PAGES, MY_NOTEBOOK
from app.shell.state import PAGE, PROMPT, SUBJECT, TARGET
from app.words import file_name, megabytes, plain
from app.workshop.visit import page_is_open

SAID = "kept_now"  # in the session: the key of the cell just kept, and what to say of it
ON_PAGE = "page_drawn"  # in the session: the run's OnPage
CELL_BYTES, CELL_VALUES = 8_000_000, 400_000  # of a cell as JSON
MOST_SETTINGS, SETTING_CHARACTERS = 40, 1000
REQUEST = (PROMPT, TARGET, SUBJECT)


@dataclass(frozen=True)
class Drawn:
    """A picture of a cell. `title` is what the cell itself has written over it."""

    chart: alt.TopLevelMixin
    fit: bool
    alt: str
    dark: bool
    title: str = ""


@dataclass(frozen=True)
class Finished:
    """A cell as it stands on the page; `edits` are those of the ledger that are on."""

    key: str
    title: str
    words: str
    findings: tuple[str, ...]
    drawn: Mapping[str, Drawn]
    code: str
    table: pd.DataFrame = field(repr=False)
    settings: Mapping[str, str]
    edits: Sequence[Entry]
    path: str

    def kept(self) -> tuple[KeptCell, dict[str, bytes]]:
        """The cell, and the files of its edits by their ids; raises NotebookError where it is too
        large."""
        table = written(columns_of(self.table))
        specs = {name: specs_of(drawn) for name, drawn in self.drawn.items()}
        check_size([table, *(spec for pair in specs.values() for spec in pair if spec)])
        charts = [
            KeptChart(name, self.drawn[name].alt, self.drawn[name].fit, *map(compressed, pair))
            for name, pair in specs.items()
        ]
        on = list(edits_in(self.code, self.edits))
        cell = KeptCell(
            id=new_id(),
            key=self.key,
            title=self.title,
            words=self.words,
            findings=self.findings,
            charts=tuple(charts),
            table=compressed(table),
            code=self.code,
            settings=self.settings,
            edits=tuple(KeptEdit(entry.id, entry.name) for entry in on),
            path=self.path,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return cell, {e.id: core.edit_bytes(e.edit) for e in on if e.edit.size < EDIT_BYTES}


def specs_of(drawn: Drawn) -> tuple[bytes | None, bytes | None]:
    """The picture in light and in dark."""
    other = other_theme(drawn.chart)
    if other is not None and drawn.title:
        other.title = drawn.title
    seen = written(plain_specification(drawn.chart))
    unseen = None if other is None else written(plain_specification(other))
    return (unseen, seen) if drawn.dark else (seen, unseen)


def check_size(parts: Sequence[bytes]) -> None:
    size, values = sum(map(len, parts)), sum(part.count(b",") for part in parts)
    if size > CELL_BYTES or values > CELL_VALUES:
        raise NotebookError(
            f"This cell has {values:,} values ({megabytes(size)}); My notebook takes cells of at "
            f"most {CELL_VALUES:,} ({megabytes(CELL_BYTES)}). Its CSV and its picture can be "
            "downloaded."
        )


def edits_in(code: str, entries: Sequence[Entry]) -> Iterator[Entry]:
    """The edits that a cell's code names, in their order."""
    left = list(entries)
    for stem in asked_in(code).edit_files:
        found = next((entry for entry in left if file_name(entry.name) == stem), None)
        if found is not None:
            left.remove(found)
            yield found


def settings() -> dict[str, str]:
    """The controls that stand in the link; not what is asked, nor anybody's codes and tokens."""
    given = {
        name: value
        for name, value in st.query_params.items()
        if name in st.session_state and name not in (*REQUEST, *JOB_PAGES)
    }
    short = {n: v for n, v in given.items() if len(n) + len(v) <= SETTING_CHARACTERS}
    return dict(list(short.items())[:MOST_SETTINGS])


@dataclass
class OnPage:
    """What a run of a page has drawn, for downloads of the whole page."""

    question: str
    technical: str
    cells: list[Finished] = field(default_factory=list)

    def pages(self) -> Pages:
        """The page as a notebook."""
        kept = [cell.kept() for cell in self.cells]
        files = {name: content for _, edits in kept for name, content in edits.items()}
        return Pages(self.question, tuple(cell for cell, _ in kept), files)


def begin_page(question: str, technical: str) -> OnPage:
    """For the beginning of a page's run."""
    st.session_state[ON_PAGE] = OnPage(question, technical)
    return st.session_state[ON_PAGE]


def finished(
    key: str,
    title: str,
    words: str,
    findings: Sequence[str],
    drawn: Mapping[str, Drawn],
    code: str,
    table: pd.DataFrame,
) -> Finished:
    """The cell with what the session says of it; noted for downloads of the page."""
    on = tuple(entry for entry in ledger.entries() if entry.on)
    path = st.session_state.get(PAGE, "")
    done = Finished(key, title, words, tuple(findings), drawn, code, table, settings(), on, path)
    if ON_PAGE in st.session_state:
        st.session_state[ON_PAGE].cells.append(done)
    return done


def keep_button(row: DeltaGenerator, cell: Finished) -> None:
    """ "Keep"; where it was just pressed, what came of it."""
    if not page_is_open(MY_NOTEBOOK.path):
        return
    row.button(
        "Keep",
        on_click=keep,
        args=(cell,),
        key=f"{cell.key}_keep",
        help="Puts this cell, as it stands, into My notebook.",
    )
    key, said, kept = st.session_state.get(SAID, ("", "", False))
    if key != cell.key:
        return
    del st.session_state[SAID]
    if kept:
        row.page_link(MY_NOTEBOOK.script, label=f"{said} · My notebook", width="content")
    else:
        row.warning(plain(said))


def keep(cell: Finished) -> None:
    """For callbacks."""
    try:
        new = notebook().keep(*cell.kept())
    except core.BackwardLensError as error:
        st.session_state[SAID] = (cell.key, str(error), False)
    else:
        st.session_state[SAID] = (cell.key, "Kept ✓" if new else "Kept already ✓", True)
