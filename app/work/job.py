"""Studies in the background: one running study a session, kept where its session finds it again.

A study takes its turns on the model record by record, so that other visitors wait for one record
at most. What it has so far is on disk, in a folder of its own that goes with it.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
import threading
import time
from collections import deque
from dataclasses import dataclass, field

import streamlit as st

import core
from app.shell.models import load

KEPT = 40  # studies on the server, finished ones too; the oldest finished ones go first
GRACE = 20.0  # seconds that a lost connection may take before a study is cancelled
RECENT = 20  # records that the time estimate looks back on
STUDY_KEY = "study"  # in the URL

log = logging.getLogger(__name__)


@dataclass
class Job:
    """A study in progress or done. Written by its own thread, read by pages."""

    model_name: str
    records: core.Records
    limit: int
    seed: int
    keep: bool  # whether it goes on when its tab is closed
    token: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    done: int = 0
    total: int = 0
    error: str = ""
    result: core.Study | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    left_at: float | None = None  # when the last session that looked at it was lost
    visitors: set[int] = field(default_factory=set)
    folder: tempfile.TemporaryDirectory = field(default_factory=tempfile.TemporaryDirectory)
    thread: threading.Thread | None = None
    moments: deque = field(default_factory=lambda: deque(maxlen=RECENT + 1))

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    @property
    def seconds_left(self) -> float | None:
        """From the pace of the last records; None while there are too few to tell."""
        if len(self.moments) < 4:
            return None
        (first_time, first), (last_time, last) = self.moments[0], self.moments[-1]
        return (last_time - first_time) / max(1, last - first) * (self.total - self.done)

    def start(self) -> None:
        self.cancelled.clear()
        self.error, self.result, self.left_at = "", None, None
        self.moments.clear()
        self.total = min(self.limit, len(self.records))
        self.thread = threading.Thread(target=self.run, daemon=True, name=f"study {self.token}")
        self.thread.start()

    def run(self) -> None:
        try:
            self.result = core.study(
                load(self.model_name),
                self.records,
                limit=self.limit,
                seed=self.seed,
                on_step=self.report,
                save_to=self.folder.name,
                batch_size=1,
            )
        except core.Cancelled:
            self.result = core.Study.load(self.folder.name)
        except core.BackwardLensError as error:
            self.error = str(error)
        except Exception:  # a thread has no page to fail on
            log.exception("a study failed")
            self.error = "The study failed. Start it again, or choose fewer records."

    def report(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        self.moments.append((time.monotonic(), done))
        gone = self.left_at is not None and time.monotonic() - self.left_at > GRACE
        if self.cancelled.is_set() or (gone and not self.keep):
            raise core.Cancelled


class Jobs:
    """All studies of the server, by their token."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._guard = threading.Lock()

    def add(self, job: Job) -> None:
        with self._guard:
            self._jobs[job.token] = job
            done = [t for t, other in self._jobs.items() if other.thread and not other.running]
            for token in done[: max(0, len(self._jobs) - KEPT)]:
                self._jobs.pop(token).folder.cleanup()

    def get(self, token: str | None) -> Job | None:
        return self._jobs.get(token or "")


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    return Jobs()


class Presence:
    """Stands for a session; marks its study when the session is lost, by a closed tab or the net.

    The study waits GRACE seconds for it to come back before it is cancelled.
    """

    def __init__(self) -> None:
        self.job: Job | None = None

    def visit(self, job: Job | None) -> None:
        if self.job is not job:
            self.leave()
        self.job = job
        if job is not None:
            job.visitors.add(id(self))
            job.left_at = None

    def leave(self) -> None:
        if self.job is not None:
            self.job.visitors.discard(id(self))
            if not self.job.visitors:
                self.job.left_at = time.monotonic()


@st.cache_resource(scope="session", on_release=Presence.leave, show_spinner=False)
def presence() -> Presence:
    return Presence()


def session_job() -> Job | None:
    """This session's study, or the one that its link names; also says that somebody is here."""
    token = st.session_state.get(STUDY_KEY) or st.query_params.get(STUDY_KEY)
    job = jobs().get(token)
    presence().visit(job)
    if job is not None:
        st.session_state[STUDY_KEY] = job.token
        st.query_params[STUDY_KEY] = job.token
    return job


def start_study(model_name: str, records: core.Records, limit: int, seed: int, keep: bool) -> Job:
    """Begin a study for this session, unless one is running already."""
    current = session_job()
    if current is not None and current.running:
        return current
    job = Job(model_name, records, limit, seed, keep)
    jobs().add(job)
    job.start()
    st.session_state[STUDY_KEY] = job.token
    return job
