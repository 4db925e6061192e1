"""Which side has more, with the sign right."""

import pandas as pd

from app.findings.compared import (
    cosine_finding,
    leaders,
    place_finding,
    probability_finding,
    ranks_finding,
    strength_finding,
    words_finding,
)
from core import both_sides
from core.gradients.difference import paired

NAMES = ("**Paris**", "**Rome**")


def norms(values: list[float]) -> pd.DataFrame:
    """Two layers of two tokens."""
    return pd.DataFrame(
        {"layer": [0, 0, 1, 1], "position": [0, 1] * 2, "token": ["a", " b"] * 2, "norm": values}
    )


def test_the_side_that_leads_in_more_layers():
    left, right = pd.Series([1.0, 1.0, 5.0]), pd.Series([2.0, 2.0, 4.0])
    assert leaders(left, right) == (1, 2, 3)
    assert leaders(right, left) == (0, 2, 3)
    assert leaders(left, left) == (0, 0, 3)
    assert leaders(left, left * (1 + 1e-9))[1:] == (0, 3), "rounding is no difference"
    assert leaders(pd.Series([1.0, None]), pd.Series([2.0, 1.0])) == (1, 1, 1)


def test_the_stronger_signal_and_where_most():
    left, right = norms([1, 1, 5, 1]), norms([2, 4, 1, 2])
    text = strength_finding(left, right, paired(left, right, ["norm"], None), NAMES)
    assert "For **Rome** the signal is stronger than for **Paris** in 1 of 2 layers" in text
    assert "most in layer 0 at `·b` (‖δ‖ 4 against 1)" in text
    swapped = strength_finding(right, left, paired(right, left, ["norm"], None), NAMES[::-1])
    assert swapped == text, "who stands on which side changes nothing"
    same = strength_finding(left, left, paired(left, left, ["norm"], None), NAMES)
    assert same.startswith("Nothing differs")


def test_the_more_probable_target():
    table = pd.DataFrame(
        {
            "layer": [0, 0, 1, 1],
            "position": [0, 1] * 2,
            "left_probability": [0.9, 0.1, 0.9, 0.2],
            "right_probability": [0.1, 0.3, 0.1, 0.8],
        }
    )
    table["probability_difference"] = table["right_probability"] - table["left_probability"]
    assert probability_finding(table, NAMES) == (
        "At the last token the target is more probable for **Rome** than for **Paris** in 2 of 2 "
        "layers; most in layer 1 (80.0% against 20.0%)."
    )


def curves(left: list, right: list) -> pd.DataFrame:
    sides = [pd.DataFrame({"layer": range(len(v)), "place": v}) for v in (left, right)]
    return both_sides(*sides)


def test_lower_in_delta_is_pushed_towards_and_higher_in_the_forward_lens_is_more_probable():
    table = curves([0.2, 0.5, 0.9], [0.9, 0.9, 0.9])
    text = place_finding(table, NAMES, gradient=True)
    assert "The target of **Rome** stands lower in δ" in text
    assert "in 2 of 3 layers; most in layer 0 (90.0% of the way down against 20.0%)" in text
    text = place_finding(table, NAMES, gradient=False)
    assert "The target of **Paris** stands nearer the top than that of **Rome**" in text
    assert "Hardly" in place_finding(curves([0.5, 0.5], [0.501, 0.5]), NAMES, gradient=True)
    text = place_finding(curves([0.5, 0.5, 0.5], [0.9, 0.9]), NAMES, gradient=True)
    assert text.startswith("On average over its layers the target of **Rome** stands lower in δ")


def ranks(values: list[int], length: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"layer": range(len(values)), "rank": values, "prompt_length": length, "matrix": "ff2"}
    )


def test_more_directions_or_only_a_longer_prompt():
    text = ranks_finding(ranks([4, 4, 1], 4), ranks([6, 6, 1], 6), NAMES)
    assert "more directions for **Rome**: 6 on average against 4 (4 and 6 prompt tokens)" in text
    assert text.endswith("That is only the longer prompt: either is as high as it can be.")
    short = ranks_finding(ranks([4, 4, 1], 4), ranks([5, 6, 1], 6), NAMES)
    assert "only the longer" not in short
    assert "both have 4 directions" in ranks_finding(ranks([4, 1], 4), ranks([4, 1], 4), NAMES)
    assert "nothing to compare" in ranks_finding(ranks([1], 4), ranks([1], 4), NAMES)


def test_cosines_and_words():
    table = pd.DataFrame({"layer": [0, 1], "token": ["a", " b"], "cosine": [0.5, -0.25]})
    text = cosine_finding(table)
    assert "a cosine of 0.12 on average" in text or "a cosine of 0.13 on average" in text
    assert "least in layer 1 at `·b`, −0.25. In 1 cell they point against each other." in text
    same = pd.DataFrame({"layer": [0, 1, 2], "same_word": pd.array([True, False, None])})
    assert words_finding(same) == "The word differs in 1 of 2 cells, from layer 1 on."
    assert "the same word in every cell" in words_finding(same.iloc[:1])
