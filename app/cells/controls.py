"""Controls that several cells share: which layer, which token, tokens or segments."""

from __future__ import annotations

from collections.abc import Container, Mapping

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.shell.state import Request
from app.titles import MATRIX_TITLES
from app.words import shortened, visible

# From the bottom of the model to the top, where the paper's edits work best: 35 of 48 layers.
USUAL_DEPTH = 0.73

MOST_LAYERS, LAYERS_IN_SIGHT = 24, 16  # drawn whole; else about so many at first
SEGMENT_WIDTH = 112  # pixels, so that a segment's title can be read


def choice(
    place: DeltaGenerator,
    label: str,
    titles: Mapping[str, str],
    key: str,
    *,
    among: Container[str] | None = None,
    default: str | None = None,
    bound: bool = True,
    help: str | None = None,
) -> str:
    """One of several, picked by its title; the first unless there is a `default`.

    `among` leaves out what this model does not have. What is `bound` stands in the link; one that
    names nothing picks nothing, and the default is taken.
    """
    names = [name for name in titles if among is None or name in among]
    default = default or names[0]
    picked = place.segmented_control(
        label,
        names,
        format_func=titles.get,
        default=default,
        required=True,
        key=key,
        bind="query-params" if bound else None,
        help=help,
    )
    return picked or default


def mlp_matrix(place: DeltaGenerator, request: Request, key: str, label: str = "Matrix") -> str:
    """One of the MLP's matrices that this model has."""
    names = request.model.matrices
    return choice(place, label, MATRIX_TITLES, key, among=names, default="ff2")


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


def some_layers(
    place: DeltaGenerator, table: pd.DataFrame, keep: int | tuple[int, ...], key: str
) -> pd.DataFrame:
    """The rows of every 2nd (3rd ...) layer, from the last one down, unless the user wants all.

    Only for a model so deep that its table would be higher than a laptop's screen. The layers
    in `keep`, of which the finding speaks, are always there.
    """
    layers = int(table["layer"].nunique())
    step = -(-layers // LAYERS_IN_SIGHT)
    if layers <= MOST_LAYERS:
        return table
    name = {2: "2nd", 3: "3rd"}.get(step, f"{step}th")
    thinned = place.toggle(
        f"Every {name} layer",
        True,
        key=f"{key}_some_of_{layers}",
        help="So that the table fits the screen. Switch it off to see all layers.",
    )
    if not thinned:
        return table
    last, kept = table["layer"].max(), keep if isinstance(keep, tuple) else (keep,)
    return table[((last - table["layer"]) % step == 0) | (table["layer"].isin(kept))]


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
    chosen = choice(
        place,
        "Columns",
        {"tokens": "Tokens", "segments": "Segments"},
        f"{key}_columns",
        default="tokens",
        help="Segments are places in the prompt as seen from its subject: before it, its first, "
        "middle and last token, and what follows.",
    )
    if chosen == "segments" and request.subject is None:
        st.info("Segments need a subject that stands in the prompt: write it on the left.")
        return False
    return chosen == "segments"
