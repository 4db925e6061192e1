"""Controls that several cells share: which layer, which token, tokens or segments."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import core
from app.shell.state import Request
from app.words import shortened, visible

# From the bottom of the model to the top, where the paper's edits work best: 35 of 48 layers.
USUAL_DEPTH = 0.73

SEGMENT_TITLES = dict(
    zip(
        core.SEGMENTS,
        (
            "before subject",
            "subject first",
            "subject middle",
            "subject last",
            "after subject",
            "further",
            "last token",
        ),
        strict=True,
    )
)
SEGMENT_WIDTH = 112  # pixels, so that a segment's title can be read


def layer_slider(place: DeltaGenerator, request: Request, key: str) -> int:
    last = request.model.n_layers - 1
    if last == 0:
        return 0
    return place.slider(
        "Layer",
        0,
        last,
        round(USUAL_DEPTH * last),
        key=f"{key}_layer_{last + 1}",
        bind="query-params",
    )


def token_picker(place: DeltaGenerator, request: Request, key: str) -> int:
    """The position of a prompt token; the last one unless the user picks another."""
    tokens = request.model.tokenize(request.prompt)
    last = len(tokens) - 1
    return place.selectbox(
        "Prompt token",
        range(len(tokens)),
        index=last,
        format_func=lambda i: (
            f"{i + 1}. {shortened(visible(tokens[i]), 24)}{' (last)' if i == last else ''}"
        ),
        key=f"{key}_token_{len(tokens)}",
        persist_state="session",
    )


def by_segment(place: DeltaGenerator, request: Request, key: str) -> bool:
    """Tokens or segments; tokens alone, with the reason, where there is no subject."""
    chosen = place.segmented_control(
        "Columns",
        ["tokens", "segments"],
        format_func={"tokens": "Tokens", "segments": "Segments"}.get,
        default="tokens",
        required=True,
        key=f"{key}_columns",
        bind="query-params",
        help="Segments are places in the prompt as seen from its subject: before it, its first, "
        "middle and last token, and what follows.",
    )
    if chosen == "segments" and request.subject is None:
        st.info("Segments need a subject that stands in the prompt: write it on the left.")
        return False
    return chosen == "segments"
