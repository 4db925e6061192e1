"""Asking the original and the edited model: several prompts at once, in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import core
from app.cells.conversation import suggestions
from app.cells.turns import Asked
from app.findings.answers import table_finding
from app.notebook.cell import Cell, cell
from app.notebook.code import literal, program
from app.shell.ledger import Entry
from app.shell.navigation import ASK_ALL
from app.shell.state import prompt_problem
from app.words import percent, visible
from app.work.job import Job, OnStep
from app.work.panel import outcome, show
from app.work.sessions import begin, running

# In the session: the table's rows as they are typed and kept, and the answers.
ROWS, BASE, KEPT, RESULT = "ask_rows", "ask_rows_base", "ask_rows_kept", "ask_result"
MOST_ROWS = 20


@dataclass
class TableAnswers:
    """What “Ask all” found, row by row; `total` rows were asked for."""

    asked: Asked
    total: int
    rows: list[dict[str, object]] = field(default_factory=list)


def table_cell(model: core.LanguageModel, active: Sequence[Entry]) -> None:
    """Prompts in a table, asked together."""
    place = cell(
        2,
        "Several prompts at once",
        f"Write one prompt a row, at most {MOST_ROWS}, and press “Ask all”. The table below then "
        "shows the most probable next token of each model, and which answers differ.",
        key="ask_table",
    )
    prompts = prompt_rows(place.picture, active)
    if len(prompts) > MOST_ROWS:
        place.picture.warning(
            f"The table has {len(prompts)} rows; the first {MOST_ROWS} are asked. "
            "The others stay here."
        )
    busy = running(ASK_ALL) is not None
    clicked = place.picture.button(
        "Ask all", type="primary", key="ask_all", disabled=busy or not prompts
    )
    if clicked:
        ask_all(model, active, prompts[:MOST_ROWS])
    if running(ASK_ALL):
        with place.controls:
            show(ASK_ALL)
        return
    with place.controls:
        outcome(ASK_ALL, "Cancelled.")
    result: TableAnswers | None = st.session_state.get(RESULT)
    if result is not None and result.rows:
        show_result(place, result, Asked.now(active))


def prompt_rows(place: DeltaGenerator, active: Sequence[Entry]) -> list[str]:
    """The editable table. What was typed outlives a visit to another page, as its new beginning."""
    if ROWS not in st.session_state:
        kept = st.session_state.get(KEPT)
        st.session_state[BASE] = suggestions(active)[:3] if kept is None else kept
    table = place.data_editor(
        pd.DataFrame({"Prompt": pd.Series(st.session_state[BASE], dtype="str")}),
        column_config={"Prompt": st.column_config.TextColumn("Prompt", width="large")},
        num_rows="dynamic",
        hide_index=True,
        key=ROWS,
        alt="The prompts to ask, one a row",
    )
    prompts = ["" if pd.isna(text) else str(text) for text in table["Prompt"]]
    st.session_state[KEPT] = prompts
    return prompts


def ask_all(model: core.LanguageModel, active: Sequence[Entry], prompts: Sequence[str]) -> None:
    """Ask row by row; what is found stays where the job is cancelled."""
    result = TableAnswers(Asked.now(active), len(prompts))
    st.session_state[RESULT] = result
    edits = [entry.edit for entry in active]

    def work(on_step: OnStep) -> None:
        for done, prompt in enumerate(prompts, 1):
            result.rows.append(ask_row(model, edits, prompt))
            on_step(done, len(prompts))

    begin(ASK_ALL, Job("Asking", work, unit="prompt", total=len(prompts), lock=model.lock))


def ask_row(
    model: core.LanguageModel, edits: Sequence[core.Edit], prompt: str
) -> dict[str, object]:
    """prompt; answer and probability of the original and, if there are edits, of the edited
    model; changed; problem: why it could not be asked, or empty."""
    row: dict[str, object] = {"prompt": prompt}
    problem = prompt_problem(model, prompt)
    try:
        if not problem:
            row |= named("original", core.answers(model, prompt, top_k=1))
        if not problem and edits:
            row |= named("edited", core.answers(model, prompt, edits=edits, top_k=1))
            row["changed"] = row["original_answer"] != row["edited_answer"]
    except core.BackwardLensError as error:
        problem = str(error)
    return row | {"problem": problem}


def named(name: str, answers: pd.DataFrame) -> dict[str, object]:
    first = answers.iloc[0]
    return {f"{name}_answer": first["token"], f"{name}_probability": float(first["probability"])}


def show_result(place: Cell, result: TableAnswers, now: Asked) -> None:
    """The finding, the answers beside each other, and the code."""
    edits = bool(result.asked.edit_ids)
    columns = ["prompt", "original_answer", "original_probability"]
    columns += ["edited_answer", "edited_probability", "changed"] if edits else []
    table = pd.DataFrame(result.rows).reindex(columns=[*columns, "problem"])
    place.say(table_finding(result.rows, result.total, edits=edits), place.controls)
    if not result.asked.same(now):
        place.controls.caption(
            "The model or its edits have changed since. Press “Ask all” to ask again."
        )
    place.controls.dataframe(
        shown_table(result.rows, edits),
        hide_index=True,
        column_config={"Prompt": st.column_config.TextColumn(width="medium")},
        alt="Each prompt with the answer of the original and of the edited model",
    )
    good = [row["prompt"] for row in result.rows if not row["problem"]]
    asked = result.asked
    code = program(asked.model_name, table_lines(good, edits), edit_names=asked.edit_names)
    place.finish(code, table)


def shown_table(rows: Sequence[dict[str, object]], edits: bool) -> pd.DataFrame:
    """The answers in words; the last column has a mark besides its words."""
    shown = []
    for row in rows:
        line = {"Prompt": row["prompt"]}
        for name, title in (("original", "Original"), ("edited", "With your edits")):
            if name == "original" or edits:
                known = f"{name}_answer" in row
                line[title] = visible(str(row[f"{name}_answer"])) if known else "–"
                line[f"{title}: how sure"] = percent(row[f"{name}_probability"]) if known else "–"
        line["Result"] = result_words(row)
        shown.append(line)
    return pd.DataFrame(shown)


def result_words(row: dict[str, object]) -> str:
    if row["problem"]:
        return f"⚠ {row['problem']}"
    if "changed" not in row:
        return "asked without edits"
    return "≠ changed" if row["changed"] else "= the same"


def table_lines(prompts: Sequence[str], edits: bool) -> list[str]:
    lines = ["prompts = [", *(f"    {literal(prompt)}," for prompt in prompts), "]"]
    lines += [
        "original = [answers(model, prompt, top_k=1).iloc[0] for prompt in prompts]",
        'table = pd.DataFrame({"prompt": prompts})',
        'table["original_answer"] = [row["token"] for row in original]',
        'table["original_probability"] = [row["probability"] for row in original]',
    ]
    if edits:
        lines += [
            "edited = [answers(model, p, edits=edits, top_k=1).iloc[0] for p in prompts]",
            'table["edited_answer"] = [row["token"] for row in edited]',
            'table["edited_probability"] = [row["probability"] for row in edited]',
            'table["changed"] = table["original_answer"] != table["edited_answer"]',
        ]
    return lines
