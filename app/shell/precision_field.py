"""The precision in which the chosen model is kept: which one and why, and another by hand."""

from __future__ import annotations

import streamlit as st

import core
from app.words import plain
from app.workshop.visit import pinned_model
from core.model.precision import PRECISIONS

PRECISION = "precision_choice"  # "" lets the memory decide
TITLES = {
    "float32": "32 bits (float32): exact, the largest",
    "bfloat16": "16 bits (bfloat16): half the memory",
    "int8": "8 bits (int8): a quarter of the memory",
}


def chosen_precision() -> str:
    """The precision chosen by hand, also by a link; empty where the memory decides, as it does in
    a workshop with a model of its own: all share it."""
    if pinned_model():
        return ""
    if st.session_state.get(PRECISION) not in ("", *PRECISIONS):  # none yet, or one of nobody's
        linked = st.query_params.get("precision", "")
        st.session_state[PRECISION] = linked if linked in PRECISIONS else ""
    return st.session_state[PRECISION]


def precision_field(model: core.LanguageModel | None) -> None:
    """Which precision is in use and why, small, with a choice behind a click."""
    if pinned_model():
        return
    chosen = chosen_precision()
    if chosen:
        st.query_params["precision"] = chosen
    else:
        st.query_params.pop("precision", None)
    name = model.precision.name if model is not None else chosen or "the one that fits"
    with st.popover(f"Precision: {name}", width="stretch"):
        if model is not None:
            st.caption(plain(f"{model.precision.name}. {model.precision.reason}"))
        st.radio(
            "How exactly the model's numbers are kept",
            ["", *PRECISIONS],
            format_func=lambda kind: TITLES.get(kind, "The most exact one that fits into memory"),
            key=PRECISION,
            help="Fewer bits need less memory; the results differ slightly.",
        )
