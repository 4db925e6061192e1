"""A job: progress, time left, cancelling, errors, who is before it, and sessions that are lost."""

import threading
import time
from types import SimpleNamespace

import pytest

import core
from app.work import job as job_module
from app.work.job import BYTES, Job
from core.model.locks import FairLock, person

WAIT = 10


class Work:
    """Work of so many steps, each when the test allows it."""

    def __init__(self, steps: int = 8) -> None:
        self.allowed = threading.Semaphore(0)
        self.steps = steps
        self.fail_with: Exception | None = None

    def __call__(self, on_step) -> str:
        for done in range(1, self.steps + 1):
            assert self.allowed.acquire(timeout=WAIT)
            if self.fail_with:
                raise self.fail_with
            on_step(done, self.steps)
        return "made"


@pytest.fixture
def work(monkeypatch):
    monkeypatch.setattr(job_module, "GRACE", 0.05)
    steps = Work()
    yield steps
    steps.allowed.release(1000)  # whatever a test leaves behind ends by itself


def ended(job: Job) -> Job:
    job.thread.join(timeout=WAIT)
    assert job.over
    return job


def reached(job: Job, done: int) -> None:
    until = time.monotonic() + WAIT
    while job.done < done and time.monotonic() < until:
        time.sleep(0.002)
    assert job.done == done


# From start to end


def test_a_job_runs_to_its_end_and_says_how_far_it_is(work):
    job = Job("Study", work, unit="record", total=8)
    assert (job.running, job.over) == (False, False)
    job.start()
    assert (job.running, job.over) == (True, False)
    assert (job.done, job.share) == (0, 0.0)
    work.allowed.release(4)
    reached(job, 4)
    assert job.share == 0.5
    assert job.result is None
    work.allowed.release(4)
    assert ended(job).result == "made"
    assert (job.done, job.share, job.error, job.ended_early) == (8, 1.0, "", False)


def test_a_cancelled_job_ends_after_the_step_in_hand(work):
    job = Job("Study", work, unit="record")
    job.start()
    work.allowed.release(2)
    reached(job, 2)
    job.cancelled.set()
    assert job.progress == "2 of 8 records; ending after the record in hand"
    work.allowed.release(1)
    assert ended(job).ended_early
    assert (job.result, job.error, job.done) == (None, "", 3)


def test_work_may_keep_what_it_has_when_it_is_cancelled():
    def work(on_step):
        try:
            on_step(1, 2)
        except core.Cancelled:
            return "half"
        return "whole"

    job = Job("Study", work)
    job.cancelled.set()
    job.start()
    assert ended(job).result == "half"
    assert job.ended_early


def test_an_error_of_cores_is_its_sentence(work):
    work.fail_with = core.PromptError("The records do not fit. Choose others.")
    work.allowed.release(1)
    job = Job("Study", work)
    job.start()
    assert ended(job).error == "The records do not fit. Choose others."
    assert job.result is None


def test_any_other_error_is_a_sentence_and_the_operator_sees_the_reason(work, caplog):
    work.fail_with = RuntimeError("secret path /srv/x")
    work.allowed.release(1)
    job = Job("Study", work)
    job.start()
    assert ended(job).error.startswith("This failed unexpectedly. Try it again")
    assert "secret path" in caplog.text
    assert "Study failed" in caplog.text


