"""The mark says what the error is, and does not call a large one checked."""

from app.findings.checked import checked_finding


def test_sixteen_bits_round_more_coarsely():
    assert checked_finding(3e-3, 4).startswith("✗ Differs")
    assert checked_finding(3e-3, 4, half=True).startswith("✓ Checked")
    assert checked_finding(0.05, 4, half=True).startswith("✗ Differs")


def test_the_figure_is_written_as_people_do():
    assert "difference 2.8 × 10⁻⁷ (" in checked_finding(2.8e-7, 4)
    assert "difference 0.003 (" in checked_finding(3e-3, 4)
