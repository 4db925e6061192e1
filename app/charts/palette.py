"""Colours: one sequential palette a quantity, the same everywhere, for light and for dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]

# From little to much. Each ramp changes in lightness all the way, so that it reads without hue.
RAMPS: dict[str, dict[bool, tuple[str, str, str]]] = {
    "probability": {
        False: ("#f4f8fd", "#8fbbe6", "#0b4a8f"),
        True: ("#16202c", "#2a5f96", "#9accff"),
    },
    "norm": {
        False: ("#fdf5ee", "#f0a56b", "#9c3206"),
        True: ("#241b15", "#99501f", "#ffc08a"),
    },
    "input_norm": {
        False: ("#f8f3fb", "#bf9bd3", "#5a2378"),
        True: ("#211928", "#6d3f8a", "#e0b8f7"),
    },
    "rank": {
        False: ("#0c5a4a", "#7fc4ae", "#f1f9f6"),
        True: ("#a6f0da", "#2c7f6b", "#14211e"),
    },
    "share": {
        False: ("#f4f4fb", "#a79fd6", "#41308f"),
        True: ("#1c1a26", "#5a4ea3", "#c3b9ff"),
    },
    "entropy": {
        False: ("#f6f6f3", "#b3b09c", "#4e4b38"),
        True: ("#1d1d1a", "#66634f", "#dcd8bf"),
    },
}
DIVERGING = {  # below, at and above zero
    False: ("#2166ac", "#f6f6f6", "#b3410a"),
    True: ("#6fb1ff", "#1f2228", "#ff9f68"),
}
ACCENT = {False: "#b8400e", True: "#ff9457"}
PAPER = {False: "#ffffff", True: "#14161a"}  # the page behind a chart
INK = {False: "#1d1b18", True: "#ececea"}
QUIET = {False: "#6c6861", True: "#8f939a"}
# Five besides the accent, as far apart in OKLab as a search found, to colour-blind eyes too.
LINES = {
    False: ("#0f796a", "#985bbc", "#052095", "#7f0052", "#5609fb"),
    True: ("#268eb0", "#fc0671", "#c09cfb", "#d60afe", "#02d4af"),
}


@dataclass(frozen=True)
class Ramp:
    """A sequential palette over [0, 1], from the first colour to the last."""

    stops: tuple[str, str, str]

    def colours(self, shares: Sequence[float]) -> np.ndarray:
        """Red, green and blue at each share, from 0 to 255: (share, 3)."""
        stops = np.array([rgb(stop) for stop in self.stops])
        places = np.clip(np.asarray(shares, dtype=float), 0, 1) * (len(stops) - 1)
        left = np.minimum(places.astype(int), len(stops) - 2)
        between = (places - left)[:, np.newaxis]
        return np.rint(stops[left] + (stops[left + 1] - stops[left]) * between)

    def colour(self, share: float) -> Colour:
        return tuple(map(int, self.colours([share])[0]))

    def inks(self, shares: Sequence[float]) -> list[str]:
        """For each share, the text colour with more contrast on the ramp's colour there."""
        backgrounds = luminance(self.colours(shares))
        on_black = (backgrounds + 0.05) / 0.05
        on_white = 1.05 / (backgrounds + 0.05)
        return np.where(on_black >= on_white, "#000000", "#ffffff").tolist()

    def ink(self, share: float) -> str:
        return self.inks([share])[0]


def ramp(quantity: str, dark: bool) -> Ramp:
    return diverging(dark) if quantity == "difference" else Ramp(RAMPS[quantity][dark])


def diverging(dark: bool) -> Ramp:
    """From -1 (share 0) through zero (share 0.5) to 1."""
    return Ramp(DIVERGING[dark])


def rgb(colour: str) -> Colour:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def luminance(colours: Colour | np.ndarray) -> float | np.ndarray:
    """Relative luminance as WCAG defines it, 0 for black and 1 for white; colours: (..., 3)."""
    parts = np.asarray(colours) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)
