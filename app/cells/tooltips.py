"""What the cells of token tables say and how they are drawn."""

from __future__ import annotations

import pandas as pd

from app.words import visible


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


def rank_text(rank: object) -> str:
    return "–" if pd.isna(rank) else f"{rank:,}"


def short_number(value: float) -> str:
    """A norm in at most five characters."""
    if value == 0:
        return "0"
    if value < 0.01:
        return "<0.01"
    return f"{value:.2f}" if value < 100 else f"{value:.3g}"
