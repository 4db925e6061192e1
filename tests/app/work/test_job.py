"""Studies in the background: progress, time left, cancelling, lost sessions, and what is kept."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import core
from app import jobs as app_jobs
from app.cells.study_setup import progress_text
from app.shell.settings import record_files
from app.words import duration
from app.work.job import Job, Jobs, Presence
from core import Record, Records, Study
from core.studies.header import Header
from core.studies.tables import Sums
from tests.conftest import random_model

RECORDS = Records(
    "facts.json",
    tuple(Record(i, f"Obama {i} grew up in", "Obama", "Paris", "Rome") for i in range(8)),
)
FOLDER = "BACKWARD_LENS_RECORDS"


class Stub:
    """In place of core.study: a record a step, each when the test allows it."""

    def __init__(self):
        self.allowed = threading.Semaphore(0)
        self.fail_with = None
        self.asked = {}

    def __call__(self, model, records, *, limit, on_step, save_to, **options):
        self.asked = {"model": model, "records": records, "limit": limit, **options}
        total = min(limit, len(records))
        for done in range(1, total + 1):
            assert self.allowed.acquire(timeout=10)
            if self.fail_with:
                raise self.fail_with
            state = study_of(done, total)
            try:
                on_step(done, total)
            except core.Cancelled:
                state.save(save_to)
                raise
        return state


def study_of(done, total):
    header = Header(
        model="stub",
        fingerprint="f",
        n_layers=2,
        vocabulary_size=10,
        modules=("ff1", "ff2"),
        mlp_matrices=("ff1", "ff2"),
        records="facts.json",
        digest="d",
        limit=total,
        seed=0,
        batch_size=1,
        total=total,
        done=done,
    )
    return Study(header, Sums.empty(header), ())


@pytest.fixture
def stub(monkeypatch):
    stand_in = Stub()
    monkeypatch.setattr(app_jobs.core, "study", stand_in)
    monkeypatch.setattr(app_jobs, "load", lambda name: f"model {name}")
    monkeypatch.setattr(app_jobs, "GRACE", 0.05)
    yield stand_in
    stand_in.allowed.release(1000)  # whatever a test leaves behind ends by itself


def job_of(limit=8, *, keep=False):
    return Job("tiny", RECORDS, limit, seed=3, keep=keep)


def ended(job):
    job.thread.join(timeout=10)
    assert not job.running
    return job


def reached(job, done):
    until = time.monotonic() + 10
    while job.done < done and time.monotonic() < until:
        time.sleep(0.002)
    assert job.done == done


# A study from start to end


def test_a_study_runs_to_its_end_and_says_how_far_it_is(stub):
    job = job_of(limit=5)
    assert not job.running
    job.start()
    assert job.running
    assert (job.done, job.total) == (0, 5)
    stub.allowed.release(3)
    reached(job, 3)
    assert job.running
    assert job.result is None
    stub.allowed.release(2)
    assert ended(job).result.header.finished
    assert (job.done, job.total, job.error) == (5, 5, "")
    assert stub.asked == {
        "model": "model tiny",
        "records": RECORDS,
        "limit": 5,
        "seed": 3,
        "batch_size": 1,  # so that other visitors wait for one record at most
    }


def test_a_study_of_more_records_than_there_are_takes_all(stub):
    stub.allowed.release(8)
    job = job_of(limit=100)
    job.start()
    assert ended(job).total == job.done == 8


def test_a_real_study_of_a_small_model(monkeypatch):
    model = random_model("gpt2", layers=2)
    monkeypatch.setattr(app_jobs, "load", lambda name: model)
    job = job_of(limit=3)
    job.start()
    header = ended(job).result.header
    assert (job.error, header.finished, header.counted, header.total) == ("", True, 3, 3)


def test_a_cancelled_study_keeps_what_it_has(stub):
    job = job_of()
    job.start()
    stub.allowed.release(2)
    reached(job, 2)
    job.cancelled.set()
    assert "2 of 8" in progress_text(job)
    assert progress_text(job).startswith("Ending")
    stub.allowed.release(1)
    result = ended(job).result
    assert (result.header.done, result.header.finished) == (3, False)
    assert job.error == ""


def test_a_study_can_be_started_again(stub):
    job = job_of(limit=2)
    job.cancelled.set()
    job.error, job.left_at = "old", 1.0
    stub.allowed.release(2)
    job.start()
    assert ended(job).result.header.finished
    assert (job.error, job.left_at) == ("", None)


def test_an_error_of_cores_is_its_sentence(stub):
    stub.fail_with = core.PromptError("The records do not fit. Choose others.")
    stub.allowed.release(1)
    job = job_of()
    job.start()
    assert ended(job).error == "The records do not fit. Choose others."
    assert job.result is None


def test_any_other_error_is_a_sentence_and_the_operator_sees_the_reason(stub, caplog):
    stub.fail_with = RuntimeError("secret path /srv/x")
    stub.allowed.release(1)
    job = job_of()
    job.start()
    assert ended(job).error == "The study failed. Start it again, or choose fewer records."
    assert "secret path" in caplog.text


def test_a_model_that_cannot_be_loaded_is_a_sentence(stub, monkeypatch):
    def refuse(name):
        raise core.ModelError("No such model. Choose another.")

    monkeypatch.setattr(app_jobs, "load", refuse)
    job = job_of()
    job.start()
    assert ended(job).error == "No such model. Choose another."


# The time that is left


def timed(monkeypatch, moments, total=100):
    """A job to which records were reported at these moments."""
    clock = iter(moments)
    monkeypatch.setattr(app_jobs, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    job = job_of()
    for done in range(1, len(moments) + 1):
        job.report(done, total)
    return job


def test_the_time_is_told_only_from_four_reports_on(monkeypatch):
    job = timed(monkeypatch, [0.0, 1.0, 2.0])
    assert job.seconds_left is None
    assert progress_text(job) == "3 of 100 records, estimating the time …"
    job = timed(monkeypatch, [0.0, 1.0, 2.0, 3.0])
    assert job.seconds_left == 96
    assert progress_text(job) == "4 of 100 records, about 2 minutes left"


def test_the_time_is_of_the_recent_pace_alone(monkeypatch):
    slow = [100.0 * i for i in range(10)]
    fast = [900 + 0.5 * (i + 1) for i in range(21)]
    job = timed(monkeypatch, slow + fast)
    assert job.seconds_left == pytest.approx(0.5 * (100 - 31))


def test_nothing_is_left_at_the_end(monkeypatch):
    assert timed(monkeypatch, [0.0, 1.0, 2.0, 3.0, 4.0], total=5).seconds_left == 0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 second"),
        (1.2, "1 second"),
        (8, "8 seconds"),
        (60, "60 seconds"),
        (100, "2 minutes"),
        (180, "3 minutes"),
        (3600, "60 minutes"),
    ],
)
def test_durations_as_people_say_them(seconds, words):
    assert duration(seconds) == words


# Sessions that come and go


def watched(stub, *, keep=False, visitors=1):
    """A running study at its second record, and the sessions that look at it."""
    job = job_of(keep=keep)
    sessions = [Presence() for _ in range(visitors)]
    for session in sessions:
        session.visit(job)
    job.start()
    stub.allowed.release(2)
    reached(job, 2)
    return job, sessions


def after_grace(stub):
    """Long after whoever has left; the study may take all its steps."""
    time.sleep(0.08)
    stub.allowed.release(6)


def test_a_study_is_cancelled_when_its_session_stays_away(stub):
    job, (session,) = watched(stub)
    session.leave()
    after_grace(stub)
    assert not ended(job).result.header.finished


def test_a_study_goes_on_where_its_visitor_wanted_it(stub):
    job, (session,) = watched(stub, keep=True)
    session.leave()
    after_grace(stub)
    assert ended(job).result.header.finished


def test_a_study_waits_for_a_session_to_come_back(stub):
    job, (session,) = watched(stub)
    session.leave()
    session.visit(job)  # the net was gone for a moment
    after_grace(stub)
    assert ended(job).result.header.finished


def test_a_session_that_has_only_just_left_cancels_nothing(stub, monkeypatch):
    monkeypatch.setattr(app_jobs, "GRACE", 60.0)
    job, (session,) = watched(stub)
    session.leave()
    stub.allowed.release(6)
    assert ended(job).result.header.finished


def test_a_second_visitor_keeps_a_study_alive_and_the_last_one_to_leave_ends_it(stub):
    job, (first, second) = watched(stub, visitors=2)
    first.leave()
    time.sleep(0.08)
    stub.allowed.release(2)
    reached(job, 4)
    assert job.running
    second.leave()
    after_grace(stub)
    assert not ended(job).result.header.finished


def test_a_session_without_a_study_leaves_quietly():
    session = Presence()
    session.visit(None)
    session.leave()


# The server's studies


def finished(stub):
    job = job_of(limit=1)
    stub.allowed.release(1)
    job.start()
    return ended(job)


def test_the_oldest_finished_studies_go_first_and_their_folders_with_them(stub, monkeypatch):
    monkeypatch.setattr(app_jobs, "KEPT", 3)
    server, made = Jobs(), [finished(stub) for _ in range(5)]
    for job in made:
        server.add(job)
    assert [server.get(job.token) is job for job in made] == [False, False, True, True, True]

    assert [Path(job.folder.name).exists() for job in made] == [False, False, True, True, True]


def test_running_studies_are_never_removed(stub, monkeypatch):
    monkeypatch.setattr(app_jobs, "KEPT", 2)
    server = Jobs()
    running = [job_of() for _ in range(3)]
    for job in running:
        job.start()
        server.add(job)
    old, new = job_of(limit=1), job_of(limit=1)
    old.thread = threading.Thread()  # one that has ended
    server.add(old)
    server.add(new)
    assert [server.get(job.token) is job for job in running] == [True] * 3
    assert server.get(old.token) is None
    assert server.get(new.token) is new
    for job in running:
        job.cancelled.set()
    stub.allowed.release(3)
    for job in running:
        ended(job)


@pytest.mark.parametrize("token", [None, "", "nosuch", "../x"])
def test_an_unknown_link_names_no_study(token):
    assert Jobs().get(token) is None


def test_tokens_cannot_be_guessed():
    tokens = {job_of().token for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 12


# Files that the operator offers


def test_only_record_files_are_offered_in_order(tmp_path, monkeypatch):
    for name in ("b.jsonl", "a.json", "c.txt", ".json"):
        (tmp_path / name).write_text("[]")
    (tmp_path / "d.json").mkdir()
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert [file.name for file in record_files()] == ["a.json", "b.jsonl"]


@pytest.mark.parametrize("folder", ["", "/no/such/folder", __file__])
def test_a_folder_that_is_none_offers_nothing(folder, monkeypatch):
    monkeypatch.setenv(FOLDER, folder)
    assert record_files() == []


def test_without_the_setting_nothing_is_offered(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    assert record_files() == []
