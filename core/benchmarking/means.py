"""A benchmark's table: each method's means over records, with 95% intervals."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from core.benchmarking.measures import MEASURES
from core.benchmarking.specs import title_of
from core.studies.bootstrap import mean_intervals, wilson_interval

LEVEL = 0.95
FEWEST_RESAMPLES, MOST_RESAMPLES = 1_000, 10_000
AT_ONCE = 10**6  # values that are drawn for each mean, within these bounds
SUCCESSES = ("efficacy_success", "paraphrase_success", "neighbourhood_success")


def table_of(rows: pd.DataFrame, methods: tuple[str, ...]) -> pd.DataFrame:
    """One row a method: method, title, records (how many have a row), problems (how many of these
    say why there is no edit), score (harmonic mean of the three successes), and for each measure m
    of MEASURES its mean m, the 95% interval m_low to m_high, and m_n, the records that have it.

    The interval is a bootstrap over records (core.studies.bootstrap); where all values are 0 or 1,
    it is Wilson's. Both are NaN where fewer than two records have the measure and they are not 0
    or 1, and so is the mean where none has.
    """
    own = dict(iter(rows.groupby("method", sort=False)))
    parts = [own.get(method, rows.iloc[:0]) for method in methods]
    found = [summary(part, method) for part, method in zip(parts, methods, strict=True)]
    values = {}
    for i, part in enumerate(parts):
        numbers = part[list(MEASURES)].to_numpy()
        values |= {(i, name): there(numbers[:, j]) for j, name in enumerate(MEASURES)}
    for (i, name), (low, high) in intervals(values).items():
        here = values[i, name]
        mean = float(here.mean()) if len(here) else math.nan
        found[i] |= {name: mean, f"{name}_low": low, f"{name}_high": high, f"{name}_n": len(here)}
    for row in found:
        row["score"] = harmonic_mean([row[name] for name in SUCCESSES])
    return pd.DataFrame(found, columns=columns())


def columns() -> list[str]:
    measured = [f"{name}{end}" for name in MEASURES for end in ("", "_low", "_high", "_n")]
    return ["method", "title", "records", "problems", "score", *measured]


def summary(rows: pd.DataFrame, method: str) -> dict[str, object]:
    problems = int((rows["problem"] != "").sum())
    return {
        "method": method,
        "title": title_of(method),
        "records": len(rows),
        "problems": problems,
    }


def there(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def intervals(values: dict[tuple, np.ndarray]) -> dict[tuple, tuple[float, float]]:
    """The interval of each mean, in the order of `values`.

    As many values as another has are resampled together with it, by the same draws.
    """
    found = dict.fromkeys(values, (math.nan, math.nan))
    by_size: dict[int, list[tuple]] = {}
    for key, here in values.items():
        if len(here) and ((here == 0) | (here == 1)).all():
            found[key] = wilson_interval(int(here.sum()), len(here), level=LEVEL)
        elif len(here) > 1:
            by_size.setdefault(len(here), []).append(key)
    for size, keys in by_size.items():
        together = np.stack([values[key] for key in keys], axis=1)
        resamples = min(MOST_RESAMPLES, max(FEWEST_RESAMPLES, AT_ONCE // size))
        bounds = mean_intervals(together, level=LEVEL, resamples=resamples, seed=0)
        found |= {key: (float(a), float(b)) for key, (a, b) in zip(keys, bounds, strict=True)}
    return found


def harmonic_mean(values: list[float]) -> float:
    """0 where one is 0; NaN where one is not there."""
    if any(math.isnan(value) for value in values):
        return math.nan
    return 0.0 if min(values) <= 0 else len(values) / sum(1 / value for value in values)
