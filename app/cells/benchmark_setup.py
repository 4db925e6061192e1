"""Choosing records and methods, starting a benchmark, and watching it."""

from __future__ import annotations

import secrets
from dataclasses import replace

import streamlit as st

import core
from app.cells.edit_form import seconds
from app.cells.study_setup import choose_records
from app.shell.benchmark_jobs import Order, benchmark_job, keep_benchmark, so_far
from app.shell.models import load, short_name
from app.shell.navigation import BENCHMARK
from app.shell.state import chosen_key, chosen_model
from app.words import plain
from app.work.job import Job
from app.work.panel import show
from app.work.results import shared
from app.work.sessions import begin, current, running
from app.workshop import limits
from core.benchmarking.specs import parse_spec, title_of
from core.editing.comparison import Preflight

USUAL_NUMBER = 50
FIXED = "forward-shift:eta=fixed"  # the shift as the paper uses it
# Passes over the prompt that the questions to one variant of the model take, and its ten texts:
# about what was counted on the built-in models.
QUESTIONS, TEXTS = 50, 75
SO_FAR_PROBLEM = "benchmark_so_far_problem"


def specs() -> list[str]:
    """The methods that can be chosen, the paper's own way of the shift among them."""
    names = list(core.METHODS)
    return [*names[:1], FIXED, *names[1:]]


def setup(open_at_first: bool) -> bool:
    """The form, or the progress of the running benchmark; whether one runs."""
    job = current(BENCHMARK)
    if job is not None and job.running:
        show(BENCHMARK)
        st.button(
            "Show what is done so far",
            key="benchmark_so_far",
            on_click=show_so_far,
            args=(job.token,),
        )
        if st.session_state.get(SO_FAR_PROBLEM):
            st.info(plain(st.session_state.pop(SO_FAR_PROBLEM)))
        return True
    if job is not None and job.error:
        st.error(plain(job.error))
    elif job is not None and job.ended_early and job.result is None:
        st.info("Cancelled before the first record was done: there is nothing to show of it.")
    with st.expander("Choose records and methods and start a benchmark", expanded=open_at_first):
        records = choose_records()
        usable = None if records is None else facts(records)
        if usable is not None:
            start_form(usable)
    return False


def show_so_far(token: str) -> None:
    """The running benchmark's rows in place of its end; for callbacks."""
    found = so_far(token)
    if found is None:
        st.session_state[SO_FAR_PROBLEM] = "No record is done yet: the first one takes longest."
        return
    try:
        keep_benchmark(token, found)
    except core.BackwardLensError as error:
        st.session_state[SO_FAR_PROBLEM] = str(error)


def facts(records: core.Records) -> core.Records | None:
    """The records that a benchmark can judge: those with a subject and a true answer."""
    good = tuple(r for r in records if r.subject is not None and r.target_true is not None)
    if len(good) == len(records):
        return records
    left_out = len(records) - len(good)
    if not good:
        st.error(
            "A benchmark needs facts: each prompt with its subject and its true answer, so that "
            "what is rewritten can be told from what was right. None of these prompts has both."
        )
        return None
    st.caption(f"{left_out} without a subject or a true answer are left out.")
    return replace(records, records=good)


def start_form(records: core.Records) -> None:
    """Which methods, how many of the records, what it will take, and the start."""
    costs = {spec: cost(spec, records[0].prompt) for spec in specs()}
    able = [spec for spec, found in costs.items() if not isinstance(found, str)]
    methods = st.multiselect(
        "Methods",
        able,
        default=able,
        format_func=title_of,
        key=f"benchmark_methods_{len(able)}",
        placeholder="Choose at least one method",
    )
    for spec, found in costs.items():
        if isinstance(found, str):
            st.caption(plain(f"Not here: {title_of(spec)}. {found}"))
    most = min(len(records), limits.study_records())
    row = st.columns([2, 2, 2, 3], vertical_alignment="bottom", gap="medium")
    limit = row[0].number_input(
        f"How many (1 to {most:,})",
        1,
        most,
        min(USUAL_NUMBER, most),
        key=f"benchmark_limit_{most}",
    )
    seed = row[1].number_input(
        "Seed",
        0,
        10**6,
        0,
        key="benchmark_seed",
        help="The records are drawn at random; the same seed draws the same ones.",
    )
    generate = row[2].checkbox(
        "Write texts too",
        True,
        key="benchmark_generate",
        help="Each edited model also writes ten texts for each fact, for the n-gram entropy, which "
        "takes more than all questions.",
    )
    keep = row[3].checkbox(
        "Go on when I close this tab",
        key="benchmark_keep",
        help="Otherwise the benchmark is cancelled when the tab is closed.",
    )
    if methods:
        st.caption(plain(time_needed([costs[m] for m in methods], records[0], limit, generate)))
    name = chosen_model()
    if st.button(
        f"Start with {plain(short_name(name))}",
        type="primary",
        key="start_benchmark",
        disabled=not methods,
    ):
        order = Order(
            model=chosen_key(),
            records=records.name,
            methods=tuple(methods),
            limit=int(limit),
            seed=int(seed),
            generate=generate,
            keep=keep,
            token=secrets.token_urlsafe(9),
        )
        start_benchmark(order, records)
        st.rerun()


def cost(spec: str, prompt: str) -> Preflight | str:
    """What one edit will take, or why the method does not work on this model."""
    try:
        return timed((chosen_key(), prompt), None, spec)
    except core.BackwardLensError as error:
        return str(error)


@shared("Estimating …")
def timed(asked: tuple[str, str], _given: None, spec: str) -> Preflight:
    """asked: model and prompt."""
    method, settings = parse_spec(spec)
    return core.preflight(load(asked[0]), asked[1], method, **settings)


def time_needed(costs: list[Preflight], record: core.Record, limit: int, generate: bool) -> str:
    """A first guess, which says that it is one."""
    model = load(chosen_key())
    one_pass = core.preflight(model, record.prompt, "forward-shift").seconds / 3
    passes = (1 + len(costs)) * (QUESTIONS + (TEXTS if generate else 0))
    a_record = sum(found.seconds for found in costs) + passes * one_pass
    missing = sorted({layer for found in costs for layer in found.missing})
    first = ""
    if missing:
        first = (
            " Before that, second moments are computed once for this model: "
            f"{seconds(core.estimate_seconds(model, missing))}."
        )
    return (
        f"At a first guess {seconds(limit * a_record)} for {limit * (1 + len(costs)):,} rows (each "
        "record once unedited, and once with each method). The time that is left is measured as "
        f"soon as the first rows are done.{first}"
    )


def start_benchmark(order: Order, records: core.Records) -> Job:
    """Begin a benchmark for this session, unless one is running already."""
    known = running(BENCHMARK)
    if known is not None:
        return known
    return begin(BENCHMARK, benchmark_job(order, lambda: records), link=True, quick=0)
