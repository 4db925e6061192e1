"""What was understood of a visitor's own prompts, before a study of them begins."""

from __future__ import annotations

import pandas as pd
import streamlit as st

import core
from app.findings.prompts import (
    columns_finding,
    fit_findings,
    groups_finding,
    missing_finding,
)
from app.shell.models import load, short_name
from app.shell.state import chosen_key, chosen_model
from app.words import joined, plain, shown_characters
from app.work.results import Key, shared
from app.workshop import limits
from core.studies.fitting import Fit, fit
from core.studies.prompt_rows import TITLES

SHOWN_ROWS, SHOWN_PROBLEMS = 5, 10


def preview(table: core.PromptTable, *, rows: bool) -> None:
    """The groups, the columns, the first rows unless they stand above already, and what cannot be
    used or was changed."""
    st.markdown(f"**{plain(groups_finding(len(table.records), table.groups))}**")
    known = f"{columns_finding(table.columns)} {missing_finding(table)}".strip()
    if known:
        st.caption(plain(known))
    if rows:
        show_rows(table.records)
    problems(table.records, "Row")
    key, most = chosen_key(), limits.study_records()
    made = fit_of((key, table.records.digest, most), table.records.records[:most])
    notes = [*table.notes, *fit_findings(made, short_name(chosen_model()))]
    if notes:
        st.markdown("\n".join(f"- {plain(note)}" for note in notes))


def show_rows(records: core.Records) -> None:
    st.dataframe(
        first_rows(records),
        hide_index=True,
        column_config={"Row": st.column_config.NumberColumn(width=60)},
        alt="The first prompts as they were understood",
    )
    more = len(records) - SHOWN_ROWS
    if more > 0:
        st.caption(f"… and {more:,} more.")


def first_rows(records: core.Records) -> pd.DataFrame:
    rows = [
        (r.case_id, r.prompt, r.target_new, r.subject or "", r.target_true or "", r.group)
        for r in records[:SHOWN_ROWS]
    ]
    table = pd.DataFrame(rows, columns=["Row", *TITLES.values()])
    texts = list(TITLES.values())
    table[texts] = table[texts].map(shown_characters)
    return table.loc[:, [name == "Row" or (table[name] != "").any() for name in table.columns]]


@shared("Looking at the targets …")
def fit_of(asked: Key, records: tuple[core.Record, ...]) -> Fit:
    """What a model, by its key, makes of the records of a digest."""
    return fit(load(str(asked[0])), records)


def problems(records: core.Records, word: str) -> None:
    """What was skipped and why, by number; of a long list the first numbers, the rest counted."""
    if not records.skipped:
        return
    n, thing = len(records.skipped), word.lower()
    st.warning(
        f"{n:,} {thing}s cannot be used and are skipped."
        if n > 1
        else f"1 {thing} cannot be used and is skipped."
    )
    by_reason: dict[str, list[str]] = {}
    for index, why in records.skipped[:SHOWN_PROBLEMS]:
        by_reason.setdefault(why, []).append(str(index))
    lines = [
        f"- {word}{'s' if len(numbers) > 1 else ''} {joined(numbers)}: {plain(why)}"
        for why, numbers in by_reason.items()
    ]
    if n > SHOWN_PROBLEMS:
        lines.append(f"- and {n - SHOWN_PROBLEMS:,} more")
    st.markdown("\n".join(lines))
