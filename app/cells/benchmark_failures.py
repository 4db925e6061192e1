"""Where a method failed, in words, and the way to each fact on the Edit page."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

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
from app.words import code_span, plain
from app.workshop.visit import page_is_open, pinned_model
from core.benchmarking.specs import ORIGINAL, title_of

SHOWN, AT_FIRST = 10, 5
TITLE_WIDTH = 320  # pixels
WORDS = {  # what stands around the prompt that was asked, and the answer that was wanted
    "rewrite": ("Asked for the fact, ", "it should say"),
    "paraphrase": ("Asked in other words, ", "it should say"),
    "neighbour": ("Asked about something else, ", "it should still say"),
    "negation": ("Told that it is not so, ", ""),
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
    specs = [spec for spec in benchmark.methods if spec != ORIGINAL]
    if not specs:
        place.picture.info("No method has been measured yet.")
        return
    if st.session_state.get(METHOD) not in specs:
        st.session_state.pop(METHOD, None)
    method = place.picture.selectbox(
        "Method", specs, format_func=title_of, key=METHOD, width=TITLE_WIDTH
    )
    table = benchmark.failures(method, count=SHOWN)
    records = benchmark.table.set_index("method")["records"].get(method, 0)
    place.say(failures_finding(title_of(method), table, int(records)))
    for index, row in table.reset_index(drop=True).iterrows():
        if index == AT_FIRST:
            more = place.picture.expander(f"{len(table) - AT_FIRST} more")
        where = place.picture if index < AT_FIRST else more
        draw_failure(where, f"{key}_{method}_{index}", benchmark.header.model, method, row)
    if len(table):
        whole_text(place, table)
    place.finish(result_code(benchmark, f"failures({literal(method)}, count={SHOWN})"), table)


def draw_failure(where: DeltaGenerator, key: str, model: str, method: str, row: pd.Series) -> None:
    line = where.container(horizontal=True, vertical_alignment="center", gap="small")
    line.markdown(in_words(row), width="stretch")
    if can_open(model, method):
        line.button(
            "Open on Edit",
            key=f"open_failure_{key}",
            on_click=partial(open_on_edit, model, method, row.to_dict()),
            width="content",
            help="Puts the prompt, the subject, the target and the method there.",
        )


def can_open(model: str, method: str) -> bool:
    """Whether the Edit page is open here and has this method and this model."""
    known = method.partition(":")[0] in METHOD_TITLES
    return known and page_is_open(page_at("edit").path) and pinned_model() in ("", None, model)


def in_words(row: pd.Series) -> str:
    """ "Asked in other words, “…”, it should say “…”; it says “…”." """
    before, wanted = WORDS.get(row["kind"], WORDS["rewrite"])
    fact = f"“{plain(row['prompt'])}” → “{plain(row['target_new'])}”"
    question = " ".join(str(row["asked"]).split())  # CounterFact's may have empty lines in them
    asked = f"**{fact}**  \n{before}“{plain(question)}”, "
    if row["kind"] == "negation":
        said = f"{asked}it says {code_span(row['said'])} all the same."
    else:
        said = f"{asked}{wanted} {code_span(row['wanted'])}; it says {code_span(row['said'])}."
    return said + (f" No edit was found: {plain(row['problem'])}" if row["problem"] else "")


def whole_text(place: Cell, table: pd.DataFrame) -> None:
    """What the edited model writes by itself after these prompts."""
    texts = [(row["prompt"], row["text"]) for _, row in table.iterrows() if row["text"]]
    if not texts:
        return
    with place.controls.expander("What the edited model writes by itself after these prompts"):
        for prompt, text in texts:
            st.markdown(f"“{plain(prompt)}”: {plain(text)}")


def open_on_edit(model: str, method: str, failure: dict[str, object]) -> None:
    """The failed fact in the sidebar's fields, without other edits, and its method on the Edit
    page; for callbacks."""
    name = chosen_key() if model == chosen_model() else model
    subject = failure["subject"] if isinstance(failure["subject"], str) else None
    back_to(Asked(name, str(failure["prompt"]), str(failure["target_new"]), subject))
    base, _, settings = method.partition(":")
    controls = {"edit_method": METHOD_TITLES[base]}
    for name, title in STRENGTHS.items():
        if settings == f"eta={name}":
            controls["edit_how_strong"] = title
    st.session_state[LEADS_TO] = (page_at("edit").script, controls)
