"""What happens in a lesson at a click: fields are set, hints shown, answers checked."""

from __future__ import annotations

import streamlit as st

import core
from app.lessons.checks import judge, solution
from app.lessons.classroom import tell
from app.lessons.progress import ANSWER_LETTERS, progress, request_key
from app.lessons.reader import lessons
from app.lessons.unit import BROKE, NUMBER, TYPED, Example, Unit
from app.shell.menu import is_open
from app.shell.navigation import page_at
from app.shell.state import PROMPT, SUBJECT, TARGET, Request, chosen_model
from app.shell.subjects import subject_of
from app.words import plain
from app.workshop.answers import CHECK

# In the session: the unit that is chosen; what the run that follows a click has to do.
UNIT, CHECKING, FILLING, GOING = "lesson", "lesson_check", "lesson_fill", "lesson_page"
FROM_THE_TOP = "lesson_top"  # the next lesson is read from its beginning
SCROLL_UP = """<script>
document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0);
</script>"""
HIGHLIGHT = "lesson_highlight"  # in the session: the key of what is outlined on another page
BEFORE_CHECK = "Put right what is named on the left first: there is nothing to check yet."


def chosen_unit() -> Unit | None:
    """The unit that the page shows: the one that was chosen, else the last one, else the first."""
    known = lessons()
    name = st.session_state.get(UNIT) or progress().current
    return known.at(name) or next(iter(known.units), None)


def choose(unit: Unit) -> None:
    """For callbacks."""
    st.session_state[UNIT] = progress().current = unit.id


def begin_next(unit: Unit) -> None:
    """For callbacks: go on with a unit, with its first known-good prompt in the fields.

    A unit about an edit keeps the fields: the edit that is on is about them.
    """
    choose(unit)
    st.session_state[FROM_THE_TOP] = True
    example = next(iter(unit.examples_for(chosen_model())), None)
    if example is not None and unit.check.kind != BROKE:
        fill_fields(example)


def answer_key(unit: Unit) -> str:
    return f"lesson_answer_{unit.id}"


def in_fields(example: Example) -> bool:
    now = (st.session_state.get(PROMPT), st.session_state.get(TARGET))
    return now == (example.prompt, example.target)


def fill_fields(example: Example) -> None:
    st.session_state[PROMPT], st.session_state[TARGET] = example.prompt, example.target
    st.session_state[SUBJECT] = example.subject or subject_of(example.prompt)


def try_example(unit: Unit, example: Example) -> None:
    """For callbacks."""
    progress().take_up(unit)
    fill_fields(example)


def ask_to_check(unit: Unit) -> None:
    """For callbacks: the run that follows checks."""
    progress().take_up(unit)
    st.session_state[CHECKING] = unit.id


def set_up(unit: Unit, example: Example | None, page: str | None) -> None:
    """For callbacks: put an example into the fields, and open a page in the run that follows."""
    progress().take_up(unit)
    if example is not None:
        fill_fields(example)
        st.session_state[HIGHLIGHT] = unit.show_me.highlight
        if unit.show_me.strength:
            st.session_state["edit_method"], st.session_state["edit_auto"] = "forward-shift", True
            st.session_state["edit_how_strong"] = unit.show_me.strength
    if page is not None and is_open(page):
        st.session_state[GOING] = page


def next_hint(unit: Unit) -> None:
    """For callbacks: show one hint more. The last one does what it says."""
    here, total = progress(), len(unit.hints) + 1
    here.take_up(unit)
    step = here.step(unit)
    step.hints = min(step.hints + 1, total)
    if step.hints < total:
        return
    request = st.session_state.get("request")
    edit_is_on = request is not None and bool(request.entries)
    if unit.check.kind in TYPED and (unit.check.kind != BROKE or edit_is_on):
        st.session_state[FILLING] = unit.id
    else:
        set_up(unit, unit.shown_example(chosen_model()), unit.show_me.page)


def do_what_was_asked(unit: Unit, request: Request | None) -> None:
    """After a click, before anything is drawn: open a page, fill the answer in, check it."""
    going = st.session_state.pop(GOING, None)
    if going is not None:
        # Nothing is to be kept of the address: the fields that stand in it write themselves anew.
        st.switch_page(page_at(going).script, query_params={})
    st.session_state.pop(HIGHLIGHT, None)
    if st.session_state.pop(FROM_THE_TOP, False):
        st.html(SCROLL_UP, unsafe_allow_javascript=True)
    if st.session_state.pop(FILLING, None) == unit.id and request is not None:
        answer = solution(unit.check, request)
        if answer is not None:
            whole = unit.check.tolerance == 0
            number = (int if whole else float)(float(answer)) if is_number(unit) else None
            st.session_state[answer_key(unit)] = answer if number is None else number
    if st.session_state.pop(CHECKING, None) == unit.id:
        check_now(unit, request)


def is_number(unit: Unit) -> bool:
    return unit.check.kind == NUMBER


def check_now(unit: Unit, request: Request | None) -> None:
    """Judge what was typed against what is on the screen; keep it, and tell the class's teacher."""
    if request is None:
        st.warning(BEFORE_CHECK)
        return
    value = st.session_state.get(answer_key(unit))
    given = "" if value is None else str(value)[:ANSWER_LETTERS]
    try:
        verdict = judge(unit.check, request, given)
    except core.BackwardLensError as error:
        st.error(plain(str(error)))
        return
    step = progress().step(unit)
    step.answer, step.of = given, request_key(request)
    step.verdict = (verdict.right, verdict.why)
    if verdict.right:
        step.right = True
        if progress().active == unit.id:
            progress().active = ""
    tell(CHECK, unit, given, request, verdict.right)
