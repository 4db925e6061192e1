"""Benchmarks as long work: like studies, their rows are on disk as they are made.

One that its visitor wants to go on without him is taken over by the next server that starts here,
under the same link, from its last row.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

import core
from app.shell.models import load
from app.shell.study_jobs import ORDER, RECORDS, SO_FAR, Home, home_of, note, reader
from app.work.job import Job, OnStep
from app.work.memory import keep
from app.work.sessions import linked

BENCHMARKS = "benchmarks"  # in the session: token or upload id -> Benchmark, the newest last
MOST_BENCHMARKS = 6
SHORT_TURNS = 256  # tokens of a pass: about a second of a small network, for which others wait


def known_benchmarks() -> dict[str, core.Benchmark]:
    """This session's benchmarks."""
    return st.session_state.setdefault(BENCHMARKS, {})


def keep_benchmark(key: str, benchmark: core.Benchmark) -> None:
    """Put a benchmark with the session's; raises MemoryFullError where there is no room for it."""
    others = {name: one for name, one in known_benchmarks().items() if name != key}
    keep(BENCHMARKS, dict(list((others | {key: benchmark}).items())[-MOST_BENCHMARKS:]))


@dataclass(frozen=True)
class Order:
    """What a benchmark is of."""

    model: str  # a `model_key`
    records: str  # the file's name
    methods: tuple[str, ...]  # their specs
    limit: int
    seed: int
    generate: bool
    keep: bool  # whether it goes on when its visitor has left, and when the server has ended
    token: str


def order_in(folder: Path) -> Order | None:
    """The order that a benchmark's folder holds; None where it is damaged or not there."""
    try:
        said = json.loads((folder / ORDER).read_text(encoding="utf-8"))
        order = Order(**(said | {"methods": tuple(said["methods"])}))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    types = (str, str, tuple, int, int, bool, bool, str)
    right = all(isinstance(v, t) for v, t in zip(asdict(order).values(), types, strict=True))
    known = right and order.methods and all(isinstance(name, str) for name in order.methods)
    return order if known and order.token == folder.name else None


def is_kept(folder: Path) -> bool:
    order = order_in(folder)
    return order is not None and order.keep


@st.cache_resource(show_spinner=False)
def home() -> Home:
    return home_of("benchmarks", is_kept)


def so_far(token: str) -> core.Benchmark | None:
    """The rows that a running benchmark has made; None where there is none yet."""
    return what_there_is(home().folder / token / SO_FAR)


def benchmark_job(order: Order, read: Callable[[], core.Records]) -> Job:
    """A job that makes the benchmark, and goes on with what its folder holds.

    It takes small turns on the model, so that other visitors are not held up. `read` gives the
    records, in the job's own thread.
    """
    folder = home().folder / order.token

    def work(on_step: OnStep) -> core.Benchmark | None:
        records, model = read(), load(order.model)
        job.lock = model.lock
        note(folder, order, records)
        try:
            return core.benchmark(
                model,
                records,
                methods=order.methods,
                limit=order.limit,
                seed=order.seed,
                generate=order.generate,
                save_to=folder / SO_FAR,
                on_step=on_step,
                turn_tokens=SHORT_TURNS,
            )
        except core.Cancelled:
            return what_there_is(folder / SO_FAR)

    job = Job(
        f"Benchmark of {order.records}",
        work,
        unit="row",
        keep=order.keep,
        deliver=lambda made: keep_benchmark(order.token, made),
        clean_up=lambda: shutil.rmtree(folder, ignore_errors=True),
        token=order.token,
    )
    return job


def what_there_is(folder: Path) -> core.Benchmark | None:
    """What a benchmark that was cancelled has made; None before its first record."""
    try:
        made = core.Benchmark.load(folder)
    except core.PromptError:
        return None
    return made if len(made.rows) else None


def resume_benchmarks() -> list[Job]:
    """Go on with the benchmarks of a server that has ended; for the start of this one."""
    jobs = []
    for folder in home().taken:
        order = order_in(folder)
        job = benchmark_job(order, reader(folder / RECORDS, order.records))
        job.person = order.token
        linked().add(job)
        job.start()
        jobs.append(job)
    home().taken.clear()
    return jobs