def test_tokens_cannot_be_guessed():
    tokens = {Job("", print).token for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 12


# The time that is left


def timed(monkeypatch, moments, total=100, now=None) -> Job:
    """A job of which steps were reported at these moments; it is `now`, or the last of them."""
    clock = iter([*moments, *[moments[-1] if now is None else now] * 20])
    monkeypatch.setattr(job_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    job = Job("Study", print, unit="record")
    for done in range(1, len(moments) + 1):
        job.report(done, total)
    return job


def test_the_time_is_told_only_from_four_reports_on(monkeypatch):
    job = timed(monkeypatch, [0.0, 1.0, 2.0])
    assert job.seconds_left is None
    assert job.progress == "3 of 100 records, estimating the time …"
    job = timed(monkeypatch, [0.0, 1.0, 2.0, 3.0])
    assert job.seconds_left == 96
    assert job.progress == "4 of 100 records, about 2 minutes left"


def test_the_time_is_of_the_recent_pace_alone(monkeypatch):
    slow = [100.0 * i for i in range(10)]
    fast = [900 + 0.5 * (i + 1) for i in range(21)]
    job = timed(monkeypatch, slow + fast)
    assert job.seconds_left == pytest.approx(0.5 * (100 - 31))


def test_quick_reports_count_as_one_so_that_the_pace_is_of_seconds(monkeypatch):
    """A token a millisecond for two seconds, then one a tenth of a second for two."""
    moments = [i / 1000 for i in range(2000)] + [2 + i / 10 for i in range(1, 21)]
    job = timed(monkeypatch, moments, total=3020)
    assert job.seconds_left == pytest.approx(0.1 * 1000, rel=0.15)


def test_a_report_of_nothing_new_tells_nothing_of_the_pace(monkeypatch):
    """Work that asks more often whether to go on than it gets on: a benchmark, edit by edit."""
    clock = iter(float(i) for i in range(1000))
    monkeypatch.setattr(job_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    job = Job("Benchmark", print, unit="row")
    for call in range(500):
        job.report(8 * (call // 50), 800)  # eight rows in fifty seconds
    assert job.seconds_left == pytest.approx(50 * 100 - 500, rel=0.02)


def test_the_time_goes_on_between_two_reports_and_never_below_nothing(monkeypatch):
    assert timed(monkeypatch, [0.0, 1.0, 2.0, 3.0], now=13.0).seconds_left == 86
    assert timed(monkeypatch, [0.0, 1.0, 2.0, 3.0], now=999.0).seconds_left == 0


def test_nothing_is_left_at_the_end(monkeypatch):
    job = timed(monkeypatch, [0.0, 1.0, 2.0, 3.0, 4.0], total=5)
    assert job.seconds_left == 0
    assert job.progress == "5 of 5 records, almost done"


def test_the_next_part_of_the_work_is_timed_anew(monkeypatch):
    job = timed(monkeypatch, [0.0, 1.0, 2.0, 3.0, 4.0])
    assert job.seconds_left is not None
    job.report(1, 20)  # tokens first, then the steps of a search
    assert job.seconds_left is None


def test_a_download_is_told_in_bytes():
    job = Job("Downloading GPT-2 small", print, unit=BYTES)
    assert job.progress == "0 MB of an unknown size, estimating the time …"
    job.report(137_000_000, 548_000_000)
    assert job.progress == "137 MB of 548 MB, estimating the time …"


# Its place in the model's queue


def test_a_job_says_who_is_before_it():
    lock = FairLock()

    def work(on_step):
        with lock:
            on_step(1, 1)

    def others() -> None:
        person.set("Ann")
        with lock:
            pass

    job = Job("Study", work, total=1, lock=lock, person="Bob")
    assert job.people_before == 0
    with lock:
        thread = threading.Thread(target=others)
        thread.start()
        while lock.waiting < 1:
            time.sleep(0.002)
        job.start()
        while lock.waiting < 2:
            time.sleep(0.002)
        assert job.people_before == 2
        assert job.progress.endswith(", 2 people are before you")
    thread.join(WAIT)
    assert ended(job).people_before == 0


# Sessions that come and go


def watched(work, *, keep=False, visitors=1) -> Job:
    """A running job at its second step, and the sessions that look at it, 0, 1 …"""
    job = Job("Study", work, keep=keep)
    for session in range(visitors):
        job.come(session)
    job.start()
    work.allowed.release(2)
    reached(job, 2)
    return job


def after_grace(job: Job, work) -> None:
    """Long after whoever has left; the job may take all its steps."""
    if job.left_at is not None:
        job.left_at -= 2 * job_module.GRACE
    work.allowed.release(6)


def test_a_job_is_cancelled_when_its_session_stays_away(work):
    job = watched(work)
    job.leave(0)
    after_grace(job, work)
    assert ended(job).ended_early


def test_a_job_goes_on_where_its_visitor_wanted_it(work):
    job = watched(work, keep=True)
    job.leave(0)
    after_grace(job, work)
    assert ended(job).result == "made"


def test_a_job_waits_for_a_session_to_come_back(work):
    job = watched(work)
    job.leave(0)
    job.come(0)  # the net was gone for a moment
    after_grace(job, work)
    assert ended(job).result == "made"


def test_a_session_that_has_only_just_left_cancels_nothing(work, monkeypatch):
    monkeypatch.setattr(job_module, "GRACE", 60.0)
    job = watched(work)
    job.leave(0)
    work.allowed.release(6)
    assert ended(job).result == "made"


def test_a_second_visitor_keeps_a_job_alive_and_the_last_one_to_leave_ends_it(work):
    job = watched(work, visitors=2)
    job.leave(0)
    assert job.left_at is None
    work.allowed.release(2)
    reached(job, 4)
    assert job.running
    job.leave(1)
    after_grace(job, work)
    assert ended(job).ended_early


def test_whoever_waits_for_a_job_s_result_lets_its_grace_time_begin_anew(work):
    job = watched(work)
    job.wanted()
    assert job.left_at is None  # its own visitor is here
    job.leave(0)
    job.left_at -= 2 * job_module.GRACE
    job.wanted()
    work.allowed.release(6)
    assert ended(job).result == "made"
