"""A lesson's cells: its idea and task; the answer, what becomes of it, and the hints."""

from __future__ import annotations

import streamlit as st

import core
from app.cells.lesson_steps import (
    answer_key,
    ask_to_check,
    begin_next,
    in_fields,
    next_hint,
    set_up,
    try_example,
)
from app.lessons.checks import solution
from app.lessons.progress import ANSWER_LETTERS, Step, progress, request_key
from app.lessons.reader import lessons
from app.lessons.unit import ANSWER_IS, BROKE, CHOICE, NUMBER, TYPED, Unit
from app.shell.menu import is_open
from app.shell.navigation import page_at
from app.shell.state import Request, chosen_model
from app.words import code_span, plain, shortened

ANSWER = "Your answer"


def lesson_card(unit: Unit) -> None:
    """A unit's idea and its task."""
    with st.container(border=True, key="cell_lesson"):
        number = lessons().number(unit)
        st.markdown(f"**1 · Lesson {number}: {plain(unit.title)}**  \n{plain(unit.idea)}")
        st.markdown(f"**Your task.** {plain(unit.task)}")
        examples(unit)


def answer_cell(number: int, unit: Unit, request: Request | None) -> None:
    """The answer, what becomes of it, and the hints."""
    step = progress().step(unit) if unit.id in progress().steps else Step()
    with st.container(border=True, key="cell_lesson_answer"):
        answer_form(number, unit, step)
        outcome(unit, step, request)
        hints(unit, step, request)


def examples(unit: Unit) -> None:
    """Prompts that are known to work with the chosen model, one click away; the unit's page."""
    with st.container(horizontal=True, vertical_alignment="center", key="lesson_examples"):
        for i, example in enumerate(unit.examples_for(chosen_model())):
            words = f"{example.prompt} … {example.target}"
            st.button(
                ("✓ " if in_fields(example) else "Try ") + plain(shortened(words, 60)),
                key=f"lesson_try_{unit.id}_{i}",
                on_click=try_example,
                args=(unit, example),
            )
        if unit.page is not None:
            page = page_at(unit.page)
            if is_open(unit.page):
                label = f"Open the page {page.title}"
                st.button(label, key="lesson_open", on_click=set_up, args=(unit, None, unit.page))
            else:
                st.caption(f"The page {page.title} is not a part of this workshop.")


def answer_form(number: int, unit: Unit, step: Step) -> None:
    """The question, a field where something is to be typed or chosen, and the button."""
    check, key = unit.check, answer_key(unit)
    with st.form(f"lesson_form_{unit.id}", border=False):
        st.markdown(f"**{number} · {plain(check.question)}**")
        row = st.container(horizontal=True, vertical_alignment="bottom", key="lesson_answer_row")
        if check.kind == NUMBER:
            whole = check.tolerance == 0
            row.number_input(
                ANSWER,
                value=number_in(step.answer, whole),
                step=1 if whole else None,
                key=key,
                placeholder="A number",
                width=320,
                label_visibility="collapsed",
            )
        elif check.kind == CHOICE:
            texts = [option.text for option in check.options]
            index = texts.index(step.answer) if step.answer in texts else None
            row.radio(
                ANSWER, texts, index=index, format_func=plain, key=key, label_visibility="collapsed"
            )
        elif check.kind in TYPED:
            row.text_input(
                ANSWER,
                step.answer,
                key=key,
                max_chars=ANSWER_LETTERS,
                width=420,
                label_visibility="collapsed",
                placeholder="A word" if check.kind == ANSWER_IS else "A prompt",
            )
        row.form_submit_button("Check", type="primary", on_click=ask_to_check, args=(unit,))


def number_in(text: str, whole: bool) -> int | float | None:
    """A typed number that was kept; None where there is none."""
    try:
        return int(float(text)) if whole else float(text)
    except (ValueError, OverflowError):
        return None


def outcome(unit: Unit, step: Step, request: Request | None) -> None:
    """Right or not yet, and why; the way on."""
    if step.verdict is not None and request is not None and step.of == request_key(request):
        right, why = step.verdict
        more = plain(unit.check.right if right else unit.check.not_yet)
        said = f"**{'Right.' if right else 'Not yet.'}** {why} {more}"
        (st.success if right else st.warning)(said)
    elif step.right:
        st.caption("✓ You have done this lesson. What is on the left has changed since.")
    if not step.right:
        return
    following = lessons().after(unit)
    if following is not None:
        st.button(
            f"Next: {plain(following.title)}",
            key="lesson_next",
            on_click=begin_next,
            args=(following,),
        )
    elif all(map(progress().is_done, lessons().units)):
        st.markdown("You have done all lessons. Now ask something of your own, on any page.")
    else:
        st.markdown("That was the last lesson; those without a ✓ above are still to be done.")


def hints(unit: Unit, step: Step, request: Request | None) -> None:
    """The ladder: each step is shown after a click and stays."""
    total = len(unit.hints) + 1
    for i, hint in enumerate(unit.hints[: step.hints], 1):
        st.markdown(f"**Hint {i}.** {plain(hint)}")
    if step.hints < total:
        last = step.hints == total - 1
        label = "Show me" if last else f"Hint {step.hints + 1} of {total}"
        st.button(label, key="lesson_hint", on_click=next_hint, args=(unit,))
        return
    shown(unit, request)
    st.button("Show me again", key="lesson_hint", on_click=next_hint, args=(unit,))


def shown(unit: Unit, request: Request | None) -> None:
    """The last step of the ladder: the answer itself, for what is on the screen."""
    answer = None
    if request is not None and unit.check.kind in TYPED:
        try:
            answer = solution(unit.check, request)
        except core.BackwardLensError as error:
            st.error(plain(str(error)))
    if answer is not None:
        st.markdown(f"**Shown.** Here it is {code_span(answer)}. The field above holds it.")
    elif unit.check.kind == BROKE and request is not None and request.entries:
        st.markdown(
            "**Shown.** This edit changed none of the prompts that were tried. A stronger one "
            "changes more."
        )
        example = unit.shown_example(chosen_model())
        st.button(
            "Set up a stronger edit",
            key="lesson_stronger",
            on_click=set_up,
            args=(unit, example, unit.show_me.page),
        )
    else:
        st.markdown(f"**Shown.** {plain(unit.show_me.say)}")
