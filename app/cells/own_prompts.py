"""A visitor's own prompts: from a file, from pasted rows, or from a table to type into."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import core
from app.cells.controls import choice
from app.words import plain
from app.work.memory import claim, keep
from app.work.own import own
from core.studies.prompt_rows import TITLES
from core.studies.prompts import COUNTERFACT_TYPES, EXAMPLES

WAYS = {"file": "A file", "paste": "Paste rows", "table": "Type a table"}
FILE_TYPES = ["csv", "tsv", "txt", "xlsx", "json", "jsonl"]
# In the session: what was read, how it came, the rows as they are typed and as they began.
FILE, UPLOADED, PASTED = "records_file", "uploaded_records", "pasted_records"
WAY, ROWS, BASE, TEXT = "own_way", "own_rows", "own_rows_base", "own_text"
MOST_TYPED, MOST_PASTED = 500, 300_000  # rows of the table; characters of pasted rows
EMPTY_ROWS = 5
SAVED_AS = "my-prompts.csv"
Own = core.PromptTable | core.Records  # what a table says; CounterFact's JSON has no columns


@dataclass
class Draft:
    """What a visitor has pasted and typed; it survives a reload."""

    text: str = ""
    rows: list[list[str]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return 2 * len(self.text) + sum(100 + 2 * len(cell) for row in self.rows for cell in row)

    def keep(self, *, text: str | None = None, rows: list[list[str]] | None = None) -> None:
        """Raises MemoryFullError, and keeps what was, where there is no room for it."""
        new = Draft(self.text if text is None else text, self.rows if rows is None else rows)
        claim("own_prompts", new.size)
        self.text, self.rows = new.text, new.rows


def draft() -> Draft:
    return own("own_prompts", Draft)


def own_prompts() -> Own | None:
    """The prompts that a visitor has given, if any; raises PromptError, a sentence."""
    st.caption(
        "One prompt a row, and the word that you want next. A subject, the true answer and a group "
        "are welcome but not needed; groups are compared with each other."
    )
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    way = choice(row, "How they come", WAYS, WAY, default="file")
    row.download_button(
        "Download a template (CSV)",
        data=core.prompts_template,
        file_name="prompts-template.csv",
        mime="text/csv",
        on_click="ignore",
        key="own_template",
        help="Three example rows to replace; any spreadsheet opens it.",
    )
    if way == "file":
        return uploaded()
    return pasted() if way == "paste" else typed()


def uploaded() -> Own | None:
    """The uploaded file's prompts, kept while the visitor is on other pages."""
    file = st.file_uploader(
        "A spreadsheet: CSV, TSV or XLSX (or CounterFact's and EasyEdit's JSON)",
        type=FILE_TYPES,
        key=FILE,
        on_change=forget_removed,
    )
    kept = st.session_state.get(UPLOADED)
    if file is not None and (kept is None or kept[0] != file.file_id):
        is_json = file.name.lower().endswith(COUNTERFACT_TYPES)
        read = core.load_counterfact if is_json else core.read_prompts
        kept = (file.file_id, read(file, name=file.name))
        keep(UPLOADED, kept)
    return kept[1] if kept else None


def forget_removed() -> None:
    """For the uploader's callback, which a visit to another page does not call."""
    if st.session_state[FILE] is None:
        st.session_state.pop(UPLOADED, None)


def pasted() -> Own | None:
    """The prompts of rows that were copied from a spreadsheet."""
    mine = draft()
    if TEXT not in st.session_state:
        st.session_state[TEXT] = mine.text
    text = st.text_area(
        "Rows, as you copy them from a spreadsheet",
        key=TEXT,
        height=160,
        max_chars=MOST_PASTED,
        placeholder="Prompt\tTarget\nThe capital of France is\tRome",
        help="Columns are separated by tabs, as spreadsheets copy them, or by commas or "
        "semicolons. Prompt and target come first, or the first row names the columns.",
    )
    mine.keep(text=text)
    row = st.container(horizontal=True, vertical_alignment="center", gap="medium")
    row.button("Read these rows", key="read_pasted")
    if not text.strip():
        return None
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    kept = st.session_state.get(PASTED)
    if kept is None or kept[0] != digest:
        kept = (digest, named(core.prompts_from_text(text, name="What you pasted")))
        keep(PASTED, kept)
    save_button(row, kept[1])
    return kept[1]


def typed() -> Own | None:
    """The prompts of a table to type into, or to paste cells into."""
    rows = typed_rows()
    row = st.container(horizontal=True, vertical_alignment="center", gap="medium")
    row.button("Fill in an example", key="fill_own", on_click=fill_in, disabled=bool(rows))
    if not rows:
        return None
    if len(rows) > MOST_TYPED:
        st.warning(
            f"The table has {len(rows):,} rows; the first {MOST_TYPED} are used. A longer list "
            "comes as a file."
        )
    numbered = [(i, cells) for i, cells in enumerate(rows[:MOST_TYPED], 1)]
    # Its columns are known, whatever the first row says.
    header = (0, list(TITLES.values()))
    try:
        table = named(core.prompts_from_rows([header, *numbered], name="Your table"))
    except core.PromptError as error:  # as while the first row is being written
        st.info(plain(str(error)))
        return None
    save_button(row, table)
    return table


def named(table: core.PromptTable) -> core.PromptTable:
    """The table by the name of the file as which it can be saved."""
    return replace(table, records=replace(table.records, name=SAVED_AS))


def typed_rows() -> list[list[str]]:
    """The table's rows, empty ones too but for those at its end."""
    mine = draft()
    if ROWS not in st.session_state or BASE not in st.session_state:
        empty = [[""] * len(TITLES)] * (EMPTY_ROWS - len(mine.rows))
        st.session_state[BASE] = [*mine.rows, *empty]
    columns = list(TITLES.values())
    begun = pd.DataFrame(st.session_state[BASE], columns=columns, dtype="str")
    edited = st.data_editor(
        begun,
        column_config={
            name: st.column_config.TextColumn(name, width=WIDTHS.get(name, 125)) for name in columns
        },
        num_rows="dynamic",
        hide_index=True,
        key=ROWS,
        alt="Your prompts, one a row",
    )
    rows = [
        ["" if pd.isna(cell) else str(cell) for cell in row]
        for row in edited[columns].itertuples(index=False)
    ]
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    mine.keep(rows=rows)
    return rows


WIDTHS = {TITLES["prompt"]: 340}  # pixels


def fill_in() -> None:
    """Put the template's rows into the empty table; for callbacks."""
    draft().keep(rows=[list(row) for row in EXAMPLES])
    st.session_state.pop(ROWS, None)
    st.session_state.pop(BASE, None)


def save_button(place: DeltaGenerator, table: core.PromptTable) -> None:
    place.download_button(
        "Download these prompts (CSV)",
        data=lambda: core.prompts_csv(table.records),
        file_name=SAVED_AS,
        mime="text/csv",
        on_click="ignore",
        key="own_save",
        help="To keep them. “Show code” under a picture reads this file.",
    )
