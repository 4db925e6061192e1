"""Asking the original and the edited model: a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import core
from app.cells.turns import (
    FIELD,
    LENGTH,
    PROBLEM,
    SEED,
    SHOWN,
    TEMPERATURE,
    Turn,
    Voice,
    ask,
    ask_typed,
    turns,
)
from app.charts.answer_bars import answer_bars
from app.findings.answers import answers_finding
from app.notebook.cell import Cell, cell, is_dark
from app.notebook.code import literal, program
from app.shell import ledger
from app.shell.examples import EXAMPLES
from app.shell.ledger import Entry
from app.shell.models import short_name
from app.shell.state import PROMPT, chosen_key
from app.shell.subjects import known_records
from app.words import plain, shortened
from app.work.job import before
from app.work.panel import follow
from app.workshop.visit import page_is_open

SUGGESTIONS = 4
HEIGHT = 390  # pixels of a longer conversation, so that it and the field fit on a laptop
TEXT_PAUSE = 0.4  # seconds between two looks at a text that grows


def ask_cell(model: core.LanguageModel, active: Sequence[Entry]) -> None:
    """The conversation, the field for the next prompt, and its settings."""
    place = cell(
        1,
        "Ask both models",
        "Type the beginning of a sentence and the model writes on: once as it is, once with your "
        "edits. The bars are the five pieces of text it thought most likely to come next.",
        key="ask",
    )
    if not active:
        edit_hint(place.picture)
    known = turns()
    current = known[-1] if known else None
    running = current is not None and current.running
    if known:
        height = HEIGHT if len(known) > 1 else "content"
        with place.picture.container(height=height, border=False, key="ask_history"):
            for turn in known[:-1]:
                draw_turn(turn)
            if running:
                jobs = [voice.job for voice in current.voices]
                follow(jobs, partial(draw_turn, current), pause=TEXT_PAUSE)
            else:
                draw_turn(current)
    below, row = place.controls.container(), place.controls.container()
    if st.session_state.get(PROBLEM):
        below.error(plain(st.session_state[PROBLEM]))
    with row.container(horizontal=True, vertical_alignment="center", gap="small"):
        if running:
            st.button("Stop", on_click=current.stop, type="primary", key="ask_stop")
            st.caption("Stop ends the text after the token in hand; what is written stays.")
        else:
            suggest(suggestions(active))
        settings(bool(known) and not running)
    place.controls.chat_input(
        "The beginning of a sentence, for example: The capital of France is",
        key=FIELD,
        on_submit=ask_typed,
    )
    if current is not None and not running:
        finish(place, current)


def edit_hint(place: DeltaGenerator) -> None:
    """No edit is active: only the original answers, and where edits are made."""
    row = place.container(horizontal=True, vertical_alignment="center")
    words = "No edit is active, so only the original model answers."
    if ledger.entries():
        words += " Switch one on at the left, or:"
    row.markdown(words, width="content")
    if page_is_open("edit"):
        row.page_link("../pages/edit.py", label="Make an edit", icon="✏️", width="content")


def settings(clearable: bool) -> None:
    with st.popover("Settings"):
        st.slider("How many new tokens", 1, 60, 20, key=LENGTH, persist_state="session")
        st.slider(
            "Temperature",
            0.0,
            2.0,
            0.0,
            0.1,
            key=TEMPERATURE,
            persist_state="session",
            help="0 takes the most probable token each time; the higher, the more is left to "
            "chance.",
        )
        st.number_input(
            "Seed",
            0,
            10**6,
            0,
            key=SEED,
            persist_state="session",
            help="Decides what chance picks, the same for both models. Without effect at "
            "temperature 0.",
        )
        if clearable:
            st.button("Clear the answers", on_click=turns().clear, key="ask_clear")


def suggest(prompts: Sequence[str]) -> None:
    """One click each."""
    for index, prompt in enumerate(prompts):
        label = plain(shortened(" ".join(prompt.split()), 24))
        st.button(label, on_click=ask, args=(prompt,), key=f"ask_suggestion_{index}")


def suggestions(active: Sequence[Entry]) -> list[str]:
    """The sidebar's prompt and the edits' ones; those around them that are known; examples."""
    own = [st.session_state.get(PROMPT) or "", *(e.edit.prompt for e in reversed(active))]
    around = [
        text
        for prompt in own
        if (record := known_records().get(prompt.strip())) is not None
        for text in (*record.paraphrases[:2], *record.neighbours[:2])
    ]
    candidates = [*own[:3], *around, *(example.prompt for example in EXAMPLES)]
    return list(dict.fromkeys(text for text in candidates if text.strip()))[:SUGGESTIONS]


def draw_turn(turn: Turn) -> None:
    with st.chat_message("user"):
        st.text(turn.prompt)
        if turn.asked.model_name != chosen_key():
            st.caption(plain(f"Asked of {short_name(turn.asked.model_name)}"))
    with st.chat_message("assistant"):
        st.markdown(turn_finding(turn))
        names = turn.asked.edit_names
        titles = ["Original", f"With your edits ({len(names)})"]
        for title, voice, column in zip(titles, turn.voices, st.columns(2), strict=False):
            with column:
                draw_voice(title, names if voice.edits else (), voice)


def turn_finding(turn: Turn) -> str:
    tables = [voice.answers for voice in turn.voices]
    if any(table is None for table in tables):
        return "Asking …" if turn.running else "No answer."
    whole = all(voice.whole for voice in turn.voices)
    return answers_finding(tables, [voice.text for voice in turn.voices] if whole else None)


def draw_voice(title: str, names: Sequence[str], voice: Voice) -> None:
    st.markdown(f"**{title}**")
    listed = "; ".join(shortened(" ".join(name.split()), 40) for name in names)
    st.caption(plain(listed) or "without edits")
    if voice.job.error:
        st.error(plain(voice.job.error))
    elif voice.text.strip() or voice.running:
        st.text(voice.text.strip("\n") + ("▌" if voice.running else ""))
    elif not voice.job.ended_early:
        st.caption("The model ends its text here: it writes nothing.")
    if voice.job.people_before:
        st.caption(f"{before(voice.job.people_before)}.".capitalize())
    if voice.job.ended_early:
        st.caption("Stopped.")
    if voice.answers is not None:
        label = f"{title}: the most probable next tokens"
        st.html(answer_bars(voice.answers, dark=is_dark(), label=label))


def finish(place: Cell, turn: Turn) -> None:
    """The code and the numbers of the newest turn, where it has any."""
    if any(voice.answers is None for voice in turn.voices):
        return
    names = ("original", "edited")[: len(turn.voices)]
    tables = [
        voice.answers.assign(model=name, continuation=voice.text)
        for name, voice in zip(names, turn.voices, strict=True)
    ]
    options = f"max_new_tokens={turn.length}, temperature={turn.temperature}, seed={turn.seed}"
    lines = [f"prompt = {literal(turn.prompt)}"]
    for name in names:
        edits = ", edits=edits" if name == "edited" else ""
        lines += [
            f"{name}_text = complete(model, prompt{edits}, {options})",
            f"{name} = answers(model, prompt{edits}, top_k={SHOWN})",
            f'{name} = {name}.assign(model="{name}", continuation={name}_text)',
        ]
    lines.append(f"table = pd.concat([{', '.join(names)}], ignore_index=True)")
    code = program(turn.asked.model_name, lines, edit_names=turn.asked.edit_names)
    place.said.append(turn_finding(turn))  # it is shown with the turn
    place.finish(code, pd.concat(tables, ignore_index=True))
