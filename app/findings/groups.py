"""How two groups of a study's prompts differ, and when that is not to be told."""

from __future__ import annotations

from collections.abc import Callable

import core
from app.words import number, plain
from core.studies.groups import FEWEST, UNDECIDED

MANY = 200  # prompts of each group, which nobody would call few


def comparison_finding(
    found: core.Comparison,
    what: str,
    *,
    ways: tuple[str, str] = ("larger", "smaller"),
    written: Callable[[float], str] = number,
    gap: Callable[[float], str] | None = None,
) -> str:
    """The difference between two groups in a sentence, with its interval and both sizes.

    `what` begins the sentence, as Markdown; `ways` say what more and less of it is called;
    `written` and `gap` write a mean and a difference.
    """
    first, second = plain(found.first), plain(found.second)
    sizes = f"{found.n_first} and {found.n_second}"
    if min(found.n_first, found.n_second) < FEWEST:
        return (
            f"**Too few prompts to compare** {first} and {second} ({sizes}): it takes {FEWEST} of "
            f"each. {what}: {written(found.mean_first)} and {written(found.mean_second)}."
        )
    if found.low == found.high == 0:
        return (
            f"**No difference**: {lowered(what)} is {written(found.mean_first)} for every prompt."
        )
    low, high, apart = (
        signed((gap or written)(v)) for v in (found.low, found.high, found.difference)
    )
    means = f"{written(found.mean_first)} for {first}, {written(found.mean_second)} for {second}"
    if found.verdict == UNDECIDED:
        few = "so few prompts" if min(found.n_first, found.n_second) < MANY else "these prompts"
        return (
            f"**No difference to be told** with {few} ({sizes}). {what}: {means}; the difference "
            f"is {apart}, and its 95% interval, {low} to {high}, holds zero."
        )
    way = ways[found.difference < 0]
    return (
        f"{what} is **{way}** for {first} than for {second}: {means}. The difference is {apart}, "
        f"its 95% interval {low} to {high} ({sizes} prompts)."
    )


def lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def signed(text: str) -> str:
    """With a minus that is one."""
    return text.replace("-", "−")
