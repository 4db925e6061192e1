"""All methods on one fact, each apart from the others."""

from __future__ import annotations

import pandas as pd
import streamlit as st

import core
from app.charts.edits import method_chart
from app.findings.edits import comparison_finding
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.navigation import EDIT
from app.shell.related import related
from app.shell.state import Request
from app.words import visible
from app.work.job import Job, OnStep
from app.work.sessions import begin, running

COMPARISON = "comparison"  # in the session: what was compared, and the table


def comparison_cell(number: int, request: Request) -> None:
    """All methods on the same fact, each apart from the others."""
    place = cell(
        number,
        "All methods on this fact",
        "Each method edits the original model on its own, with its defaults: does it say the "
        "target, also when asked otherwise, and do other prompts keep their answers?",
        key="comparison",
        original=True,
    )
    place.controls.button(
        "Compare all methods",
        key="compare_methods",
        on_click=start_comparison,
        args=(request,),
        disabled=running(EDIT) is not None,
    )
    about, table = st.session_state.get(COMPARISON, (None, None))
    if about != asked(request):
        place.picture.caption("Press the button: each method takes from a moment to minutes.")
        return
    place.show(
        comparison_finding(table, request.target),
        method_chart(table, dark=is_dark()),
        "Bar chart of what each method reaches",
        fit=False,
    )
    place.picture.dataframe(
        comparison_rows(table), hide_index=True, height=38 + 36 * len(table), key="comparison_rows"
    )
    subject = "" if request.subject is None else ", subject=subject"
    place.finish(
        code_lines(request, f"table, made = compare_methods(model, prompt, target{subject})"), table
    )


def asked(request: Request) -> tuple[str, str, str, str | None]:
    return request.model_name, request.prompt, request.target, request.subject


def start_comparison(request: Request) -> None:
    """For the button's callback."""
    around = related(request.prompt, request.subject)

    def work(on_step: OnStep) -> pd.DataFrame:
        table, _ = core.compare_methods(
            request.model,
            request.prompt,
            request.target,
            subject=request.subject,
            paraphrases=around.paraphrases,
            neighbours=around.neighbours,
            unrelated=around.unrelated,
            on_step=on_step,
        )
        return table

    def keep(table: pd.DataFrame) -> None:
        st.session_state[COMPARISON] = (asked(request), table)

    title, lock = "Comparing the methods", request.model.lock
    begin(EDIT, Job(title, work, unit="method", lock=lock, deliver=keep))


def comparison_rows(table: pd.DataFrame) -> pd.DataFrame:
    percent = "{:.0%}".format

    def share(values: pd.Series) -> pd.Series:
        return values.map(lambda v: "–" if pd.isna(v) else percent(v))

    return pd.DataFrame(
        {
            "Method": table["title"],
            "Says the target": table["works"].map({True: "✓ yes", False: "✗ no"}),
            "Answer": table["answer"].map(lambda t: "–" if pd.isna(t) else visible(t)),
            "Target": share(table["target_probability"]),
            "Paraphrases": share(table["paraphrases"]),
            "Others keep their answer": share(table["kept"]),
            "Seconds": table["seconds"].map(lambda v: "–" if pd.isna(v) else f"{v:.2f}"),
            "Size": table["bytes"].map(lambda v: "–" if pd.isna(v) else f"{v / 1e3:,.0f} kB"),
            "Problem": table["problem"],
        }
    )
