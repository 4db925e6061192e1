"""What a comparison can measure, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

import core
from app.cells.compare_sides import Sides
from app.cells.tooltips import short_number

NORM, SHARE, PLACE, COSINE = "norm", "share", "place", "cosine"
FORWARD = {
    "probability": "Target's probability",
    "log_probability": "Its logarithm",
    PLACE: "Target's rank",
}
BACKWARD = {
    NORM: "Strength ‖δ‖",
    SHARE: "Share of the signal",
    PLACE: "Target's rank in δ",
    COSINE: "Direction (cosine)",
}
NORMS = {
    NORM: "Signal ‖δ‖",
    SHARE: "Share of the signal",
    "input_norm": "Input ‖x‖",
    "input_share": "Share of the input",
}
PER_SIDE = {"norm", "input_norm"}  # measures of two models that have no common scale
SIZES = "sizes = ({0.model}.vocabulary_size, {1.model}.vocabulary_size)"


def parts(sides: Sides, how: core.Alignment) -> tuple | None:
    """The segments of both prompts, where it is by them that the sides are compared."""
    return sides.segments if how.by == "segment" else None


def given(segments: object) -> str:
    return ", segments=parts" if segments else ""


def sizes(sides: Sides) -> tuple[int, int]:
    return tuple(side.model.vocabulary_size for side in (sides.left, sides.right))


def comparable(sides: Sides, measures: Mapping[str, str]) -> dict[str, str]:
    """The measures that mean something for these sides: vectors of two models have no common
    scale, and no common directions."""
    if not sides.whole or sides.same_model:
        return dict(measures)
    return {k: v for k, v in measures.items() if k not in PER_SIDE and k != COSINE}


def numbers(title: str, measure: str) -> tuple[str, Callable[[float], str]]:
    """The measure's name and how its values are written."""
    parts_of_one = {"probability", SHARE, PLACE, "input_share"}
    return title, (percent_text if measure in parts_of_one else short_number)


def percent_text(value: float) -> str:
    if pd.isna(value):
        return "–"
    return "0" if value == 0 else "<0.1%" if abs(value) < 0.0005 else f"{value:.1%}"
