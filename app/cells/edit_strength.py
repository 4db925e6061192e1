"""How strong an edit of each layer must be, and what that strength costs."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd
import streamlit as st

import core
from app.charts.strength import perplexity_by_layer, rate_by_layer
from app.findings.edit_strength import perplexity_finding, rates_finding
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.notebook.tables import Key, key
from app.shell.models import short_name
from app.shell.navigation import STRENGTH
from app.shell.state import Request
from app.words import code_span, plain
from app.work.job import Job, OnStep
from app.work.panel import outcome, show
from app.work.sessions import begin, current
from core.editing.edit_strength import STRENGTH_METHODS

TABLES = "strength_tables"  # in the session: what was asked -> table, the newest last
MOST_TABLES = 20


def key_of(request: Request) -> Key:
    """What a search is about, as the caches know it."""
    return key(request)[0]


def setup(request: Request) -> bool:
    """The start button, or the progress of the running search; whether one runs."""
    job = current(STRENGTH)
    if job is not None and job.running:
        if job.about != key_of(request):
            name, prompt, target, _ = job.about
            st.markdown(
                f"A search for {plain(short_name(name))}, {code_span(prompt)} → "
                f"{code_span(target)} is running; the next one can start when it has ended."
            )
        show(STRENGTH)
        return True
    if job is not None and job.about == key_of(request):
        outcome(STRENGTH, "The search was cancelled; nothing of it is kept.")
    if known_table(request) is None:
        n, methods = request.model.n_layers, len(STRENGTH_METHODS)
        st.button(
            f"Measure all {n} layers: {methods} methods × {n} layers = {methods * n} searches",
            type="primary",
            key="start_strength",
            on_click=start_search,
            args=(request,),
        )
        st.caption(
            "A search takes a tenth of a second on the small built-in models and several seconds "
            "on a large one. The time that is left is shown while it runs."
        )
    return False


def start_search(request: Request) -> None:
    """Begin for this request, unless a search is running already; for callbacks."""
    model, about = request.model, key_of(request)

    def work(on_step: OnStep) -> pd.DataFrame:
        prompt, target = request.prompt, request.target
        return core.edit_strength(model, prompt, target, on_step=on_step, edits=request.edits)

    steps = len(STRENGTH_METHODS) * model.n_layers
    keep = partial(keep_table, about)
    job = Job("Trying strengths", work, about, total=steps, lock=model.lock, deliver=keep)
    begin(STRENGTH, job)


def keep_table(about: Key, table: pd.DataFrame) -> None:
    tables = st.session_state.setdefault(TABLES, {})
    tables[about] = table
    while len(tables) > MOST_TABLES:
        tables.pop(next(iter(tables)))


def known_table(request: Request) -> pd.DataFrame | None:
    """What was measured in this session for exactly this model, prompt, target and edits."""
    return st.session_state.get(TABLES, {}).get(key_of(request))


def rates_cell(number: int, request: Request, table: pd.DataFrame) -> None:
    place = cell(
        number,
        "The smallest step that is enough",
        "Each dot: the smallest rate at which a change of this layer's FF2 alone makes the model "
        "say the target; lower is easier. The methods' rates have different units, so compare a "
        "line with itself, not with the others.",
        key="strength_rates",
    )
    target = request.model.target(request.prompt, request.target).token
    finding = rates_finding(table, target)
    if not (table["works"] & (table["rate"] > 0)).any():
        place.said.append(finding)
        place.picture.info(finding)
    else:
        place.show(
            finding,
            rate_by_layer(table, dark=is_dark()),
            "Line chart of the smallest rate that makes the target the answer, by layer, a line "
            "for each method",
            fit=True,
        )
    place.finish(strength_code(request), table)


def perplexity_cell(number: int, request: Request, table: pd.DataFrame) -> None:
    before = "the model with your edits" if request.entries else "the unedited model"
    place = cell(
        number,
        "What the step costs elsewhere",
        "How badly the model then predicts a short everyday text (perplexity, lower is better). "
        f"The dashed line is {before}: the distance from it is the side effect.",
        key="strength_perplexity",
    )
    shown = table[table["works"] & table["perplexity"].map(math.isfinite)]
    finding = perplexity_finding(table, before)
    if shown.empty:
        place.said.append(finding)
        place.picture.info(finding)
    else:
        place.show(
            finding,
            perplexity_by_layer(table, before, dark=is_dark()),
            "Line chart of the perplexity at the smallest rate by layer, a line for each method",
            fit=True,
        )
    place.controls.caption(
        "The built-in models have read little but short facts, so that any other text is very "
        "hard for them: their perplexity is high before any change."
    )
    place.finish(strength_code(request), table)


def strength_code(request: Request) -> str:
    return code_lines(request, "table = edit_strength(model, prompt, target)")
