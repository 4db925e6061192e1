"""This session's edits: beside the shared model, on and off, and nobody else's business."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import streamlit as st

import core
from app.work.memory import claim

LEDGER = "ledger"  # in the session
OFF_TOGETHER = "switched_off"  # in the session: ids of the entries that one click switched off
MOST_EDITS = 20
MOST_BYTES = 64_000_000


@dataclass
class Entry:
    """An edit in the ledger. `id` names its content, for caches and widget keys."""

    edit: core.Edit
    name: str
    on: bool = True
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = hashlib.sha256(core.edit_bytes(self.edit)).hexdigest()[:16]


def entries() -> list[Entry]:
    """In the order in which they were made, which is the order in which they are applied."""
    return st.session_state.setdefault(LEDGER, [])


def fits(entry: Entry, model: core.LanguageModel) -> bool:
    return entry.edit.model_fingerprint == core.fingerprint(model)


def active(model: core.LanguageModel) -> tuple[Entry, ...]:
    """The entries that are switched on and were made on this model."""
    return tuple(entry for entry in entries() if entry.on and fits(entry, model))


def add(edit: core.Edit) -> Entry:
    """Put an edit at the end of the ledger, switched on; raises EditError where it is full."""
    known = entries()
    entry = Entry(edit, edit.name)
    same = next((other for other in known if other.id == entry.id), None)
    if same is not None:
        same.on = True
        return same
    size = sum(other.edit.size for other in known) + edit.size
    if len(known) >= MOST_EDITS or size > MOST_BYTES:
        raise core.EditError(
            f"The ledger holds {len(known)} edits; it takes at most {MOST_EDITS}, of "
            f"{MOST_BYTES // 1_000_000} MB together. Remove one on the left first."
        )
    claim(LEDGER, size)
    known.append(entry)
    return entry


def remove(entry_id: str) -> None:
    """For callbacks."""
    st.session_state[LEDGER] = [entry for entry in entries() if entry.id != entry_id]
    count_again()


def undo() -> None:
    """Take the newest edit back; for callbacks."""
    if entries():
        entries().pop()
        count_again()


def count_again() -> None:
    """After something was taken away."""
    claim(LEDGER, sum(entry.edit.size for entry in entries()))


def switch(entry_id: str, key: str) -> None:
    """Set an entry as its checkbox says; for callbacks."""
    for entry in entries():
        if entry.id == entry_id:
            entry.on = bool(st.session_state[key])


def switch_off(ids: Sequence[str]) -> None:
    """Several at once, to be taken back at once; for callbacks."""
    for entry in entries():
        if entry.id in ids:
            entry.on = False
    st.session_state[OFF_TOGETHER] = list(ids)


def off_together() -> list[Entry]:
    """The entries that the last `switch_off` switched off and that are off still."""
    ids = st.session_state.get(OFF_TOGETHER, ())
    return [entry for entry in entries() if entry.id in ids and not entry.on]


def switch_on_again() -> None:
    """Take the last `switch_off` back; for callbacks."""
    for entry in off_together():
        entry.on = True


def rename(entry_id: str, key: str) -> None:
    """Give an entry the name in its field; for callbacks."""
    name = st.session_state[key].strip()[:200]
    for entry in entries():
        if entry.id == entry_id and name:
            entry.name = name
