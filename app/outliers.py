"""Values so large that a colour scale up to them would hide all others: found, not removed.

Pretrained networks have them at the first token, an attention sink, whose vectors may be hundreds
of times as long as those of other tokens.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

FAR = 4.0  # times the largest ordinary value
FEW = 0.01  # of the cells may be outliers wherever they stand, and all of the first token's


def ordinary_limit(values: pd.Series, positions: pd.Series) -> float | None:
    """The largest value that a scale must show, or None where the largest of all will do.

    Set aside are the first token's cells and a few others (1%, at least 3 of 30 or more): a whole
    column of strong signals, as the last token's, is none. Where the largest value is more than
    4 times what is left, that is the limit.
    """
    known = values.notna().to_numpy()
    sizes = values.to_numpy("float64", na_value=np.nan)
    rest = np.sort(sizes[known & (positions != positions.min()).to_numpy()])
    few = min(max(3, int(FEW * len(rest))), len(rest) // 10)
    if len(rest) <= few:
        return None
    limit = rest[-few - 1]
    sizes = sizes[known]
    # Set aside without need: what is not far above the limit belongs on the scale.
    limit = float(sizes[sizes <= FAR * limit].max(initial=limit))
    return limit if limit > 0 and sizes.max() > FAR * limit else None


def times_the_median(table: pd.DataFrame, column: str) -> float:
    """How many times the largest value is the median of the other tokens' cells; 0 without."""
    top = table.loc[table[column].idxmax()]
    others = table.loc[table["position"] != top["position"], column].median()
    return float(top[column] / others) if others > 0 else 0.0
