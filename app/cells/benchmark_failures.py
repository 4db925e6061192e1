"""Where a method failed, in words, and the way to each fact on the Edit page."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

import core
from app.cells.benchmark_table import METHOD
from app.cells.edit_form import METHOD_TITLES, STRENGTHS
from app.cells.shipped_benchmarks import result_code
from app.findings.benchmark import failures_finding
from app.notebook.cell import Cell, cell
from app.notebook.code import literal
from app.notebook.live import LEADS_TO
from app.shell.history import Asked, back_to
from app.shell.navigation import page_at
from app.shell.state import chosen_key, chosen_model
from app.words import code_span
from app.workshop.visit import page_is_open, pinned_model
from core.benchmarking.specs import parse_spec, title_of

SHOWN = 10
WORDS = {  # what stands around the prompt that was asked, and the answer that was wanted
    "rewrite": ("Asked for the fact, ", "it should say"),
    "paraphrase": ("Asked in other words, ", "it should say"),
    "neighbour": ("Asked about something else, ", "it should still say"),
    "negation": ("Told that it is not so, ", "it should not say"),
    "reversed": ("Asked the other way round, ", "it should say"),
}


def failures_cell(number: int, key: str, benchmark: core.Benchmark) -> None:
    place = cell(
        number,
        "Where did it fail?",
        "The records at which a method did worst, each with its worst answer. Open one on the Edit "
        "page to make the edit yourself and look inside.",
        key="benchmark_failures",
        original=True,
    )
    specs = list(benchmark.header.methods)
    if st.session_state.get(METHOD) not in specs:
        st.session_state.pop(METHOD, None)
    method = place.controls.selectbox("Method", specs, format_func=title_of, key=METHOD)
    table = benchmark.failures(method, count=SHOWN)
    records = benchmark.table.set_index("method")["records"].get(method, 0)
    place.say(failures_finding(title_of(method), table, int(records)))
    for index, row in table.reset_index(drop=True).iterrows():
        draw_failure(place, f"{key}_{method}_{index}", benchmark.header.model, method, row)
    if len(table):
        whole_text(place, table)
    place.finish(result_code(benchmark, f"failures({literal(method)}, count={SHOWN})"), table)


def draw_failure(place: Cell, key: str, model: str, method: str, row: pd.Series) -> None:
    line = place.picture.container(horizontal=True, vertical_alignment="center", gap="small")
    line.markdown(in_words(row), width="stretch")
    if page_is_open(page_at("edit").path) and pinned_model() in ("", None, model):
        line.button(
            "Open on Edit",
            key=f"open_failure_{key}",
            on_click=partial(open_on_edit, model, method, row.to_dict()),
            help="Puts the prompt, the subject, the target and the method there.",
        )


def in_words(row: pd.Series) -> str:
    """ "Asked in other words, “…”, it should say “…”; it says “…”." """
    before, wanted = WORDS.get(row["kind"], WORDS["rewrite"])
    fact = f"{code_span(row['prompt'])} → {code_span(row['target_new'])}"
    return (
        f"**{fact}**  \n{before}{code_span(row['asked'])}, {wanted} {code_span(row['wanted'])}; it "
        f"says {code_span(row['said'])}."
    )


def whole_text(place: Cell, table: pd.DataFrame) -> None:
    """What the edited model writes by itself after these prompts."""
    texts = [(row["prompt"], row["text"]) for _, row in table.iterrows() if row["text"]]
    if not texts:
        return
    with place.controls.expander("What the edited model writes by itself after these prompts"):
        for prompt, text in texts:
            st.markdown(f"{code_span(prompt)} {code_span(text)}")


def open_on_edit(model: str, method: str, failure: dict[str, object]) -> None:
    """The failed fact in the sidebar's fields, without other edits, and its method on the Edit
    page; for callbacks."""
    name = chosen_key() if model == chosen_model() else model
    subject = failure["subject"] if isinstance(failure["subject"], str) else None
    back_to(Asked(name, str(failure["prompt"]), str(failure["target_new"]), subject))
    base, settings = parse_spec(method)
    controls = {"edit_method": METHOD_TITLES[base]}
    if settings.get("eta") in STRENGTHS:
        controls["edit_how_strong"] = STRENGTHS[settings["eta"]]
    st.session_state[LEADS_TO] = (page_at("edit").script, controls)
