"""The studies that come with the app, and what of the paper holds in a study."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary

import pandas as pd
import streamlit as st

import core
from app.findings.studies import claims_finding
from app.notebook.cell import cell
from app.words import plain
from core.studies.measured import measured_claims
from core.studies.shipped import shipped_measures

KEY = "shipped:"  # of a shipped study's key, before its model's name
MARKS = {"holds": "✓ holds", "in part": "◐ in part", "fails": "✗ fails", "unknown": "–"}


@st.cache_resource(show_spinner=False)
def shipped() -> dict[str, core.Study]:
    """The shipped studies by their keys, read once for all visitors."""
    return {f"{KEY}{name}": study for name, study in core.shipped_studies().items()}


@st.cache_resource(show_spinner=False)
def measures() -> dict[str, dict[str, float]]:
    return shipped_measures()


def is_shipped(study: core.Study) -> bool:
    return any(study is one for one in shipped().values())


def shown_at_first(own: Mapping[str, core.Study], model: str) -> list[str]:
    """Which studies the page opens on: this session's; else the chosen model's shipped one; else
    all that are shipped."""
    if own:
        return list(own)
    key = f"{KEY}{model}"
    return [key] if key in shipped() else list(shipped())


def described_shipped(study: core.Study) -> str:
    """Where a shipped study comes from, in a sentence or two."""
    header = study.header
    return (
        f"{header.model}: made with Backward Lens, {header.counted} CounterFact records, seed "
        f"{header.seed}. The model answered {header.correct} of them correctly before any change."
    )


def shipped_code(study: core.Study, table: str) -> str:
    """Python that gives a shipped study's table."""
    return "\n".join(
        [
            "from core import shipped_studies",
            "",
            f'result = shipped_studies()["{study.header.model}"]',
            f"table = result.{table}",
        ]
    )


_verdicts: WeakKeyDictionary[core.Study, dict[str, pd.DataFrame]] = WeakKeyDictionary()


def claims_of(study: core.Study, answered: str) -> pd.DataFrame:
    """A study's verdicts, judged once; a shipped one's with what was measured apart from it."""
    known = _verdicts.setdefault(study, {})
    if answered not in known:
        table = core.claims(study, answered=answered)
        if is_shipped(study):
            own = measured_claims(measures().get(study.header.model, {}))
            table = pd.concat([table, own], ignore_index=True)
        known[answered] = table
    return known[answered]


def claims_cell(number: int, main: core.Study, answered: str) -> None:
    """Each claim in a line, for the main study and the shipped ones beside it."""
    place = cell(
        number,
        "What of the paper holds?",
        "Each line is a claim of the paper: ✓ it holds, ◐ in part, ✗ it fails, with what was "
        "found, and beside it the verdict of every other study.",
        key="study_claims",
        original=True,
    )
    others = [study for study in shipped().values() if study is not main]
    names = [main.header.model, *(f"{study.header.model} (shipped)" for study in others)]
    tables = [claims_of(study, answered) for study in (main, *others)]
    place.say(claims_finding(main.header.model, tables[0]))
    place.picture.markdown(claims_markdown(names, tables))
    if others:
        with place.controls.expander("What was found in every study"):
            st.markdown(claims_markdown(names, tables, every_figure=True))
    with place.controls.expander("When does a claim hold?"):
        longest = max(tables, key=len)
        st.markdown(
            "\n".join(f"- {plain(r.claim)}: *{plain(r.takes)}*" for r in longest.itertuples())
        )
    everything = pd.concat(
        [table.assign(study=name) for name, table in zip(names, tables, strict=True)]
    )
    place.finish(claims_code(main), everything)


def claims_code(study: core.Study) -> str:
    if is_shipped(study):
        first = shipped_code(study, "norms").rpartition("\n")[0]
    else:
        first = 'from core import Study\n\nresult = Study.load("study.zip")  # downloaded below'
    imported = first.replace("from core import ", "from core import claims, ")
    return f"{imported}\ntable = claims(result)"


def claims_markdown(
    names: list[str], tables: list[pd.DataFrame], *, every_figure: bool = False
) -> str:
    """A row a claim, in the order of the longest table; "–" where a study was not asked.

    What was found is said of the first study; of the others with `every_figure`.
    """
    longest = max(tables, key=len)
    by_name = [table.set_index("name") for table in tables]
    head = ["Claim", "In the paper", *map(plain, names)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in longest.itertuples():
        found = [
            verdict_of(table, row.name, figure=every_figure or i == 0)
            for i, table in enumerate(by_name)
        ]
        lines.append("| " + " | ".join([plain(row.claim), plain(row.source), *found]) + " |")
    return "\n".join(lines)


def verdict_of(table: pd.DataFrame, name: str, *, figure: bool) -> str:
    """A mark and a word, and what was found; the table is indexed by the claims' names."""
    if name not in table.index:
        return "–"
    mark = MARKS[table.verdict[name]]
    return f"**{mark}**: {plain(table.figure[name])}" if figure else mark
