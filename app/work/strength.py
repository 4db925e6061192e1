"""The search for edit strengths in the background: one at a time a session, its tables kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import pandas as pd
import streamlit as st

import core
from app.shell.models import load
from app.shell.state import Request
from app.work.job import GRACE, Presence
from app.work.panel import Task
from core.editing.edit_strength import STRENGTH_METHODS

TASK = "strength_task"  # in the session
TABLES = "strength_tables"  # in the session: what was asked -> table, the newest last
MOST_TABLES = 20

Key = tuple[str, str, str, tuple[str, ...]]  # model, prompt, target, ids of the active edits


@dataclass
class StrengthTask(Task):
    """A task that ends when nobody has been there for GRACE seconds; `about` is its Key."""

    left_at: float | None = None
    visitors: set[int] = field(default_factory=set)

    def report(self, done: int, total: int) -> None:
        left_at = self.left_at
        if left_at is not None and time.monotonic() - left_at > GRACE:
            self.cancelled.set()
        super().report(done, total)


@st.cache_resource(scope="session", on_release=Presence.leave, show_spinner=False)
def strength_presence() -> Presence:
    return Presence()


def key_of(request: Request) -> Key:
    return request.model_name, request.prompt, request.target, request.edit_ids


def start_search(request: Request) -> None:
    """Begin for this request, unless a search is running already; for callbacks."""
    current = st.session_state.get(TASK)
    if current is not None and current.running:
        return
    name, prompt, target, edits = request.model_name, request.prompt, request.target, request.edits

    def work(on_step):
        return core.edit_strength(load(name), prompt, target, on_step=on_step, edits=edits)

    steps = len(STRENGTH_METHODS) * request.model.n_layers
    task = StrengthTask("Trying strengths", work, key_of(request), total=steps)
    st.session_state[TASK] = task
    strength_presence().visit(task)
    task.start()


def session_task() -> StrengthTask | None:
    """This session's search, running or just ended; also says that somebody is here."""
    task = st.session_state.get(TASK)
    strength_presence().visit(task)
    return task


def known_table(request: Request) -> pd.DataFrame | None:
    """What was measured in this session for exactly this model, prompt, target and edits."""
    tables = st.session_state.setdefault(TABLES, {})
    task = session_task()
    if task is not None and not task.running and task.result is not None:
        tables[task.about] = task.result
    while len(tables) > MOST_TABLES:
        tables.pop(next(iter(tables)))
    return tables.get(key_of(request))
