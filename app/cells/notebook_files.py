"""My notebook as a file: saved, given away, and opened again."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import core
from app.notebook.cell import is_dark
from app.notebook.file import ENDING, from_file
from app.notebook.files import file_buttons
from app.notebook.mine import Notebook, Pages, notebook
from app.words import count, file_name, plain, shortened

UPLOAD, OPENED, PROBLEM = "notebook_file", "notebook_opened", "notebook_file_problem"
MOST_MEGABYTES = 48


def open_field(place: DeltaGenerator) -> None:
    """A place for a notebook's file; what is in it is shown before it changes anything."""
    with place.popover("Open a notebook"):
        st.file_uploader(
            "A notebook that was saved here (.backwardlens)",
            type=[ENDING],
            key=UPLOAD,
            on_change=read_uploaded,
            max_upload_size=MOST_MEGABYTES,
        )
        st.caption("Nothing in a file is run. Pictures that are no charts of ours are not drawn.")


def read_uploaded() -> None:
    """For callbacks. Into an empty notebook it comes at once."""
    file = st.session_state.get(UPLOAD)
    st.session_state[PROBLEM], st.session_state[OPENED] = "", None
    if file is None:
        return
    try:
        pages = from_file(file.getvalue())
    except core.BackwardLensError as error:
        st.session_state[PROBLEM] = str(error)
        return
    st.session_state[OPENED] = pages
    if not notebook().pages.entries:
        take(notebook().replace_by)


def opened(mine: Notebook) -> None:
    """What an opened file holds, and the two ways to take it; or why it is none."""
    if problem := st.session_state.get(PROBLEM):
        st.error(plain(problem))
    pages: Pages | None = st.session_state.get(OPENED)
    if pages is None:
        return
    with st.container(border=True, key="notebook_opened_box"):
        title = shortened(pages.title, 80) or "A notebook without a title"
        texts = len(pages.entries) - len(pages.cells)
        st.markdown(
            f"**{plain(title)}**: {count(len(pages.cells), 'cell')}, {count(texts, 'text')}. "
            "Your own entries stay unless you replace them, which can be undone."
        )
        row = st.container(horizontal=True)
        for label, key, way in (
            ("Add below mine", "notebook_add", mine.add),
            ("Replace mine", "notebook_replace", mine.replace_by),
            ("Leave it", "notebook_leave", None),
        ):
            row.button(label, on_click=take, args=(way,), key=key)


def take(way: Callable[[Pages], None] | None) -> None:
    """For callbacks."""
    try:
        if way is not None:
            way(st.session_state[OPENED])
    except core.BackwardLensError as error:
        st.session_state[PROBLEM] = str(error)
    else:
        st.session_state[OPENED], st.session_state[PROBLEM] = None, ""


def save_fields(place: DeltaGenerator, mine: Notebook) -> None:
    """The ways to take the notebook away; nothing is made before it is clicked."""
    with place.popover("Save or give away"):
        name = file_name(mine.pages.title) if mine.pages.title else "my-notebook"
        file_buttons(lambda: mine.pages, name, dark=is_dark(), key="notebook")
