"""The mark says what the error is, and does not call a large one checked."""

import pytest

from app.findings.checked import checked_finding


def test_a_small_error_is_checked_with_its_figure():
    says = checked_finding(2.6e-7, 4)
    assert says.startswith("✓ Checked against autograd: largest relative difference 3e-07")
    assert "layer 4" in says
    assert "no difference" in checked_finding(0.0, 4)


@pytest.mark.parametrize("error", [0.2, float("nan"), float("inf")])
def test_a_large_error_is_not(error):
    assert checked_finding(error, 4).startswith("✗ Differs")


def test_what_cannot_be_checked_says_so():
    assert checked_finding(None, 4).startswith("Not checked")


def test_sixteen_bits_round_more_coarsely():
    assert checked_finding(3e-3, 4).startswith("✗ Differs")
    assert checked_finding(3e-3, 4, half=True).startswith("✓ Checked")
    assert checked_finding(0.05, 4, half=True).startswith("✗ Differs")
