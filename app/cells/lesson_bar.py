"""A slim bar on top of other pages: the task of the lesson that is under way, and the way back."""

from __future__ import annotations

import streamlit as st

from app.cells.lesson_pictures import outline
from app.cells.lesson_steps import HIGHLIGHT
from app.lessons.progress import progress
from app.lessons.reader import lessons
from app.shell.menu import is_open
from app.shell.navigation import page_at
from app.words import plain

LESSONS = "lessons"  # the page's path
STYLE = """<style>
.st-key-lesson_bar { border-left: 4px solid #d9622b; border-radius: 4px; gap: 0.25rem;
  background: rgba(217,98,43,.10); padding: 0.35rem 0.8rem; }
.st-key-lesson_bar p { font-size: 0.9rem; margin-bottom: 0; }
</style>"""


def lesson_bar(page: str) -> None:
    """Nothing where no lesson is under way, nor on the lessons' own page."""
    here = progress()
    unit = lessons().at(here.active) if here.active else None
    if unit is None or page == LESSONS or not is_open(LESSONS):
        return
    st.html(STYLE)
    highlight = st.session_state.get(HIGHLIGHT)
    if highlight and page == unit.show_me.page:
        st.html(outline(highlight, "button"))
    with st.container(key="lesson_bar"):
        words = f"**Lesson {lessons().number(unit)} · {plain(unit.title)}**"
        if not here.small:
            task = plain(unit.show_me.say if highlight else unit.task)
            st.markdown(f"{words}  \n{task}")
        row = st.container(horizontal=True, vertical_alignment="center")
        if here.small:
            row.markdown(words, width="content")
        row.page_link(page_at(LESSONS).script, label="Back to the lesson", icon="↩️")
        label = "Show the task" if here.small else "Fold"
        row.button(label, key="lesson_fold", type="tertiary", on_click=fold)
        row.button("Put away", key="lesson_away", type="tertiary", on_click=put_away)


def fold() -> None:
    """For callbacks."""
    progress().small = not progress().small


def put_away() -> None:
    """For callbacks: the lesson stays on its page, as far as it is."""
    progress().active = ""
