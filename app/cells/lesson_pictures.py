"""The live picture that a lesson is about."""

from __future__ import annotations

import streamlit as st

from app.cells.backward import backward_cell
from app.cells.edit_answers import answers_cell
from app.cells.forward import forward_cell
from app.cells.norms import norms_cell, target_rank_cell
from app.cells.rank import rank_by_layer_cell, rank_curve_cell
from app.notebook import tables
from app.shell.state import Request
from app.words import code_span


def answers(number: int, request: Request) -> None:
    """Before and after, where an edit is on."""
    if request.entries:
        answers_cell(number, request)
        return
    before, _ = tables.both_answers(request, 1)
    box = st.container(border=True, key="cell_answers")
    box.markdown(
        f"**{number} · What it says before and after**  \nNo edit is on. After "
        f"{code_span(request.prompt)} the model says "
        f"{code_span(before['token'].iloc[0])}."
    )


# By the names that a lesson's file uses: how it is drawn, and the key of its cell.
DRAWN = {
    "forward": (forward_cell, "forward"),
    "backward": (
        lambda number, request: backward_cell(number, request, key="lesson_backward"),
        "lesson_backward",
    ),
    "norms": (norms_cell, "norms"),
    "target_rank": (target_rank_cell, "target_rank"),
    "rank_curve": (rank_curve_cell, "rank_curve"),
    "rank_by_layer": (rank_by_layer_cell, "rank_by_layer"),
    "answers": (answers, "answers"),
}


def picture(number: int, name: str, request: Request, *, outlined: bool) -> None:
    """Nothing for a unit without a picture; `outlined` says that here is where to look."""
    if not name:
        return
    draw, key = DRAWN[name]
    if outlined:
        st.html(outline(f"cell_{key}"))
    draw(number, request)


def outline(key: str, inside: str = "") -> str:
    """A style that draws a line around what has this key."""
    return (
        f"<style>.st-key-{key} {inside} {{ outline: 3px solid #d9622b; outline-offset: 3px; }}"
        "</style>"
    )
