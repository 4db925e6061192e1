"""A cell that draws itself anew when something in it is touched, without the rest of its page."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec

import streamlit as st

import core
from app.words import plain
from app.work.sessions import attend
from app.work.turnstile import in_turn

P = ParamSpec("P")


def on_its_own(draw: Callable[P, None]) -> Callable[P, None]:
    """A fragment whose runs do what a page's do: in turn with others, a sentence for an error."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
        attend()
        with in_turn():
            try:
                draw(*args, **kwargs)
            except core.BackwardLensError as error:
                st.error(plain(str(error)))

    return st.fragment(drawn)
