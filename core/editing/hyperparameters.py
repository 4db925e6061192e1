"""Checks that every editing method makes of the numbers it is given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from core.errors import EditError
from core.model.edits import matrix_shape
from core.model.language_model import LanguageModel

AUTO = "auto"
FIXED = "fixed"


def relative_layer(model: LanguageModel, depth: float) -> int:
    """The layer at a depth from 0 (first) to 1 (last)."""
    return min(model.n_layers - 1, round(depth * model.n_layers))


def known_settings(
    model: LanguageModel, tables: Mapping[str, Mapping[str, object]]
) -> Mapping[str, object]:
    """What a table says about this model; nothing about a namesake with fewer layers."""
    known = tables.get(model.name, {})
    layers = (known.get("layer", 0), *known.get("layers", ()))
    return known if max(layers) < model.n_layers else {}


def check_layers(model: LanguageModel, layers: Sequence[int], matrix: str = "ff2") -> None:
    """Refuse layers that the model does not have; there must be at least one."""
    if not layers:
        raise EditError(f"No layer is chosen. Choose one from 0 to {model.n_layers - 1}.")
    for layer in layers:
        matrix_shape(model, matrix, layer)


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Refuse what is no finite number from low to high."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise EditError(f"{name} is {value!r}; choose a number from {low:g} to {high:g}.")


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Refuse what is no whole number from low to high."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not low <= value <= high:
        raise EditError(f"{name} is {value!r}; choose a whole number from {low} to {high}.")
