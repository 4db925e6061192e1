"""What is asked beside the tasks: a question to think about, and a class's before and after."""

from __future__ import annotations

import streamlit as st

from app.lessons.classroom import SEEN, in_class, tell
from app.lessons.progress import THOUGHT_LETTERS, progress
from app.lessons.reader import lessons
from app.lessons.unit import Unit
from app.words import plain
from app.workshop.answers import AFTER, BEFORE, THOUGHT


def think_cell(number: int, unit: Unit) -> None:
    """The unit's question, with a field whose text is kept."""
    key = f"lesson_thought_{unit.id}"
    kept = progress().step(unit).thought if unit.id in progress().steps else ""
    with st.container(border=True, key="cell_think"):
        st.markdown(f"**{number} · To think about**  \n{plain(unit.think)}")
        st.text_area(
            "What do you think?",
            kept,
            key=key,
            max_chars=THOUGHT_LETTERS,
            height=90,
            on_change=keep_thought,
            args=(unit, key),
            placeholder="No answer is right or wrong here.",
        )
        if kept:
            st.caption("Kept. You can change it." if not in_class() else "Kept, and sent.")


def keep_thought(unit: Unit, key: str) -> None:
    """For callbacks."""
    text = (st.session_state.get(key) or "").strip()[:THOUGHT_LETTERS]
    progress().step(unit).thought = text
    tell(THOUGHT, unit, text, st.session_state.get("request"))


def class_notice() -> None:
    if in_class():
        st.caption(SEEN)


def class_question(kind: str) -> None:
    """The same question before the first lesson and after the last one, in a class alone."""
    question = lessons().question
    if not question or not in_class():
        return
    here = progress()
    kept = here.before if kind == BEFORE else here.after
    when = "Before you begin" if kind == BEFORE else "Now that you have done the lessons"
    with st.container(border=True, key=f"cell_{kind}"):
        st.markdown(f"**{when}**  \n{plain(question)}")
        st.text_area(
            "In a sentence or two, as you think now",
            kept,
            key=f"lesson_{kind}",
            max_chars=THOUGHT_LETTERS,
            height=70,
            on_change=keep_class_answer,
            args=(kind,),
        )
        if kept:
            st.caption("Kept, and sent.")
        if kind == AFTER and here.before:
            st.caption(f"Before the lessons you wrote: {plain(here.before)}")


def keep_class_answer(kind: str) -> None:
    """For callbacks."""
    text = (st.session_state.get(f"lesson_{kind}") or "").strip()[:THOUGHT_LETTERS]
    here = progress()
    if kind == BEFORE:
        here.before = text
    else:
        here.after = text
    tell(kind, None, text, st.session_state.get("request"))
