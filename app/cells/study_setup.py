"""Choosing records, starting a study, and watching it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

import core
from app.shell.models import short_name
from app.shell.settings import STUDY_RECORDS, record_files
from app.shell.state import chosen_model
from app.words import duration, plain
from app.work.job import Job, session_job, start_study
from core.studies.counterfact import MINI_COUNTERFACT

SOURCES = {"builtin": "Built-in facts", "upload": "Your file", "server": "A file on this server"}
UPLOADED = "uploaded_records"
SHOWN_PROBLEMS = 10


def setup(open_at_first: bool) -> bool:
    """The form, or the progress of the running study with a button that ends it; whether one
    runs."""
    job = session_job()
    if job is not None and job.running:
        with st.container(border=True, key="cell_progress"):
            watch(job)
        return True
    if job is not None and job.error:
        st.error(plain(job.error))
    with st.expander("Choose prompts and start a study", expanded=open_at_first):
        records = choose_records()
        if records is not None:
            start_form(records)
    return False


@st.fragment(run_every=1.0)
def watch(job: Job) -> None:
    """Progress with the time that is left; the page starts anew when the study has ended."""
    session_job()
    if not job.running:
        st.rerun()
    st.markdown(f"**Running: {job.total} records of {plain(job.records.name)}**")
    st.progress(job.done / max(1, job.total), progress_text(job))
    if st.button("Cancel the study", key="cancel_study"):
        job.cancelled.set()
    if job.keep:
        st.caption(
            "You may use the other pages meanwhile, and close this tab: the study goes on, and "
            "this page's link finds it again."
        )
    else:
        st.caption(
            "You may use the other pages meanwhile. When you close this tab, the study is "
            "cancelled after 20 seconds."
        )


def progress_text(job: Job) -> str:
    if job.cancelled.is_set():
        return f"Ending after the record in hand: {job.done} of {job.total}"
    left = job.seconds_left
    estimate = "estimating the time …" if left is None else f"about {duration(left)} left"
    return f"{job.done} of {job.total} records, {estimate}"


def choose_records() -> core.Records | None:
    sources = [name for name in SOURCES if name != "server" or record_files()]
    source = st.segmented_control(
        "Records",
        sources,
        format_func=SOURCES.get,
        default="builtin",
        required=True,
        key="records_source",
        help="CounterFact records: a fact, its prompt and subject, and another target to learn.",
    )
    try:
        if source == "upload":
            records = uploaded()
        elif source == "server":
            records = server_file()
        else:
            records = built_in()
    except core.PromptError as error:
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
        st.session_state[UPLOADED] = kept
    return kept[1] if kept else None


def server_file() -> core.Records:
    files = record_files()
    name = st.selectbox("File", [f.name for f in files], key="records_server_file")
    path = next(f for f in files if f.name == name)
    return from_server(str(path), path.stat().st_mtime)


@st.cache_resource(max_entries=4, show_spinner="Reading the records …")
def from_server(path: str, changed: float) -> core.Records:
    return core.load_counterfact(Path(path))


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
    most = min(len(records), STUDY_RECORDS)
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
        start_study(name, records, int(limit), int(seed), keep)
        st.rerun()
