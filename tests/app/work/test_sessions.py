"""Which jobs a session has, which a link finds, and what becomes of them."""

import threading

import pytest
from streamlit.testing.v1 import AppTest

from app.work import sessions
from app.work.job import Job
from app.work.sessions import Linked, Presence


def finished() -> Job:
    job = Job("Study", lambda on_step: "made")
    job.start()
    job.thread.join(10)
    return job


@pytest.fixture
def waiting():
    """Jobs that run until the test has ended."""
    end = threading.Event()
    made = []

    def make() -> Job:
        job = Job("Study", lambda on_step: end.wait(30))
        made.append(job)
        job.start()
        return job

    yield make
    end.set()
    for job in made:
        job.thread.join(10)


def test_the_oldest_jobs_that_are_over_go_first_and_are_cleaned_up(monkeypatch):
    monkeypatch.setattr(sessions, "KEPT", 3)
    server, made, cleaned = Linked(), [finished() for _ in range(5)], []
    for job in made:
        job.clean_up = lambda job=job: cleaned.append(job)
        server.add(job)
    assert [server.get(job.token) is job for job in made] == [False, False, True, True, True]
    assert cleaned == made[:2]


def test_running_jobs_and_those_that_have_not_begun_are_never_removed(monkeypatch, waiting):
    monkeypatch.setattr(sessions, "KEPT", 2)
    server = Linked()
    running = [waiting() for _ in range(3)]
    old, fresh = finished(), Job("Study", print)
    for job in (*running, old, fresh):
        server.add(job)
    assert [server.get(job.token) is job for job in running] == [True] * 3
    assert server.get(old.token) is None
    assert server.get(fresh.token) is fresh


@pytest.mark.parametrize("token", [None, "", "nosuch", "../x"])
def test_an_unknown_link_names_no_job(token):
    server = Linked()
    server.add(finished())
    assert server.get(token) is None


def test_a_session_watches_its_jobs_and_leaves_the_others(waiting):
    first, second = waiting(), waiting()
    one, other = Presence(), Presence()
    one.watch([first, second])
    other.watch([second])
    assert (first.left_at, second.left_at) == (None, None)
    one.watch([second])  # the first is no longer this session's
    assert first.left_at is not None
    one.leave()
    assert second.left_at is None
    other.leave()
    assert second.left_at is not None
    again = Presence()
    again.watch([second])
    assert second.left_at is None


def test_a_session_without_jobs_leaves_quietly():
    session = Presence()
    session.watch([])
    session.leave()


# How many at once


def test_a_third_piece_of_work_is_not_started_and_says_why():
    def script() -> None:
        import threading

        import streamlit as st

        from app.work.job import Job
        from app.work.sessions import begin

        end = st.session_state.setdefault("end", threading.Event())
        jobs = [
            begin(slot, Job(f"Work {slot}", lambda on_step: end.wait(30)), quick=0)
            for slot in ("study", "answer_0", "answer_1", "edit")
        ]
        st.session_state["jobs_made"] = jobs

    at = AppTest.from_function(script, default_timeout=30).run()
    jobs = at.session_state["jobs_made"]
    try:
        assert not at.exception
        assert [job.running for job in jobs] == [True, True, True, False]
        assert "You have 2 pieces of work running: Work study, Work answer_1." in jobs[3].error
        assert "2 at once" in jobs[3].error
    finally:
        at.session_state["end"].set()
        for job in jobs[:3]:
            job.thread.join(10)
    at.run()
    assert not at.session_state["jobs_made"][3].error, "there is room again"
