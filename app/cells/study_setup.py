"""Choosing records, starting a study, and watching it."""

from __future__ import annotations

import secrets
from pathlib import Path

import streamlit as st

import core
from app.cells.controls import choice
from app.settings import record_files
from app.shell.models import short_name
from app.shell.navigation import STUDY
from app.shell.state import chosen_key, chosen_model
from app.shell.study_jobs import Order, study_job
from app.words import plain
from app.work.job import Job
from app.work.memory import keep
from app.work.panel import show
from app.work.results import shared
from app.work.sessions import begin, current, running
from app.work.turnstile import leave
from app.workshop import limits
from core.studies.counterfact import MINI_COUNTERFACT

SOURCES = {"builtin": "Built-in facts", "upload": "Your file", "server": "A file on this server"}
UPLOADED = "uploaded_records"
SHOWN_PROBLEMS = 10


def setup(open_at_first: bool) -> bool:
    """The form, or the progress of the running study; whether one runs."""
    job = current(STUDY)
    if job is not None and job.running:
        show(STUDY)
        return True
    if job is not None and job.error:
        st.error(plain(job.error))
    with st.expander("Choose prompts and start a study", expanded=open_at_first):
        records = choose_records()
        if records is not None:
            start_form(records)
    return False


def choose_records() -> core.Records | None:
    sources = [name for name in SOURCES if name != "server" or record_files()]
    source = choice(
        st,
        "Records",
        SOURCES,
        "records_source",
        among=sources,
        default="builtin",
        bound=False,
        help="CounterFact records: a fact, its prompt and subject, and another target to learn.",
    )
    try:
        if source == "upload":
            records = uploaded()
        elif source == "server":
            records = server_file()
        else:
            records = built_in()
    except core.BackwardLensError as error:
        st.error(plain(str(error)))
        return None
    if records is not None:
        describe(records)
    return records


def uploaded() -> core.Records | None:
    """The uploaded file's records, kept while the visitor is on other pages."""
    file = st.file_uploader(
        "A CounterFact or EasyEdit file, JSON or JSONL",
        type=["json", "jsonl"],
        key="records_file",
    )
    kept = st.session_state.get(UPLOADED)
    if file is not None and (kept is None or kept[0] != file.file_id):
        kept = (file.file_id, core.load_counterfact(file, name=file.name))
        keep(UPLOADED, kept)
    return kept[1] if kept else None


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
    if not records.skipped:
        return
    n = len(records.skipped)
    st.warning(
        f"{n:,} records cannot be used and are skipped."
        if n > 1
        else "1 record cannot be used and is skipped."
    )
    lines = [f"- Record {index}: {plain(why)}" for index, why in records.skipped[:SHOWN_PROBLEMS]]
    if n > SHOWN_PROBLEMS:
        lines.append(f"- and {n - SHOWN_PROBLEMS:,} more")
    st.markdown("\n".join(lines))


def start_form(records: core.Records) -> None:
    most = min(len(records), limits.study_records())
    row = st.columns([2, 2, 4], vertical_alignment="bottom", gap="medium")
    limit = row[0].number_input(
        f"How many (1 to {most:,})", 1, most, min(100, most), key=f"study_limit_{most}"
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
