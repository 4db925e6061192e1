"""What a workshop's participants see at the top of every page: the message, the clock."""

from __future__ import annotations

import html

import streamlit as st

from app.workshop.gate import now
from app.workshop.room import NAME, NAME_LETTERS, Board, be_here, room
from app.workshop.times import MINUTE, clock_face, told
from app.workshop.visit import visit

EVERY = 4.0  # seconds from one look at the board to the next
SOON = 10 * MINUTE  # before its end the workshop's own clock is shown
TIME_IS_UP = 2 * MINUTE  # as long as that is said
BOX = (
    "border-left:4px solid #d9622b;border-radius:4px;background:rgba(217,98,43,.12);"
    "padding:0.45rem 0.8rem;margin:0;font-size:1rem;line-height:1.45;"
    "display:flex;flex-wrap:wrap;gap:0 1.5rem;overflow-wrap:anywhere"
)


def notices() -> None:
    """The facilitator's words and the clocks; drawn anew by themselves, the page is not."""
    if visit() is None:
        return

    @st.fragment(run_every=EVERY)
    def look() -> None:
        be_here()
        here = visit()
        if here is not None:
            board = room().board(here.workshop.id)
            text = notice(board, here.workshop.expires, now())
            if text:
                st.html(text)

    look()


def notice(board: Board, expires: float, at: float) -> str:
    """The box as HTML, in which the message stands as text; empty where there is nothing to say."""
    clocks = [line for line in (exercise(board, at), closing(expires, at)) if line]
    parts = []
    if board.message:
        words = html.escape(board.message)
        parts.append(
            f'<div role="status" style="white-space:pre-wrap;flex:1 1 20rem">{words}</div>'
        )
    if clocks:
        style = "white-space:nowrap;margin-left:auto"
        words = " · ".join(clocks)
        parts.append(f'<div role="timer" aria-live="off" style="{style}">{words}</div>')
    return f'<div style="{BOX}">{"".join(parts)}</div>' if parts else ""


def exercise(board: Board, at: float) -> str:
    if board.ends is None or at > board.ends + TIME_IS_UP:
        return ""
    if at >= board.ends:
        return "<b>Time is up.</b>"
    return f"<b>{clock_face(board.ends - at)}</b> left for this exercise"


def closing(expires: float, at: float) -> str:
    left = expires - at
    return f"The workshop closes in {told(left)}" if 0 < left < SOON else ""


def name_field() -> None:
    """In the sidebar of a workshop's session: a name, for whoever wants to give one."""
    here = visit()
    if here is None or here.lead:
        return
    st.text_input(
        "Your name (only the facilitator sees it)",
        key=NAME,
        persist_state="session",
        max_chars=NAME_LETTERS,
        placeholder="Not needed",
    )
