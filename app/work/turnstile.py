"""The turnstile: one page is drawn at a time, and whoever waits sees for how long.

All pages share Python's lock: twenty that are drawn at once take each as long as all together, and
more, since they hinder one another. In turn, the first is done at once and the last is done
sooner. A page that waits for something else (a model, a job, somebody else's result) gives its
turn away for good, so that nobody waits behind it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.words import duration
from app.work.job import before
from core.model.locks import FairLock, while_waiting

PATIENCE = 1.0  # seconds of waiting after which a page says so
_turns = FairLock()


@dataclass
class Visit:
    """One run of a page: whether it holds the turnstile, and where it says that it waits."""

    place: DeltaGenerator
    holds: bool = False
    since: float | None = None  # when the present waiting began
    told: bool = False

    def tell(self, people: int, seconds: float) -> None:
        """Show how many are before it; raises what Streamlit ends a run with, if it is to end."""
        now = time.monotonic()
        self.since = now if self.since is None else self.since
        if people and now - self.since + seconds >= PATIENCE:
            self.told = True
            self.place.info(waiting_text(people, seconds), icon=":material/hourglass_top:")
        elif self.told:
            self.told = False
            self.place.empty()
        if not people:
            self.since = None


_visit: ContextVar[Visit | None] = ContextVar("visit", default=None)


def waiting_text(people: int, seconds: float) -> str:
    if seconds < 1:
        return f"{before(people)}, less than a second."
    return f"{before(people)}, about {duration(seconds)}."


@contextmanager
def admitted(place: DeltaGenerator | None = None) -> Iterator[None]:
    """Around a page's run: in turn with all other pages of the server. `place` is where it says
    that it waits."""
    visit = Visit(place or st.empty())
    tokens = _visit.set(visit), while_waiting.set(visit.tell)
    try:
        _turns.__enter__()
        visit.holds = True
        while_waiting.set(wait_outside)
        yield
    finally:
        leave()
        _visit.reset(tokens[0])
        while_waiting.reset(tokens[1])


@contextmanager
def in_turn() -> Iterator[None]:
    """`admitted`, for what may run as part of a page, which has been admitted, or on its own."""
    place = st.empty()  # either way: what follows it would be made anew if its number changed
    with nullcontext() if _visit.get() is not None else admitted(place):
        yield


def wait_outside(people: int, seconds: float) -> None:
    """For a page that has to wait for a model: let the others in, and say for how long."""
    leave()
    visit = _visit.get()
    if visit is not None:
        visit.tell(people, seconds)


def leave() -> None:
    """This run waits for something else than Python's lock: the others go on meanwhile."""
    visit = _visit.get()
    if visit is not None and visit.holds:
        visit.holds = False
        _turns.__exit__()


def still_here() -> None:
    """Raises what Streamlit ends a run with, if its visitor has left or asked anew."""
    visit = _visit.get()
    if visit is not None:
        visit.place.empty()


def people_waiting() -> int:
    """How many pages wait."""
    return _turns.waiting
