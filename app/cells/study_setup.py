"""Choosing records, starting a study, and watching it."""

from __future__ import annotations

import secrets
from pathlib import Path

import streamlit as st

import core
from app.cells.controls import choice
from app.cells.own_preview import preview, problems
from app.cells.own_prompts import WAY, Own, own_prompts
from app.settings import record_files
from app.shell.models import short_name
from app.shell.navigation import STUDY
from app.shell.state import chosen_key, chosen_model
from app.shell.study_jobs import Order, known_studies, study_job
from app.words import plain
from app.work.job import Job
from app.work.panel import show
from app.work.results import shared
from app.work.sessions import begin, current, running
from app.work.turnstile import leave
from app.workshop import limits
from core.studies.counterfact import MINI_COUNTERFACT
from core.studies.prompts import COUNTERFACT_TYPES

SOURCES = {
    "builtin": "Built-in facts",
    "upload": "Your own prompts",
    "server": "A file on this server",
}
SOURCE = "records_source"
USUAL_NUMBER = 100  # of facts in a study; of one's own prompts all


def setup(open_at_first: bool) -> bool:
    """The form, or the progress of the running study; whether one runs."""
    job = current(STUDY)
    if job is not None and job.running:
        show(STUDY)
        return True
    if job is not None and job.error:
        st.error(plain(job.error))
    # On a page that a link has just opened, the control has said nothing yet; the link has.
    source = st.session_state.get(SOURCE) or st.query_params.get(SOURCE)
    own = source in ("upload", SOURCES["upload"])
    opened = open_at_first or (own and not known_studies())
    with st.expander("Choose prompts and start a study", expanded=opened):
        records = choose_records()
        if records is not None:
            facts = records.name.lower().endswith(COUNTERFACT_TYPES)
            start_form(records, USUAL_NUMBER if facts else len(records))
    return False


def choose_records() -> core.Records | None:
    sources = [name for name in SOURCES if name != "server" or record_files()]
    source = choice(
        st,
        "Prompts",
        SOURCES,
        SOURCE,
        among=sources,
        default="builtin",
        help="The built-in facts are CounterFact's kind: a prompt, its subject, its true answer, "
        "and another target to learn. Your own come from a spreadsheet, or are typed here.",
    )
    try:
        if source == "upload":
            return understood(own_prompts())
        records = server_file() if source == "server" else built_in()
    except core.BackwardLensError as error:
        st.error(plain(str(error)))
        return None
    describe(records)
    return records


def understood(own: Own | None) -> core.Records | None:
    """The records of what was given, once it is shown what was understood."""
    if isinstance(own, core.PromptTable):
        preview(own, rows=st.session_state.get(WAY) != "table")
        return own.records
    if own is not None:
        describe(own)
    return own


def server_file() -> core.Records:
    files = record_files()
    name = st.selectbox("File", [f.name for f in files], key="records_server_file")
    path = next(f for f in files if f.name == name)
    return from_server((str(path), path.stat().st_mtime), None)


@shared("Reading the records …")
def from_server(asked: tuple[str, float], _given: None) -> core.Records:
    """The records of a file by its path and when it was changed."""
    leave()
    return core.load_counterfact(Path(asked[0]))


@st.cache_resource(show_spinner=False)
def built_in() -> core.Records:
    return core.load_counterfact(MINI_COUNTERFACT)


def describe(records: core.Records) -> None:
    """How many records there are, and what was skipped and why."""
    st.caption(plain(f"{records.name}: {len(records):,} records."))
    problems(records, "Record")


def start_form(records: core.Records, usual: int) -> None:
    """How many of the records, at first the usual number, and the start."""
    most = min(len(records), limits.study_records())
    row = st.columns([2, 2, 4], vertical_alignment="bottom", gap="medium")
    limit = row[0].number_input(
        f"How many (1 to {most:,})", 1, most, min(usual, most), key=f"study_limit_{most}"
    )
    seed = row[1].number_input(
        "Seed",
        0,
        10**6,
        0,
        key="study_seed",
        help="The records are drawn at random; the same seed draws the same ones.",
    )
    keep = row[2].checkbox(
        "Go on when I close this tab",
        key="study_keep",
        help="Otherwise the study is cancelled when the tab is closed.",
    )
    name = chosen_model()
    if st.button(f"Start with {plain(short_name(name))}", type="primary", key="start_study"):
        start_study(chosen_key(), records, int(limit), int(seed), keep)
        st.rerun()


def start_study(model: str, records: core.Records, limit: int, seed: int, keep: bool) -> Job:
    """Begin a study for this session with a model (its key), unless one is running already."""
    known = running(STUDY)
    if known is not None:
        return known
    order = Order(model, records.name, limit, seed, keep, secrets.token_urlsafe(9))
    job = study_job(order, lambda: records, min(limit, len(records)))
    return begin(STUDY, job, link=True, quick=0)
