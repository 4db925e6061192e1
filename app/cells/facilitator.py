"""A facilitator's workshop: who is here, what runs, a message to all, a clock."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

import psutil
import streamlit as st

from app.settings import MEMORY
from app.words import count, joined, megabytes, plain
from app.work.job import Job
from app.work.memory import everybody
from app.work.panel import draw_bar
from app.work.results import results, traces
from app.work.turnstile import people_waiting
from app.workshop.gate import CODE, now
from app.workshop.room import (
    MESSAGE_LETTERS,
    Board,
    Person,
    room,
    start_clock,
    stop_clock,
)
from app.workshop.times import hours_and_minutes
from app.workshop.visit import Visit

EVERY = 2.0  # seconds from one look at the room to the next
SHOWN_JOBS = 30
LONGEST_EXERCISE = 240  # minutes


def overview(here: Visit) -> None:
    """The room in five numbers, drawn anew by themselves."""

    @st.fragment(run_every=EVERY)
    def look() -> None:
        workshop = here.workshop
        queues = [("a page", people_waiting()), *room().queues()]
        queues = [(what, n) for what, n in queues if n]
        row = st.container(horizontal=True, gap="large")  # which goes on below where it is narrow
        for label, value in (
            ("People here", len(room().people(workshop.id))),
            ("Pieces of work running", len(room().running(workshop.id))),
            ("Waiting", sum(n for _, n in queues)),
            ("Memory of the server", megabytes(psutil.Process().memory_info().rss)),
            ("Time left", hours_and_minutes(workshop.expires - now())),
        ):
            row.metric(label, value, width="content")
        st.caption(plain(background(queues, room().others(workshop.id))))

    look()


def background(queues: list[tuple[str, int]], others: int) -> str:
    """Who waits for what, the limit of the memory, and who else is on this server."""
    parts = [f"{n} waiting for {what}." for what, n in queues] or ["Nobody waits."]
    used = everybody().total + results().weight + traces().weight
    parts.append(
        f"Visitors' work takes {megabytes(used)} of {megabytes(MEMORY.value)}, models aside; the "
        f"machine has {megabytes(psutil.virtual_memory().available)} left."
    )
    if others:
        parts.append(
            f"{count(others, 'visitor')} of this server "
            f"{'is' if others == 1 else 'are'} not in this workshop."
        )
    return " ".join(parts)


def work_cell(here: Visit) -> None:
    """What runs, with a button that ends it; and who is here."""

    @st.fragment(run_every=EVERY)
    def look() -> None:
        st.markdown(plain(names(room().people(here.workshop.id))))
        running = room().running(here.workshop.id)
        for name, job in running[:SHOWN_JOBS]:
            work_row(name, job)
        if len(running) > SHOWN_JOBS:
            st.caption(f"And {len(running) - SHOWN_JOBS} more.")
        if not running:
            st.markdown("Nothing runs now. Studies, edits and calibrations appear here.")

    with st.container(border=True, key="cell_work"):
        st.markdown(
            "**1 · Who is here, and what is running**  \nNames, where they were given. Longer work "
            "takes turns on the model with the others' pages: end it only if you must."
        )
        look()


def work_row(name: str, job: Job) -> None:
    left, right = st.columns([5, 1], vertical_alignment="center")
    with left:
        draw_bar(job)
        st.caption(f"By {plain(name)}" if name else "By somebody without a name")
    right.button(
        "End it",
        key=f"end_{job.token}",
        on_click=job.cancelled.set,
        disabled=job.cancelled.is_set(),
    )


def names(people: list[Person]) -> str:
    """Those who gave a name, and how many did not."""
    given = [person.name for person in people if person.name]
    silent = len(people) - len(given)
    if silent:
        given.append(f"{silent} without a name" if given else count(silent, "participant"))
    return joined(given) + "." if given else "Nobody has come yet."


def message_cell(board: Board) -> None:
    """A text that all see at the top of every page within seconds, until it is taken back."""
    with st.container(border=True, key="cell_message"):
        st.markdown("**3 · A message to all**  \nAt the top of everybody's page within seconds.")
        with st.form("message_form", border=False, enter_to_submit=False):
            st.text_area(
                "Message",
                key="message",
                max_chars=MESSAGE_LETTERS,
                height=90,
                label_visibility="collapsed",
                placeholder="Now open Edit and make it say …",
            )
            row = st.container(horizontal=True)
            row.form_submit_button("Send to all", type="primary", on_click=send, args=(board,))
            if board.message:
                row.form_submit_button("Take it back", on_click=take_back, args=(board,))


def send(board: Board) -> None:
    """For callbacks."""
    board.message = (st.session_state.get("message") or "").strip()[:MESSAGE_LETTERS]


def take_back(board: Board) -> None:
    """For callbacks."""
    board.message = ""


def clock_cell(board: Board) -> None:
    """A countdown that all see."""
    with st.container(border=True, key="cell_clock"):
        st.markdown("**4 · Time for an exercise**  \nAll see how many minutes are left.")
        row = st.container(horizontal=True, vertical_alignment="bottom")
        minutes = row.number_input(
            "Minutes", 1, LONGEST_EXERCISE, 10, key="exercise_minutes", width=130
        )
        row.button("Start", on_click=start_clock, args=(board, int(minutes)), key="start_clock")
        if board.ends is not None:
            row.button("Stop", on_click=stop_clock, args=(board,), key="stop_clock")


def link_cell(here: Visit) -> None:
    """The participants' link, to be shown or sent."""
    with st.container(border=True, key="cell_link"):
        st.markdown(
            "**2 · The participants' link**  \nWhoever has it comes in. This page's own address is "
            "yours alone: keep it."
        )
        st.code(participants_link(st.context.url or "", here.shared), language=None)


def participants_link(url: str, code: str) -> str:
    """The link for all, made from the address of the facilitator's page."""
    parts = urlsplit(url)
    folder = parts.path.rpartition("/")[0]
    return urlunsplit((parts.scheme, parts.netloc, f"{folder}/", urlencode({CODE: code}), ""))
