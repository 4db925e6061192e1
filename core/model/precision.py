"""The precision that fits: what a model needs in each, and which one is taken.

From the exact to the small: float32; 16 bits; 8-bit matrices with one scale a row, where embeddings
and the decoding matrix stay in 16 bits. Norms are float32 everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.errors import ModelError

HEADROOM = 1.1  # activations and the lens, on top of the weights
WIDTHS = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}  # bytes of a number
PRECISIONS = ("float32", "bfloat16", "int8")  # what a user chooses from, the most exact first


@dataclass(frozen=True)
class Precision:
    """How a model's weights are kept in memory, and why so: a sentence for the user."""

    name: str  # float32, bfloat16, int8; by hand float16 and float64 as well
    reason: str


@dataclass(frozen=True)
class Sizes:
    """What a model's file holds, counted from its header."""

    parameters: int  # all numbers
    matrices: int  # those in the blocks' matrices
    rows: int  # of those matrices
    half: str = "bfloat16"  # the 16-bit precision that loses least: the file's own

    def need(self, kind: str) -> int:
        """Bytes of memory in a precision, activations and the lens included."""
        if kind == "int8":
            others = self.parameters - self.matrices
            return int(HEADROOM * (self.matrices + 4 * self.rows + 2 * others))
        return int(HEADROOM * WIDTHS[kind] * self.parameters)


@dataclass(frozen=True)
class Choice:
    """Where a model goes, and how its weights are kept there."""

    place: str
    precision: Precision


def choose(
    name: str,
    sizes: Sizes,
    wanted: str | None,
    places: Sequence[str],
    free_memory: Callable[[str], int],
) -> Choice:
    """The first precision that fits, tried on accelerators first and then on the CPU.

    `wanted` is a precision by hand; places are "cpu", "cuda:0", "mps", or "auto" for several GPUs
    together. Raises ModelError, which names the smallest need, where nothing fits.
    """
    free = {place: free_memory(place) for place in places}
    accelerators = [place for place in places if place != "cpu"]
    for group in (accelerators, [place for place in places if place == "cpu"]):
        for kind in [wanted] if wanted else kinds_for(sizes, group):
            for place in group:
                spread = place == "auto" and kind == "int8"  # compact matrices stay on one device
                if sizes.need(kind) <= free[place] and not spread:
                    reason = why(sizes, kind, wanted, free[place])
                    return Choice(place, Precision(kind, reason))
    raise ModelError(refusal(name, sizes, wanted, places[-1], free[places[-1]]))


def kinds_for(sizes: Sizes, places: Sequence[str]) -> list[str]:
    """What is tried. On an accelerator activations have 16 bits, too, and float16 would lose small
    gradients."""
    half = sizes.half if "cpu" in places else "bfloat16"
    return ["float32", half, "int8"]


def why(sizes: Sizes, kind: str, wanted: str | None, free: int) -> str:
    """One sentence for the user."""
    if wanted:
        return f"Chosen by hand; it takes {gigabytes(sizes.need(kind))}."
    if kind == "float32":
        return f"It fits: {gigabytes(sizes.need(kind))} of {gigabytes(free)} of free memory."
    return (
        f"The most exact one that fits: {gigabytes(sizes.need(kind))}. float32 would need "
        f"{gigabytes(sizes.need('float32'))}, and {gigabytes(free)} are free."
    )


def refusal(name: str, sizes: Sizes, wanted: str | None, place: str, free: int) -> str:
    """What is needed and what is free; with another precision where that one would fit."""
    kinds = kinds_for(sizes, [place])
    if place == "auto":
        kinds.remove("int8")
    smallest = min(kinds, key=sizes.need)
    fitting = next((kind for kind in kinds if sizes.need(kind) <= free), None)
    if wanted and (fitting or wanted != smallest):
        text = f"{name} needs {gigabytes(sizes.need(wanted))} of memory in {wanted}"
        least = f"At least it needs {gigabytes(sizes.need(smallest))}, with dtype={smallest!r}."
        advice = f"dtype={fitting!r} fits ({gigabytes(sizes.need(fitting))})." if fitting else ""
        if fitting != smallest:
            advice = f"{advice} {least}".strip()
        if not fitting:
            advice += " Choose a smaller model, or close other programs."
    else:
        text = f"{name} needs at least {gigabytes(sizes.need(smallest))} of memory, in {smallest}"
        advice = "Choose a smaller model, or close other programs."
    return f"{text}, and {gigabytes(free)} are free. {advice}"


def gigabytes(size: int) -> str:
    """A size as people say it: 13.5 GB, or 8 MB."""
    return f"{size / 1e9:.1f} GB" if size >= 50_000_000 else f"{max(1, round(size / 1e6))} MB"
