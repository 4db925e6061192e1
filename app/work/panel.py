"""How a job looks, everywhere alike: what it does, how far it is, a button that ends it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from app.words import plain
from app.work.job import GRACE, Job
from app.work.pace import looks
from app.work.sessions import attend, current

PAUSE = 1.0  # seconds between two looks, unless a look takes long
TOO_SHORT = 1.5  # a pause is chosen anew when it should be this many times as long


def follow(jobs: Sequence[Job], draw: Callable[[], None], *, pause: float = PAUSE) -> None:
    """Draw again and again while one of the jobs runs; then the page starts anew."""
    every = looks.pause(pause)

    @st.fragment(run_every=every)
    def look() -> None:
        attend()
        if not any(job.running for job in jobs):
            st.rerun()
        with looks.measured():
            draw()
        if looks.pause(pause) > TOO_SHORT * every:
            st.rerun()

    with st.container():  # the fragment is known by its place: two in one would be the same
        look()


def show(slot: str) -> None:
    """The running job of this session's slot, in a box."""
    job = current(slot)
    with st.container(border=True, key=f"cell_{slot}_job"):
        follow([job], partial(draw_whole, job, slot))


def draw_whole(job: Job, slot: str) -> None:
    draw_bar(job)
    st.button(
        "Cancel", key=f"cancel_{slot}", on_click=job.cancelled.set, disabled=job.cancelled.is_set()
    )
    if job.keep:
        st.caption(
            "You may use the other pages meanwhile, and close this tab: the work goes on, and "
            "this page's link finds it again."
        )
    else:
        st.caption(
            "You may use the other pages meanwhile. When you close this tab, the work is "
            f"cancelled after {GRACE:.0f} seconds."
        )


def draw_bar(job: Job) -> None:
    st.progress(job.share, f"{plain(job.title)}: {job.progress}")


def outcome(slot: str, cancelled: str) -> None:
    """Why the slot's last job made nothing, if so; `cancelled` is said where it was cancelled."""
    job = current(slot)
    if job is None or job.running:
        return
    if job.error:
        st.error(plain(job.error))
    elif job.ended_early:
        st.info(cancelled)
