"""Running means against numpy's own, with gaps, groups and any split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.studies.tally import Tally

values = st.floats(-1e6, 1e6, width=32) | st.just(float("nan"))
cells = st.lists(values, min_size=3, max_size=3)


def expected_of(column: np.ndarray) -> tuple[int, float, float]:
    """n, mean and standard error of the numbers in a column."""
    kept = column[~np.isnan(column)]
    mean = kept.mean() if len(kept) else np.nan
    error = kept.std(ddof=1) / np.sqrt(len(kept)) if len(kept) > 1 else np.nan
    return len(kept), mean, error


def check(tally: Tally, group: int, arrays: list[list[float]]) -> None:
    for cell in range(3):
        column = np.array([row[cell] for row in arrays], dtype=float)
        n, mean, error = expected_of(column)
        scale = np.nanmax(np.abs(column), initial=1.0)
        assert tally.n[group, cell] == n
        np.testing.assert_allclose(tally.means()[group, cell], mean, rtol=1e-9, atol=1e-12 * scale)
        np.testing.assert_allclose(tally.errors()[group, cell], error, rtol=1e-6, atol=1e-9 * scale)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), cells), max_size=25))
def test_means_and_errors_are_numpys_for_each_group_and_for_all(added):
    tally = Tally(3, (3,))
    for group, row in added:
        tally.add(group, np.array(row))
    for group in range(3):
        check(tally, group, [row for g, row in added if g == group])
    merged = tally.merged()
    assert merged.n.shape == (1, 3)
    check(merged, 0, [row for _, row in added])


def test_by_hand():
    tally = Tally(2, (2,))
    for row in ([1.0, np.nan], [3.0, np.nan], [8.0, 5.0]):
        tally.add(0, np.array(row))
    np.testing.assert_allclose(tally.means(), [[4, 5], [np.nan, np.nan]])
    # Deviations -3, -1, 4: variance 26 / 2, standard error sqrt(13 / 3).
    np.testing.assert_allclose(tally.errors(), [[np.sqrt(13 / 3), np.nan], [np.nan, np.nan]])
    assert tally.n.tolist() == [[3, 1], [0, 0]]


def test_a_large_mean_does_not_drown_the_spread():
    tally = Tally(2, (1,))
    for i, value in enumerate((1e9 + 1, 1e9 + 2, 1e9 + 3, 1e9 + 4)):
        tally.add(i % 2, np.array([value]))
    assert tally.merged().errors()[0, 0] == pytest.approx(np.sqrt(5 / 3 / 4), rel=1e-6)


def test_merging_leaves_the_groups_as_they_are():
    tally = Tally(2, (1,))
    tally.add(0, np.array([1.0]))
    tally.add(1, np.array([5.0]))
    assert tally.merged().means().tolist() == [[3.0]]
    assert tally.means().tolist() == [[1.0], [5.0]]
