"""Huge values on hand-made tables: found, left beyond the scale, marked and named."""

import pandas as pd
import pytest

from app.charts.token_table import BEYOND, Quantity, token_table
from app.findings.lenses import backward_finding, pieces_note
from app.findings.signal import norm_finding
from app.outliers import ordinary_limit
from app.words import number


def norms(n_layers=30, n_tokens=5, sink=2983.0, position=0):
    """Inputs of 5 to 5 + n_layers; one cell of layer 11 holds `sink`."""
    return pd.DataFrame(
        {
            "layer": layer,
            "position": i,
            "token": f" t{i}",
            "norm": 1.0 + i,
            "input_norm": sink if (layer, i) == (11, position) else 5.0 + layer,
            "near_zero": False,
            "target_rank": 3,
            "word": "w",
        }
        for layer in range(n_layers)
        for i in range(n_tokens)
    )


def chart(table, column="input_norm"):
    quantity = Quantity(column, "input_norm", "Input")
    tips = {"Layer": table["layer"].astype(str)}
    return token_table(table, "word", quantity, tips, dark=False).to_dict()


@pytest.mark.parametrize("position", [0, 3])
def test_a_huge_cell_is_beyond_the_scale_marked_and_named(position):
    table = norms(position=position)
    assert ordinary_limit(table["input_norm"], table["position"]) == 34
    spec = chart(table)
    assert BEYOND in str(spec)
    assert "≥ 34" in str(spec)
    assert "[5.0, 19.5, 34.0]" in str(spec)
    beyond = [row for row in next(iter(spec["datasets"].values())) if row.get("beyond")]
    assert [(row["layer"], row["position"]) for row in beyond] == [(11, position)]
    says = norm_finding(table, "FF2")
    assert "in layer 11, ‖x‖ = 2,983: " in says
    assert ("attention sink" in says) == (position == 0)
    # The others' median is 19.5, the middle of 5 ... 34: 2,983 is 153 times that.
    assert ": 153 times the median" in says


def test_a_table_without_outliers_keeps_its_whole_scale():
    table = norms(sink=60.0)
    assert ordinary_limit(table["input_norm"], table["position"]) is None
    assert BEYOND not in str(chart(table))
    assert "attention sink" not in norm_finding(table, "FF2")


def test_a_strong_last_token_is_a_signal_and_no_outlier():
    table = norms(n_tokens=40)
    signal = table["position"].map(lambda p: 1.0 if p == 39 else 0.001)
    assert ordinary_limit(signal, table["position"]) is None


def test_thirty_layers_by_forty_tokens_keep_a_layer_number_in_sight():
    spec = chart(norms(n_tokens=40))
    domain = spec["layer"][0]["encoding"]["x"]["scale"]["domain"]
    width = spec["width"]["step"]
    rulers = [i for i, place in enumerate(domain) if place % 1]
    assert rulers[0] == 0
    gaps = [b - a for a, b in zip(rulers, [*rulers[1:], len(domain)], strict=True)]
    assert max(gaps) * width <= 790
    assert spec["height"]["step"] >= 20


def test_a_sink_is_named_and_the_strongest_of_the_others_is_explained():
    table = norms().assign(norm=[500.0 if i == 55 else 1 + i / 1000 for i in range(150)])
    says = backward_finding(table, " Rome", 1000)
    assert "`·t0`, is an attention sink (‖δ‖ = 500 in layer 11)" in says
    assert "the strongest signal is in layer 29 at `·t4`" in says


def test_a_target_that_is_the_answer_is_known():
    assert "already" in backward_finding(norms(), " Rome", 1000, " Rome")
    assert "already" not in backward_finding(norms(), " Rome", 1000, " Paris")


def test_word_pieces_in_the_lower_half_are_said():
    table = norms()
    pieces = table.assign(word=["rowsiness" if layer < 15 else " Rome" for layer in table["layer"]])
    assert "100% of the cells of the lower half" in pieces_note(pieces, "word", normalised=False)
    assert "Normalised lens" not in pieces_note(pieces, "word", normalised=False)
    assert "Normalised lens" in pieces_note(pieces, "word", normalised=True)
    assert pieces_note(table.assign(word=" Rome"), "word", normalised=True) == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2983.4, "2,983"),
        (0.0031, "0.0031"),
        (0.91, "0.91"),
        (47.25, "47.2"),
        (0, "0"),
        (-1234567, "-1,234,567"),
        (3.1e-8, "3.1 × 10⁻⁸"),
        (float("nan"), "–"),
        (100, "100"),
    ],
)
def test_numbers_as_people_write_them(value, words):
    assert number(value) == words
