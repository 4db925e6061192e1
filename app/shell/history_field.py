"""The history in the sidebar: the newest requests first, back to any, compare with any."""

from __future__ import annotations

import time

import streamlit as st

from app.shell.history import MOST, NOTE, Asked, Visited, back_to, history
from app.shell.menu import is_open
from app.shell.models import short_name
from app.shell.navigation import PAGES
from app.shell.other_side import PATH, OtherSide, compare_button
from app.words import count, plain, shortened, visible
from app.workshop.times import told

LONGEST = 60  # characters of a prompt, a target or a subject that are shown
OPEN = "history_open"  # the popover's key


def history_field() -> None:
    """A popover with what was asked; nothing of it is drawn while it is closed."""
    note = st.session_state.pop(NOTE, "")
    if note:
        st.info(plain(note))
    known = history().entries
    if not known:
        return
    with st.popover(f"History: {count(len(known), 'request')}", key=OPEN, on_change="rerun") as box:
        if not box.open:
            return
        st.caption(
            f"What you asked, the newest first; the last {MOST} are kept. Going back computes "
            "nothing again. What differs from the request before is bold."
        )
        before = [None, *known[:-1]]
        for entry, earlier in zip(known[::-1], before[::-1], strict=True):
            entry_row(entry, earlier and earlier.asked)


def entry_row(entry: Visited, earlier: Asked | None) -> None:
    with st.container(key=f"history_{entry.serial}", border=True, gap="small"):
        st.markdown(described(entry.asked, earlier))
        st.caption(plain(f"{page_title_of(entry.page)}, {ago(entry.time)}"))
        row = st.container(horizontal=True)
        name = plain(shortened(shown(f"{entry.asked.prompt} … {entry.asked.target}"), 80))
        row.button(
            "Back to it",
            key=f"history_back_{entry.serial}",
            on_click=back_to,
            args=(entry.asked,),
            help=f"Ask again: {name}",
        )
        if is_open(PATH):
            with row:
                side = OtherSide.of(entry.asked)
                compare_button("Compare with it", side, f"history_compare_{entry.serial}")


def described(asked: Asked, earlier: Asked | None) -> str:
    """A request in one line of Markdown; what is not as `earlier` is bold."""
    parts = [
        (shown(asked.prompt), earlier and asked.prompt == earlier.prompt),
        (f"→ {shown(asked.target)}", earlier and asked.target == earlier.target),
        (f"subject {shown(asked.subject or '–')}", earlier and asked.subject == earlier.subject),
        (short_name(asked.model_name), earlier and asked.model_name == earlier.model_name),
        (edits_of(asked), earlier and asked.edit_ids == earlier.edit_ids),
    ]
    texts = [
        plain(text) if same or earlier is None else f"**{plain(text)}**"
        for text, same in parts
        if text
    ]
    return f"{' '.join(texts[:2])}  \n{' · '.join(texts[2:])}"


def edits_of(asked: Asked) -> str:
    """Nothing where none is on."""
    return count(len(asked.edit_ids), "edit") if asked.edit_ids else ""


def shown(text: str) -> str:
    return shortened(visible(text).replace("·", " ").strip(), LONGEST)


def page_title_of(path: str) -> str:
    return next((page.title for page in PAGES if page.path == path), "a page")


def ago(then: float) -> str:
    seconds = time.time() - then
    return "just now" if seconds < 60 else f"{told(seconds)} ago"
