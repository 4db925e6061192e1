"""What the sentence on two groups claims: its sign, its interval, and when it says nothing."""

import pytest

from app.findings.groups import comparison_finding, signed
from app.findings.studies import length_finding
from core import Comparison
from tests.app.charts.test_spec import mean_ranks

NAN = float("nan")


def comparison(
    first=3.0, second=2.0, low=0.5, high=1.5, n=(20, 21), names=("A", "B")
) -> Comparison:
    verdict = "larger" if low > 0 else "smaller" if high < 0 else "no difference to be told"
    return Comparison("norm", *names, *n, first, second, first - second, low, high, verdict)


def test_a_larger_and_a_smaller_group():
    text = comparison_finding(comparison(), "The signal", ways=("stronger", "weaker"))
    assert text == (
        "The signal is **stronger** for A than for B: 3 for A, 2 for B. The difference is 1, its "
        "95% interval 0.5 to 1.5 (20 and 21 prompts)."
    )
    text = comparison_finding(comparison(2.0, 3.0, -1.5, -0.5), "The signal")
    assert "is **smaller** for A than for B: 2 for A, 3 for B. The difference is −1" in text
    assert "95% interval −1.5 to −0.5" in text


def test_an_interval_that_holds_zero_is_no_difference():
    text = comparison_finding(comparison(low=-0.2), "The signal")
    assert text.startswith("**No difference to be told** with so few prompts (20 and 21). The sig")
    assert "3 for A, 2 for B; the difference is 1, and its 95% interval, −0.2 to 1.5" in text
    many = comparison_finding(comparison(low=-0.2, n=(200, 300)), "The signal")
    assert many.startswith("**No difference to be told** with these prompts (200 and 300)")


def test_too_few_prompts_say_so():
    text = comparison_finding(comparison(low=NAN, high=NAN, n=(4, 90)), "The signal")
    assert text.startswith("**Too few prompts to compare** A and B (4 and 90): it takes 5 of each")
    assert "interval" not in text


def test_groups_without_any_spread():
    text = comparison_finding(comparison(2.0, 2.0, 0.0, 0.0), "The rank")
    assert text == "**No difference**: the rank is 2 for every prompt."


@pytest.mark.parametrize("name", ["**A**", "<b>", "[x](y)", ":red[A]", "$x$"])
def test_a_groups_name_is_shown_as_it_is(name):
    text = comparison_finding(comparison(names=(name, "B")), "The signal")
    assert name not in text


def test_shares_differ_by_points():
    text = comparison_finding(
        comparison(0.5, 0.25, 0.1, 0.4),
        "The share",
        written="{:.0%}".format,
        gap=lambda v: f"{100 * v:.0f} points",
    )
    assert "50% for A, 25% for B. The difference is 25 points, its 95% interval 10 points" in text
    assert signed("-0.5") == "−0.5"


def test_lengths_exactly_and_nearly_on_the_diagonal():
    text = length_finding(mean_ranks(short=()), "FF1")
    assert "Over 12 prompts of 5 to 9 tokens" in text
    assert "**exactly as many directions as the prompt has tokens**" in text
    assert "in the last layer it is always 1" not in text  # some had more: "highest" is not 1
    text = length_finding(mean_ranks(), "FF2")
    # Layer 2 of 0 to 2 is half a direction short at every length.
    assert "FF2's gradient has 0.17 directions fewer" in text
    assert "most in layer 2 at 5 tokens (mean rank 4.5)" in text
    one = length_finding(mean_ranks(n_layers=1), "FF1")
    assert "this model has one layer" in one
