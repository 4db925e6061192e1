"""How much memory the visitors' things take: each visitor's own, and all together.

A visitor's edits, studies, uploads and answers are counted when they are kept, and no more when
the session ends. What is left of the setting `BACKWARD_LENS_MEMORY` is for shared results.
"""

from __future__ import annotations

import threading

import streamlit as st

import core
from app.settings import MEMORY
from app.words import megabytes
from app.work.weight import weight

ALL_VISITORS = 1 / 2  # of the memory, at most; the rest is always for shared results
ONE_VISITOR = 1 / 10
FREE = "Remove an edit on the left, or open the app in a new tab and close this one."


class MemoryFullError(core.BackwardLensError):
    """A visitor, or all together, keep more than there is memory for."""


class Belongings:
    """What one session keeps, in bytes, by what it is."""

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}

    @property
    def total(self) -> int:
        return sum(self.bytes.values())

    def leave(self) -> None:
        everybody().discard(self)


class Everybody:
    """The belongings of all sessions of the server."""

    def __init__(self) -> None:
        self._of: set[Belongings] = set()
        self._guard = threading.Lock()

    @property
    def total(self) -> int:
        with self._guard:
            return sum(one.total for one in self._of)

    def discard(self, one: Belongings) -> None:
        with self._guard:
            self._of.discard(one)

    def claim(self, one: Belongings, what: str, size: int) -> None:
        """From now on `one` keeps `size` bytes of `what`; raises MemoryFullError if that is too
        much, and changes nothing then. Less than before is always right."""
        with self._guard:
            self._of.add(one)
            before = one.bytes.get(what, 0)
            if size > before:
                check(one.total - before + size, sum(o.total for o in self._of) - before + size)
            one.bytes[what] = size


def check(own: int, together: int) -> None:
    most = MEMORY.value
    if own > ONE_VISITOR * most:
        raise MemoryFullError(
            f"Your edits, studies and answers would take {megabytes(own)}; each visitor of this "
            f"server has {megabytes(int(ONE_VISITOR * most))}. {FREE}"
        )
    if together > ALL_VISITORS * most:
        raise MemoryFullError(
            f"What all visitors of this server keep would take {megabytes(together)}; there are "
            f"{megabytes(int(ALL_VISITORS * most))}. {FREE} Or try again when others have left."
        )


@st.cache_resource(show_spinner=False)
def everybody() -> Everybody:
    return Everybody()


@st.cache_resource(scope="session", on_release=Belongings.leave, show_spinner=False)
def belongings() -> Belongings:
    return Belongings()


def claim(what: str, size: int) -> None:
    """This session keeps `size` bytes of `what`; raises MemoryFullError with a sentence."""
    everybody().claim(belongings(), what, size)


def keep(name: str, value: object) -> None:
    """Put a value into the session, where it is counted; raises MemoryFullError and keeps the old
    one where there is no room for it."""
    claim(name, weight(value))
    st.session_state[name] = value


def left() -> int:
    """Bytes for results that are shared."""
    return max(0, MEMORY.value - everybody().total)
