"""Benchmarks on disk: what a server that was killed left goes on, and nothing else stays."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import core
from app.shell import benchmark_jobs
from app.shell.benchmark_jobs import (
    Order,
    benchmark_job,
    is_kept,
    order_in,
    resume_benchmarks,
    so_far,
)
from app.shell.study_jobs import ORDER, RECORDS, SO_FAR, Home
from app.work.sessions import linked
from core.studies.counterfact import MINI_COUNTERFACT

WAIT = 120
SHIFT = "forward-shift:eta=fixed"
KEPT = Order("tiny-gpt2", "mini.json", (SHIFT,), 3, 5, False, True, "token-of-kept")


@pytest.fixture
def own_home(monkeypatch, tmp_path):
    """A server's folder for each call; the one before it has ended."""
    made: list[Home] = []

    def server() -> Home:
        if made:
            made[-1].close()
        made.append(Home(tmp_path, is_kept))
        return made[-1]

    monkeypatch.setattr(benchmark_jobs, "home", lambda: made[-1])
    yield server
    made[-1].close()


def records() -> core.Records:
    return core.load_counterfact(MINI_COUNTERFACT)


def left_behind(home: Home, order: Order) -> Path:
    """A benchmark's folder as a killed server leaves it, before its first record."""
    folder = home.folder / order.token
    benchmark_jobs.note(folder, order, records())
    return folder


def test_a_kept_benchmark_goes_on_from_its_last_row(own_home):
    folder = left_behind(own_home(), KEPT)

    def killed(done: int, total: int) -> None:
        if done == 4:
            raise core.Cancelled

    with pytest.raises(core.Cancelled):
        core.benchmark(
            core.load_model("tiny-gpt2"),
            records(),
            methods=KEPT.methods,
            limit=KEPT.limit,
            seed=KEPT.seed,
            generate=KEPT.generate,
            save_to=folder / SO_FAR,
            on_step=killed,
            turn_tokens=benchmark_jobs.SHORT_TURNS,
        )
    own_home()
    (job,) = resume_benchmarks()
    assert len(so_far(KEPT.token).rows) >= 4
    job.thread.join(WAIT)
    assert job.error == ""
    assert linked().get(KEPT.token) is job
    assert job.moments[0][1] == 4, "two records are there, of two rows each"
    made = job.result
    assert made.finished
    assert len(made.rows) == job.done == job.total == 6
    assert made.header.model == "tiny-gpt2"
    job.clean_up()
    assert not (benchmark_jobs.home().folder / KEPT.token).exists()


def test_a_cancelled_benchmark_gives_what_it_has(own_home):
    own_home()
    order = replace(KEPT, keep=False, token="short")
    job = benchmark_job(order, records)
    report, seen = job.report, []

    def until_the_first_record(done: int, total: int) -> None:
        seen.append(done)
        if done:
            job.cancelled.set()
        report(done, total)

    job.report = until_the_first_record
    job.start()
    job.thread.join(WAIT)
    assert job.error == ""
    assert len(job.result.rows) == 2
    assert not job.result.finished
    assert not (benchmark_jobs.home().folder / "short" / RECORDS).exists()


def test_one_that_is_cancelled_before_its_first_record_gives_nothing(own_home):
    own_home()
    job = benchmark_job(replace(KEPT, keep=False, token="nothing"), records)
    job.cancelled.set()
    job.start()
    job.thread.join(WAIT)
    assert job.ended_early
    assert (job.error, job.result) == ("", None)


def test_what_was_not_to_be_kept_is_deleted(own_home):
    old = own_home()
    left_behind(old, replace(KEPT, keep=False, token="not-kept"))
    (old.folder / "odd").mkdir()
    assert own_home().taken == []
    assert not old.folder.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not JSON",
        json.dumps(asdict(KEPT) | {"limit": "many"}),
        json.dumps(asdict(KEPT) | {"methods": [1]}),
        json.dumps(asdict(KEPT) | {"methods": []}),
        json.dumps(asdict(KEPT) | {"methods": None}),
        json.dumps(asdict(KEPT) | {"token": "another"}),
        json.dumps(asdict(KEPT) | {"more": 1}),
    ],
)
def test_a_damaged_order_is_deleted(own_home, text):
    old = own_home()
    folder = left_behind(old, KEPT)
    (folder / ORDER).write_text(text)
    assert own_home().taken == []
    assert not old.folder.exists()


def test_an_order_is_the_same_when_it_is_read_again(own_home):
    assert order_in(left_behind(own_home(), KEPT)) == KEPT
