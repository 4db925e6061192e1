"""Opening a kept cell live: the model, the prompt, the target, the controls and the edits."""

from __future__ import annotations

import streamlit as st

import core
from app.notebook.about import page_of
from app.notebook.kept import KeptCell
from app.notebook.mine import Pages
from app.settings import EDIT_BYTES
from app.shell import ledger
from app.shell.models import CARDS, OTHER, load, model_key, refusal
from app.shell.precision_field import PRECISION
from app.shell.state import MODEL, OTHER_MODEL, PROMPT, SUBJECT, TARGET
from app.workshop.visit import page_is_open, pinned_model

LEADS_TO = "kept_cell_opened"  # in the session: the page that is to be opened, and its controls


def can_open(cell: KeptCell) -> bool:
    page = page_of(cell)
    return page is not None and page_is_open(page.path)


def open_live(cell: KeptCell, pages: Pages) -> None:
    """Ask again what the cell asked, with its edits on and no others; for callbacks."""
    asked, page = cell.asked, page_of(cell)
    if asked.model and not pinned_model():
        st.session_state[MODEL] = asked.model if asked.model in CARDS else OTHER
        if asked.model not in CARDS:
            st.session_state[OTHER_MODEL] = asked.model
        st.session_state[PRECISION] = asked.precision
    for key, text in ((PROMPT, asked.prompt), (TARGET, asked.target), (SUBJECT, asked.subject)):
        if text:
            st.session_state[key] = text
    st.session_state["edit_file_problem"] = switch_edits(cell, pages)
    st.session_state[LEADS_TO] = (page.script, dict(cell.settings))


def go_on() -> None:
    """Lead to the page that a callback has chosen, if it has."""
    leads_to = st.session_state.pop(LEADS_TO, None)
    if leads_to is not None:
        script, settings = leads_to
        st.switch_page(script, query_params=settings)


def switch_edits(cell: KeptCell, pages: Pages) -> str:
    """The cell's edits on, all others off; a sentence where that cannot be."""
    wanted = [edit.id for edit in cell.edits]
    for entry in ledger.entries():
        entry.on = entry.id in wanted
    known = {entry.id for entry in ledger.entries()}
    missing = [pages.edits[name] for name in wanted if name not in known and name in pages.edits]
    if not missing:
        return ""
    name = pinned_model() or model_key(cell.asked.model, cell.asked.precision)
    if refusal(name) or not core.is_on_this_machine(cell.asked.model):
        return "The kept cell's edits need its model, which is not here. Get it, and open it again."
    try:
        for content in missing:
            ledger.add(core.edit_from_bytes(content, load(name), max_bytes=EDIT_BYTES))
    except core.BackwardLensError as error:
        return str(error)
    return ""
