"""The tour: a small card that leads around the page, once by itself and again when it is called.

It covers little and blocks nothing; what it speaks of has a frame meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.work.own import own
from app.workshop.gate import CODE

STEP = "tour_step"  # in the session: which step is shown; none while there is no tour
CAME = "came_by_a_link"  # in the session: whether its first URL asked for something


@dataclass(frozen=True)
class Step:
    words: str
    shows: str  # CSS selector of what gets the frame


STEPS = (
    Step(
        "**Write the beginning of a sentence** on the left. Below it you see the pieces, the "
        "tokens, in which the model reads it.",
        ".st-key-prompt",
    ),
    Step(
        "**Write the word that should come next**, the target. It need not be true: the app shows "
        "what the model would have to change to say it.",
        ".st-key-target",
    ),
    Step(
        "**This is that change**, layer by layer (upwards) and token by token (to the right). The "
        "sentence above the picture says what stands out.",
        "[class*='st-key-cell_']",
    ),
    Step(
        "**Under each picture** are its Python code, its numbers and the picture as a file. “Keep” "
        "puts it into your notebook.",
        "[class*='st-key-cell_'] [data-testid='stDownloadButton'], [class*='st-key-keep_']",
    ),
    Step(
        "**The menu** has three groups: look into the model, measure over many prompts, and edit "
        "what it knows. Your prompt comes along to every page.",
        "[data-testid='stTopNav'], [data-testid='stExpandSidebarButton']",
    ),
    Step("**That is all.** “Take the tour”, on the left, brings it back.", ".st-key-take_the_tour"),
)
PLACE = """<style>
[data-testid="stLayoutWrapper"]:has(> .st-key-tour) {
  position: fixed; right: 1rem; bottom: 1rem; z-index: 1000; width: min(22rem, 92vw); }
.st-key-tour { background: var(--background-color, Canvas); border: 2px solid #b8400e;
  border-radius: 0.75rem; padding: 0.9rem 1rem; box-shadow: 0 4px 18px rgba(0, 0, 0, 0.25); }
SHOWN { outline: 3px solid #d9622b; outline-offset: -1px; border-radius: 6px; }
</style>"""


@dataclass
class Taken:
    """Whether a visitor has had the tour."""

    begun: bool = False
    size: int = 64


def tour(path: str) -> None:
    """The card, where the tour is on; it begins by itself on a browser's first visit to Start."""
    if CAME not in st.session_state:
        st.session_state[CAME] = bool(set(st.query_params) - {CODE})
    if not path and not st.session_state[CAME] and st.context.cookies:
        taken = own("tour_taken", Taken)
        if not taken.begun:
            taken.begun = True
            begin()
    if STEP in st.session_state:
        card()


def tour_button() -> None:
    st.button("Take the tour", on_click=begin, key="take_the_tour", type="tertiary")


def begin() -> None:
    """For callbacks."""
    st.session_state[STEP] = 0


def end() -> None:
    st.session_state.pop(STEP, None)


def go(step: int) -> None:
    st.session_state[STEP] = step


@st.fragment
def card() -> None:
    at = st.session_state.get(STEP)
    if at is None:
        return
    step, last = STEPS[at], at == len(STEPS) - 1
    with st.container(key="tour", gap="small"):
        st.html(PLACE.replace("SHOWN", step.shows))
        st.markdown(step.words)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{at + 1} of {len(STEPS)}")
            if at:
                st.button("Back", on_click=go, args=(at - 1,), key="tour_back")
            if not last:
                st.button("Next", on_click=go, args=(at + 1,), key="tour_next", type="primary")
            st.button(
                "Close" if last else "End the tour",
                on_click=end,
                key="tour_end",
                type="primary" if last else "secondary",
            )
