"""Means and standard errors of many arrays, one at a time, in constant memory."""

from __future__ import annotations

import numpy as np


class Tally:
    """Count, mean and sum of squared deviations of each cell, by Welford's method in float64.

    Kept apart for several groups; cells of an added array that are NaN count as absent.
    """

    def __init__(self, groups: int, shape: tuple[int, ...]) -> None:
        self.n = np.zeros((groups, *shape), dtype=np.int64)
        self.mean = np.zeros((groups, *shape))
        self.m2 = np.zeros((groups, *shape))

    @property
    def nbytes(self) -> int:
        return self.n.nbytes + self.mean.nbytes + self.m2.nbytes

    def add(self, group: int, values: np.ndarray) -> None:
        """Count one array of the cells' shape towards a group."""
        present = ~np.isnan(values)
        self.n[group] += present
        step = np.where(present, values - self.mean[group], 0.0)
        self.mean[group] += step / np.maximum(self.n[group], 1)
        self.m2[group] += step * np.where(present, values - self.mean[group], 0.0)

    def merged(self) -> Tally:
        """All groups as one, by Chan's formula: as if every array had been added to it."""
        result = Tally(1, self.n.shape[1:])
        for n, mean, m2 in zip(self.n, self.mean, self.m2, strict=True):
            total = result.n[0] + n
            gap = mean - result.mean[0]
            part = n / np.maximum(total, 1)
            result.m2[0] += m2 + gap**2 * result.n[0] * part
            result.mean[0] += gap * part
            result.n[0] = total
        return result

    def means(self) -> np.ndarray:
        """NaN where nothing was counted."""
        return np.where(self.n > 0, self.mean, np.nan)

    def spreads(self) -> np.ndarray:
        """Standard deviations, sqrt(m2 / (n - 1)); NaN below two values."""
        return np.where(self.n > 1, np.sqrt(self.m2 / (np.maximum(self.n, 2) - 1)), np.nan)

    def errors(self) -> np.ndarray:
        """Standard errors of the means, sqrt(variance / n); NaN below two values."""
        n = np.maximum(self.n, 2)
        return np.where(self.n > 1, np.sqrt(self.m2 / (n - 1) / n), np.nan)
