"""What this visitor asked before: kept through a reload, in order, the newest last."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, replace

import streamlit as st

from app.shell import ledger
from app.shell.models import CARDS, OTHER, split_key
from app.shell.navigation import LOOK, PAGES
from app.shell.precision_field import PRECISION
from app.shell.state import MODEL, OTHER_MODEL, PROMPT, PROPOSED, SUBJECT, TARGET, Request
from app.shell.subjects import subject_of
from app.words import count
from app.work.memory import MemoryFullError, claim
from app.work.own import own
from app.work.weight import weight

HISTORY, NOTE = "history", "history_note"  # in the session
MOST = 50
OTHER_PAGES = ("", "compare", "edit", "edit_strength")  # besides those of the group Look


@dataclass(frozen=True)
class Asked:
    """A request as it can be kept: edits by their ids."""

    model_name: str  # a `model_key`
    prompt: str
    target: str
    subject: str | None
    edit_ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: Request) -> Asked:
        texts = (request.model_name, request.prompt, request.target, request.subject)
        return cls(*texts, request.edit_ids)


@dataclass(frozen=True)
class Visited:
    """A request with the page where it was last seen, and when (seconds since 1970)."""

    serial: int
    asked: Asked
    page: str
    time: float


class History:
    """The newest MOST requests of a visitor; no two in a row are the same."""

    def __init__(self) -> None:
        self._entries: deque[Visited] = deque(maxlen=MOST)
        self._serial = 0
        self._guard = threading.Lock()  # the tabs of a browser share it

    @property
    def size(self) -> int:
        return weight([entry.asked for entry in self.entries])

    @property
    def entries(self) -> list[Visited]:
        """The newest last."""
        with self._guard:
            return list(self._entries)

    def add(self, asked: Asked, page: str, now: float) -> None:
        """The same request on another page is still the same entry."""
        with self._guard:
            last = self._entries[-1] if self._entries else None
            if last is not None and last.asked == asked:
                self._entries[-1] = replace(last, page=page, time=now)
                return
            self._serial += 1
            self._entries.append(Visited(self._serial, asked, page, now))


def history() -> History:
    return own(HISTORY, History)


def shows_request(path: str) -> bool:
    """Whether the page with this path is about the sidebar's request."""
    return path in OTHER_PAGES or any(p.path == path and p.group == LOOK for p in PAGES)


def record(page: str) -> None:
    """Remember the session's request, if it has a valid one and the page shows it."""
    request = st.session_state.get("request")
    if request is None or not shows_request(page):
        return
    try:
        claim(HISTORY, history().size)
    except MemoryFullError:
        return  # a request that is not remembered is no reason to show no page
    history().add(Asked.of(request), page, time.time())


def back_to(asked: Asked) -> None:
    """Ask this again; for callbacks. Edits are switched as they were; a note says what is gone."""
    use_asked(asked)
    gone = switch_edits(asked)
    st.session_state[NOTE] = gone_edits(gone, len(asked.edit_ids))


def gone_edits(gone: int, of: int) -> str:
    """A sentence about edits that are no longer in the ledger; empty if all are."""
    if not gone:
        return ""
    if of == 1:
        return "The edit that was on then is no longer among your edits: you see it without."
    return f"Of the {count(of, 'edit')} that were on then, {gone} can no longer be switched on."


def use_asked(asked: Asked) -> None:
    """Put a request into the sidebar's fields; for callbacks."""
    name, precision = split_key(asked.model_name)
    st.session_state[MODEL] = name if name in CARDS else OTHER
    if name not in CARDS:
        st.session_state[OTHER_MODEL] = name
    st.session_state[PRECISION] = precision
    st.session_state[PROMPT], st.session_state[TARGET] = asked.prompt, asked.target
    # As if the app had proposed it for this prompt: nothing else takes its place.
    st.session_state[PROPOSED] = subject_of(asked.prompt)
    st.session_state[SUBJECT] = asked.subject or ""


def switch_edits(asked: Asked) -> int:
    """Switch on exactly the edits of a request; how many of them are not in the ledger any more.
    For callbacks."""
    known = ledger.entries()
    for entry in known:
        entry.on = entry.id in asked.edit_ids
    return len(set(asked.edit_ids) - {entry.id for entry in known})
