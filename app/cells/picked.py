"""A cell of a token table that somebody picked: by a click, or in two fields that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.words import shortened, visible


@dataclass(frozen=True)
class Pick:
    """Which cell of the table with this key is picked; None for what is not."""

    key: str
    tokens: tuple[str, ...]
    n_layers: int
    layer: int | None
    position: int | None

    @property
    def cell(self) -> tuple[int, int] | None:
        """(layer, position), where both are picked."""
        if self.layer is None or self.position is None:
            return None
        return self.layer, self.position

    def fields(self, place: DeltaGenerator) -> None:
        """Layer and Token, for the keyboard."""
        row = place.container(horizontal=True, vertical_alignment="bottom", gap="medium")
        layer, token = field_keys(self.key, self.n_layers, len(self.tokens))
        row.selectbox(
            "Layer of the cell",
            range(self.n_layers),
            index=None,
            key=layer,
            placeholder="click a cell, or choose",
            width=210,
        )
        row.selectbox(
            "Token of the cell",
            range(len(self.tokens)),
            index=None,
            format_func=lambda i: f"{i + 1}. {shortened(visible(self.tokens[i]), 24)}",
            key=token,
            placeholder="click a cell, or choose",
            width=210,
        )


def field_keys(key: str, n_layers: int, n_tokens: int) -> tuple[str, str]:
    """Fields of another number of layers or tokens are other fields."""
    return f"{key}_pick_layer_{n_layers}", f"{key}_pick_token_{n_tokens}"


def picked(key: str, n_layers: int, tokens: Sequence[str]) -> Pick:
    """What is picked in the table whose chart has the key "<key>_chart"; for before it is drawn.

    A new click goes into the fields. What was picked in another prompt or model stays picked, as
    far as there is such a layer and such a token.
    """
    state, counts = st.session_state, (n_layers, len(tokens))
    names = field_keys(key, *counts)
    clicked = click(key)
    if clicked is not None and clicked != state.get(f"{key}_clicked"):
        places = clicked
    else:
        known = state.get(f"{key}_picked", (None, None))
        places = tuple(state.get(name, old) for name, old in zip(names, known, strict=True))
    places = tuple(
        place if place is not None and 0 <= place < count else None
        for place, count in zip(places, counts, strict=True)
    )
    state[f"{key}_clicked"], state[f"{key}_picked"] = clicked, places
    for name, place in zip(names, places, strict=True):
        state[name] = place
    return Pick(key, tuple(tokens), n_layers, *places)


def click(key: str) -> tuple[int, int] | None:
    """The cell that is selected in the picture itself."""
    event = st.session_state.get(f"{key}_chart")
    cells = event["selection"].get("cell") if event else None
    return (int(cells[0]["layer"]), int(cells[0]["position"])) if cells else None
