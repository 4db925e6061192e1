"""Whose job it is: each session keeps one job a slot, and a link finds those that have one."""

from __future__ import annotations

import secrets
import threading

import streamlit as st

import core
from app import settings
from app.words import count
from app.work.job import Job
from app.work.turnstile import leave
from core.model.locks import person

JOBS = "jobs"  # in the session: slot -> Job
ASIDE = "jobs_aside"  # in the session: slot -> Job, of work that its visitor did not ask for
DELIVERED = "delivered_jobs"  # in the session: tokens of jobs whose result it has taken
AT_ONCE = "jobs_at_once"  # in the session: how many jobs it may have; else the server's setting
PERSON = "person"  # in the session: what tells it from others in a model's queue
KEPT = 40  # jobs with a link on the server; the oldest that are over go first
QUICK = 0.8  # seconds in which most work is done, so that no progress bar flashes up


class Linked:
    """The jobs of the server that a link finds, by their token."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._guard = threading.Lock()

    def add(self, job: Job) -> None:
        with self._guard:
            self._jobs[job.token] = job
            over = [token for token, other in self._jobs.items() if other.over]
            for token in over[: max(0, len(self._jobs) - KEPT)]:
                self._jobs.pop(token).clean_up()

    def get(self, token: str | None) -> Job | None:
        return self._jobs.get(token or "")


@st.cache_resource(show_spinner=False)
def linked() -> Linked:
    return Linked()


class Presence:
    """Stands for a session; tells its jobs when the session is lost, by a closed tab or the net."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def watch(self, jobs: list[Job]) -> None:
        """These are the session's jobs now; it has left the others."""
        for job in self.jobs:
            if job not in jobs:
                job.leave(id(self))
        self.jobs = jobs
        for job in jobs:
            job.come(id(self))

    def leave(self) -> None:
        self.watch([])


@st.cache_resource(scope="session", on_release=Presence.leave, show_spinner=False)
def presence() -> Presence:
    return Presence()


def this_person() -> str:
    """What tells this session from others in a model's queue."""
    return st.session_state.setdefault(PERSON, secrets.token_urlsafe(9))


def session_jobs() -> dict[str, Job]:
    return st.session_state.setdefault(JOBS, {})


def current(slot: str) -> Job | None:
    """This session's job in a slot, running or over; else the one that its link names."""
    attend()
    return session_jobs().get(slot)


def running(slot: str) -> Job | None:
    job = current(slot)
    return job if job is not None and job.running else None


def begin(slot: str, job: Job, *, link: bool = False, quick: float = QUICK) -> Job:
    """Start a job for this session, unless the slot's last one is running: that one is returned.

    One more than a visitor may have at once is not started, and its `error` says so. With a `link`,
    the job's token stands in the URL under the slot's name, and finds the job from any session.
    Waits up to `quick` seconds for it. For callbacks too.
    """
    known = running(slot)
    if known is not None:
        return known
    job.person = this_person()
    job.error = too_many(slot)
    session_jobs()[slot] = job
    if job.error:
        return job
    if link:
        linked().add(job)
    job.start()
    attend()
    leave()
    job.thread.join(quick)
    return job


def begin_aside(slot: str, job: Job, *, quick: float) -> None:
    """Start a small job that the visitor did not ask for: it counts as no work of theirs, is drawn
    in no panel, and takes the place of the slot's last one, which is cancelled.

    Waits up to `quick` seconds for it.
    """
    end_aside(slot)
    job.person = this_person()
    st.session_state.setdefault(ASIDE, {})[slot] = job
    job.start()
    attend()
    leave()
    job.thread.join(quick)


def end_aside(slot: str) -> None:
    """Cancel a slot's job that was begun aside, if there is one."""
    job = st.session_state.get(ASIDE, {}).pop(slot, None)
    if job is not None:
        job.cancelled.set()


def too_many(slot: str) -> str:
    """Why this session may begin nothing more now, as a sentence; empty if it may.

    Slots whose names differ in their number only are one piece of work.
    """
    others = {
        name_of(other): job.title
        for other, job in session_jobs().items()
        if job.running and name_of(other) != name_of(slot)
    }
    most = st.session_state.get(AT_ONCE, settings.JOBS.value)
    if len(others) < most:
        return ""
    return (
        f"You have {count(len(others), 'piece')} of work running: {', '.join(others.values())}. "
        f"This server lets each visitor run {most} at once. Wait for one to end, or cancel it."
    )


def name_of(slot: str) -> str:
    return slot.rstrip("0123456789")


def attend() -> None:
    """Say that this session is here: to its own jobs, and to those that its link names.

    For the beginning of every run, of a page or of a fragment. The run then waits in a model's
    queue for this person.
    """
    person.set(this_person())
    jobs = session_jobs()
    for slot, token in st.query_params.items():
        found = linked().get(token)
        if found is not None:
            jobs.setdefault(slot, found)
    for slot, job in jobs.items():
        if linked().get(job.token) is job and st.query_params.get(slot) != job.token:
            st.query_params[slot] = job.token
    presence().watch([*jobs.values(), *st.session_state.get(ASIDE, {}).values()])


def collect() -> list[Job]:
    """Deliver what the session's jobs have made that are over; the jobs whose turn it was."""
    jobs = list(session_jobs().values())
    delivered = st.session_state.setdefault(DELIVERED, set())
    delivered &= {job.token for job in jobs}
    new = [job for job in jobs if job.over and job.token not in delivered]
    for job in new:
        delivered.add(job.token)
        if job.result is not None:
            try:
                job.deliver(job.result)
            except core.BackwardLensError as error:  # a ledger that is full, for one
                job.error = str(error)
    return new
