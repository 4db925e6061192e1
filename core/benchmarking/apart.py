"""Which methods a benchmark's records tell apart, and whether they stand in the paper's order."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist

import pandas as pd

from core.benchmarking.export import row_beside
from core.benchmarking.specs import ORIGINAL
from core.studies.bootstrap import student

NOT_TOLD_APART = 0.03  # two of the paper's shares, of 1,000 records, that are as good as equal
Z = NormalDist().inv_cdf(0.975)
FEWEST = 5  # records from which a difference can be told


def told_apart(rows: pd.DataFrame, measure: str, first: str, second: str) -> int:
    """1 where the first method has surely more of a measure than the second, -1 where less, and 0
    where these records cannot tell: the 95% interval (Student's t) of the mean difference within a
    record holds zero, or the records are fewer than FEWEST."""
    one, other = (
        rows[rows["method"] == method].set_index("record")[measure] for method in (first, second)
    )
    pairs = (one - other).dropna()
    if len(pairs) < FEWEST:
        return 0
    give = student(Z, len(pairs) - 1) * pairs.std(ddof=1) / math.sqrt(len(pairs))
    return int(pairs.mean() > give) - int(pairs.mean() < -give)


def order_counts(
    rows: pd.DataFrame, table: pd.DataFrame, published: pd.DataFrame, measure: str
) -> tuple[int, int, int]:
    """Of the pairs of methods that the paper tells apart: how many come out in the same order
    here, the other way round, and cannot be told apart.

    published: method, title, efficacy_acc, paraphrase_acc, neighbourhood_acc (shares).
    """
    specs = table.loc[table["method"] != ORIGINAL, "method"].tolist()
    known = published[published[measure].notna() & (published["method"] != ORIGINAL)]
    found = {-1: 0, 0: 0, 1: 0}
    for (_, one), (_, other) in combinations(known.iterrows(), 2):
        first, second = (row_beside(row["method"], specs) for row in (one, other))
        difference = one[measure] - other[measure]
        if first and second and first != second and abs(difference) > NOT_TOLD_APART:
            here = told_apart(rows, measure, first, second)
            found[here if difference > 0 else -here] += 1
    return found[1], found[-1], found[0]
