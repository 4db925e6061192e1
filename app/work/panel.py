"""Work that may take longer than a click: in a thread, with progress, cancellable."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import streamlit as st

import core
from app.words import duration

QUICK = 0.8  # seconds in which most work is done, so that no progress bar flashes up

log = logging.getLogger(__name__)


@dataclass
class Task:
    """`work(on_step)` in a thread of its own; `about` says for whom, `result` what came of it."""

    title: str
    work: Callable[[Callable[[int, int], None]], object]
    about: object = None
    done: int = 0
    total: int = 0
    error: str = ""
    result: object = None
    ended_early: bool = False
    started: float = 0.0
    cancelled: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def start(self) -> None:
        self.started = time.monotonic()
        self.thread = threading.Thread(target=self.run, daemon=True, name=self.title)
        self.thread.start()
        self.thread.join(QUICK)

    def run(self) -> None:
        try:
            self.result = self.work(self.report)
        except core.Cancelled:
            self.ended_early = True
        except core.BackwardLensError as error:
            self.error = str(error)
        except Exception:  # a thread has no page to fail on
            log.exception("%s failed", self.title)
            self.error = "This failed unexpectedly. Try it again, or with other settings."

    def report(self, done: int, total: int) -> None:
        if done < self.done:  # the next part of the work begins
            self.started = time.monotonic()
        self.done, self.total = done, total
        if self.cancelled.is_set():
            raise core.Cancelled

    @property
    def progress(self) -> str:
        """What is done, and for how long the part in hand will still take."""
        if self.cancelled.is_set():
            return "Ending after the step in hand"
        if self.done < 2:
            return "estimating the time …"
        spent = time.monotonic() - self.started
        left = spent / self.done * (self.total - self.done)
        return f"step {self.done} of {self.total}, about {duration(left)} left in this part"


def watch(key: str) -> None:
    """Draw the running task kept in the session under `key`, with a button that ends it."""
    with st.container(border=True, key=f"cell_{key}"):
        progress(key)


@st.fragment(run_every=1.0)
def progress(key: str) -> None:
    task = st.session_state.get(key)
    if task is None or not task.running:
        st.rerun()
    st.progress(min(1.0, task.done / max(1, task.total)), f"{task.title}: {task.progress}")
    if st.button("Cancel", key=f"{key}_cancel"):
        task.cancelled.set()
    st.caption("You may use the other pages meanwhile.")
