"""What the cells of token tables say and how they are drawn."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.words import visible


def is_dark() -> bool:
    return st.context.theme.type == "dark"


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
    return f"{value:.2f}" if 0.01 <= value < 100 else ("0" if value == 0 else f"{value:.0e}")
