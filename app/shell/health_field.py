"""The health meter in the sidebar: how well the model is with the active edits, and what to do.

It is measured in the background after each change of the active edits; a change while it is
measured begins it anew.
"""

from __future__ import annotations

import html
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

import core
from app.findings.health import MARKS, advice, health_finding, switched_off
from app.shell import ledger
from app.words import plain, visible
from app.work.job import Job, OnStep
from app.work.panel import follow
from app.work.sessions import begin_aside, end_aside

HEALTH = "health"  # the slot
MEASURED = "measured_health"  # in the session: what was measured -> Measurement, the newest last
MOST_MEASURED = 20
QUICK = 0.3  # seconds that the page waits for it: small models are measured in them
# Backgrounds, light and dark; the mark says the same in words.
COLOURS = {
    "green": ("#dcefdc", "#1f3d27"),
    "amber": ("#fbecc8", "#4a3a12"),
    "red": ("#f7d9d3", "#4f231c"),
}
HELP = (
    "Perplexity: how surprised the model is by a short text that has nothing to do with your "
    "edits; higher is worse. Good: at most 1.1 times the original’s, and at least 90% of the "
    "answers to unrelated prompts stay. Bad: above 1.5 times, or fewer than 70%."
)


@dataclass
class Measurement:
    """What has been found, at first the health alone, without what to do; the job while it runs."""

    job: Job | None = None
    early: core.Health | None = None
    error: str = ""

    @property
    def running(self) -> bool:
        return self.job is not None and not self.job.over

    @property
    def found(self) -> core.Health | None:
        return (self.job and self.job.result) or self.early

    @property
    def was_cancelled(self) -> bool:
        return self.job is not None and (
            self.job.ended_early or (self.running and self.job.cancelled.is_set())
        )

    def settle(self) -> None:
        """Once the job is over, keep what it found and let go of it: it holds model and edits."""
        if self.job is not None and self.job.over and not self.job.ended_early:
            self.early, self.error, self.job = self.found, self.job.error, None


def health_field(model: core.LanguageModel, model_key: str) -> None:
    """One line and a button, where an edit is active; for the ledger."""
    entries = ledger.active(model)
    if not entries:
        end_aside(HEALTH)
        return
    mine = measurement(model, model_key, entries)
    with st.container(key="health"):
        if mine.running:
            follow([mine.job], partial(draw, mine, entries))
        else:
            draw(mine, entries)


def measurement(
    model: core.LanguageModel, model_key: str, entries: Sequence[ledger.Entry]
) -> Measurement:
    """That of these edits, begun if there is none; any other that runs is cancelled."""
    kept: dict[Hashable, Measurement] = st.session_state.setdefault(MEASURED, {})
    key = (model_key, tuple(entry.id for entry in entries))
    mine = kept.pop(key, None)
    if mine is None or mine.was_cancelled:
        mine = begin(model, [entry.edit for entry in entries])
    mine.settle()
    if not mine.running:
        end_aside(HEALTH)
    for other in [other for other, its in kept.items() if its.job is not None]:
        del kept[other]  # it has been cancelled
    kept[key] = mine
    while len(kept) > MOST_MEASURED:
        del kept[next(iter(kept))]
    return mine


def begin(model: core.LanguageModel, edits: Sequence[core.Edit]) -> Measurement:
    mine = Measurement()

    def work(on_step: OnStep) -> core.Health:
        def keep(found: core.Health) -> None:
            mine.early = found

        return core.health(model, edits, on_step=on_step, on_measured=keep)

    mine.job = Job("Health of the edits", work, lock=model.lock)
    begin_aside(HEALTH, mine.job, quick=QUICK)
    return mine


def draw(mine: Measurement, entries: Sequence[ledger.Entry]) -> None:
    found = mine.found
    if mine.error:
        st.caption(plain(f"Health: {mine.error}"))
    elif found is None:
        st.caption("Health: measuring …" if mine.running else "Health: not measured.")
    else:
        st.html(line(found))
        act(found, entries, mine.running)


def line(found: core.Health) -> str:
    """Word, mark and colour, and the finding; HTML."""
    light, dark = COLOURS[found.colour]
    style = (
        f"background:light-dark({light},{dark});border-radius:5px;padding:1px 6px;"
        "white-space:nowrap;font-weight:600"
    )
    return (
        f'<div role="status" title="{html.escape(HELP)}" style="font-size:13px;line-height:1.45">'
        f'<span style="{style}">Health: {MARKS[found.colour]}</span> '
        f"{html.escape(health_finding(found))}</div>"
    )


def act(found: core.Health, entries: Sequence[ledger.Entry], measuring: bool) -> None:
    """The button that does what is to be done."""
    label = advice(found, [visible_name(entry.name) for entry in entries])
    if measuring and found.colour != "green":
        st.caption("Finding out which edits to switch off …")
    elif label:
        ids = [entries[place].id for place in switched_off(found, len(entries))]
        st.button(
            plain(label),
            key="health_act",
            on_click=ledger.switch_off,
            args=(ids,),
            help="Measured: with the others alone the model is well. You can switch them on again.",
        )


def visible_name(name: str) -> str:
    return visible(name).replace("·", " ")
