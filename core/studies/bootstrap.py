"""The bootstrap interval of a mean, and of a difference of two means.

Expanded percentile interval: Hesterberg, "What Teachers Should Know About the Bootstrap" (The
American Statistician 69, 2015), section 5. The plain percentile interval is too narrow for few
values: resampling knows their variance with n for n - 1, and takes the normal distribution's tails.
Its percentiles are therefore moved out by both, with Student's t for Welch's degrees of freedom.

A share whose records all succeeded, or all failed, has no spread to resample: its bootstrap
interval has no width, as if it were known for certain. For values that are all 0 or 1 there is
Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta 2001, who recommend it), which has a
width at 0 and at 1, too.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

AT_ONCE = 2**21  # values that are resampled at once, to bound the memory


def difference_interval(
    first: np.ndarray, second: np.ndarray, *, level: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Between what the difference of means, first minus second, lies with `level` confidence.

    Takes at least two values of each, and draws from each apart, with `seed`.
    """
    random = np.random.default_rng(seed)
    drawn = resampled_means(first, resamples, random) - resampled_means(second, resamples, random)
    tail = NormalDist().cdf(-expanded(first, second, level))
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def mean_interval(
    values: np.ndarray, *, level: float, resamples: int, seed: int
) -> tuple[float, float]:
    """Between what the mean of at least two values lies with `level` confidence.

    Of equal values it has no width: nothing is known of how far others would be.
    """
    bounds = mean_intervals(values[:, None], level=level, resamples=resamples, seed=seed)
    return float(bounds[0, 0]), float(bounds[0, 1])


def mean_intervals(values: np.ndarray, *, level: float, resamples: int, seed: int) -> np.ndarray:
    """The `mean_interval` of each column, by the same draws. values: (n, column); returns
    (column, 2)."""
    n = len(values)
    random, rows = np.random.default_rng(seed), max(1, AT_ONCE // n)
    drawn = []
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        places = random.integers(0, n, (size, n), np.int32) + n * np.arange(size)[:, None]
        times = np.bincount(places.ravel(), minlength=size * n).reshape(size, n)
        drawn.append(times.astype(float) @ values / n)
    normal = NormalDist().inv_cdf((1 + level) / 2)
    tail = NormalDist().cdf(-student(normal, n - 1) * np.sqrt(n / (n - 1)))
    return np.quantile(np.concatenate(drawn), [tail, 1 - tail], axis=0).T


def wilson_interval(successes: int, n: int, *, level: float) -> tuple[float, float]:
    """Between what a share lies with `level` confidence; n is at least 1."""
    z, share = NormalDist().inv_cdf((1 + level) / 2), successes / n
    centre = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    return max(0.0, min(share, float(low))), min(1.0, max(share, float(high)))


def resampled_means(values: np.ndarray, resamples: int, random: np.random.Generator) -> np.ndarray:
    """Means of as many values, drawn with replacement: (resample,)."""
    rows = max(1, AT_ONCE // len(values))
    parts = []
    for start in range(0, resamples, rows):
        size = (min(rows, resamples - start), len(values))
        parts.append(values[random.integers(0, len(values), size)].mean(axis=1))
    return np.concatenate(parts)


def expanded(first: np.ndarray, second: np.ndarray, level: float) -> float:
    """How many standard errors of the resamples the interval is wide to either side."""
    normal = NormalDist().inv_cdf((1 + level) / 2)
    sizes = np.array([len(first), len(second)])
    variances = np.array([first.var(ddof=1), second.var(ddof=1)])
    squares = variances / sizes  # of the standard errors
    if not squares.sum() > 0:
        return normal
    degrees = squares.sum() ** 2 / (squares**2 / (sizes - 1)).sum()  # Welch's
    of_resamples = squares * (sizes - 1) / sizes
    return student(normal, degrees) * float(np.sqrt(squares.sum() / of_resamples.sum()))


def student(z: float, degrees: float) -> float:
    """Student's t at the normal quantile z; Abramowitz and Stegun 26.7.5, good to 1% from 3
    degrees of freedom on at 95%."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees ** (i + 1) for i, term in enumerate(terms))
