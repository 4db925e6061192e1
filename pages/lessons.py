"""Lessons: short units with a task, hints and a check against the live model."""

import streamlit as st

from app.cells.lesson_card import answer_cell, lesson_card
from app.cells.lesson_pictures import picture
from app.cells.lesson_questions import class_notice, class_question, think_cell
from app.cells.lesson_steps import UNIT, chosen_unit, do_what_was_asked
from app.lessons.progress import NAME, progress
from app.lessons.reader import lessons
from app.notebook.cell import page_title
from app.words import count, plain
from app.work.memory import MemoryFullError, claim
from app.workshop.answers import AFTER, BEFORE

known, unit, here = lessons(), chosen_unit(), progress()
request = st.session_state.get("request")
place = st.container()  # filled when what was asked for is checked
for problem in known.problems:
    st.error(plain(problem))
if unit is not None:
    do_what_was_asked(unit, request)
done = sum(map(here.is_done, known.units))
with place:
    page_title(
        "Where do I begin?",
        f"{count(len(known.units), 'short lesson')}, each with one idea and a task that is "
        f"checked against the live model. You have done {done} of {len(known.units)}.",
    )
if unit is None:
    st.info("There are no lessons in the folder that this server uses. Every page works without.")
    st.stop()
class_notice()
if st.session_state.get(UNIT) != unit.id:  # at first, and where a file has gone
    st.session_state[UNIT] = unit.id
st.pills(
    "Lessons",
    [u.id for u in known.units],
    format_func=lambda name: (
        f"{here.mark(known.at(name))} {known.number(known.at(name))} {plain(known.at(name).title)}"
    ),
    required=True,
    key=UNIT,
    label_visibility="collapsed",
)
here.current = unit.id
if unit == known.units[0]:
    class_question(BEFORE)
lesson_card(unit)
if request is None:
    problem = st.session_state.get("problem") or "Choose a model, a prompt and a target."
    st.info(f"Nothing to show yet. {plain(problem)}")
else:
    step = here.steps.get(unit.id)
    outlined = step is not None and step.hints > len(unit.hints)
    picture(2, unit.picture, request, outlined=outlined)
number = 3 if unit.picture else 2
answer_cell(number, unit, request)
think_cell(number + 1, unit)
if unit == known.units[-1] and here.is_done(unit):
    class_question(AFTER)
try:
    claim(NAME, here.size)
except MemoryFullError as error:
    st.error(plain(str(error)))
