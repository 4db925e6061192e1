"""A cell's numbers as CSV."""

from __future__ import annotations

import pandas as pd

LIST_SEPARATOR = " | "


def as_csv(table: pd.DataFrame) -> bytes:
    """UTF-8 with a mark, so that spreadsheets read accents; lists are joined with " | "."""
    flat = table.copy()
    for column in flat.columns:
        if flat[column].map(lambda value: isinstance(value, list)).any():
            flat[column] = flat[column].map(
                lambda values: LIST_SEPARATOR.join(
                    value if isinstance(value, str) else f"{value:.6g}" for value in values
                )
            )
    return flat.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig")
