"""The mark that says whether the factors were compared with autograd's own gradient."""

from __future__ import annotations

import streamlit as st

from app.findings.checked import checked_finding
from app.notebook import tables
from app.shell.state import Request

LARGE = 200_000_000  # numbers in all MLP matrices: above, the extra pass waits for a click
ASKED = "checked_against_autograd"  # in the session: what was asked to be checked


def checked_mark(request: Request) -> None:
    """A caption with the reconstruction error; it costs one more pass."""
    model = request.model
    asked, _ = tables.key(request)
    numbers = model.n_layers * model.d_model * model.d_mlp * 2
    compared = (
        "Compares the gradient of FF2 in the middle layer, as these pages put it together from x "
        "and δ, with the one that PyTorch computes by itself."
    )
    if numbers > LARGE and asked not in st.session_state.get(ASKED, ()):
        st.button(
            "Check against autograd (one more pass)",
            key="check_autograd",
            on_click=ask,
            args=(asked,),
            help=compared,
        )
        return
    error, half = tables.reconstruction_error(request), model.activation_dtype.itemsize < 4
    st.caption(checked_finding(error, model.n_layers // 2, half=half), help=compared)


def ask(asked: tables.Key) -> None:
    st.session_state.setdefault(ASKED, set()).add(asked)
