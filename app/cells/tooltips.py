"""What the cells of token tables say and how they are drawn."""

from __future__ import annotations

import pandas as pd

from app.words import number, visible


def describe_cells(table: pd.DataFrame) -> dict[str, pd.Series]:
    """The first lines of every tooltip."""
    return {
        "Layer": table["layer"].astype(str),
        "Prompt token": pd.Series(
            [
                f"{position + 1}. {visible(token)}"
                for position, token in zip(table["position"], table["token"], strict=True)
            ],
            index=table.index,
        ),
    }


def first(tokens: list[str]) -> str:
    return visible(tokens[0]) if tokens else ""


def first_words(lists: pd.Series) -> pd.Series:
    """The first of each list of tokens; a dash for a vector of zeros, which has none."""
    return lists.map(lambda tokens: first(tokens) or "–")


def rank_text(rank: object) -> str:
    return "–" if pd.isna(rank) else f"{rank:,}"


def exact(value: float) -> str:
    """A norm for a tooltip."""
    return number(value, 4)


def short_number(value: float) -> str:
    """A norm in at most six characters: 0.0031, 47.25, 2,983, 12.3k."""
    if pd.isna(value):
        return "–"
    if value == 0:
        return "0"
    if value < 0.001:
        return "<0.001"
    if value < 0.00995:
        return f"{value:.4f}"
    if value < 9999.5:
        return f"{value:.2f}" if value < 99.995 else f"{value:,.0f}"
    for unit, size in (("k", 1e3), ("M", 1e6)):
        if value < 999.5 * size:
            return f"{value / size:.{1 if value < 99.95 * size else 0}f}{unit}"
    return number(value)
