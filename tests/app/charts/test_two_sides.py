"""Two runs in one picture: the right colours, the right sides, and valid Vega-Lite."""

import json

import pandas as pd
import pytest

from app.charts.palette import DIVERGING, PAPER, luminance, rgb
from app.charts.token_table import Quantity, token_table
from app.charts.two_sides import colours, difference_bars, side_curves
from core import both_sides

NAMES = ("Left: Paris", "Right: Rome \"x\" 'y'")


def layers(values: list) -> pd.DataFrame:
    return pd.DataFrame({"layer": range(len(values)), "place": values})


def data_of(spec: dict) -> list[dict]:
    return max(spec["datasets"].values(), key=len)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("depth", [False, True])
@pytest.mark.parametrize("places", [False, True])
def test_a_line_a_side(dark, depth, places):
    table = both_sides(layers([0.1, None, 0.9]), layers([0.5, 0.2]))
    chart = side_curves(table, "place", "Rank", NAMES, dark=dark, places=places, depth=depth)
    spec = chart.to_dict()  # checked against the schema
    rows = data_of(spec)
    assert [row["Side"] for row in rows] == [NAMES[0]] * 2 + [NAMES[1]] * 2
    assert [row["depth"] for row in rows] == [0, 1, 0, 1]
    assert spec["layer"][0]["encoding"]["color"]["scale"]["range"] == colours(dark)
    assert json.loads(json.dumps(spec)) == spec


@pytest.mark.parametrize("values", [[0.5, -2.0, 0.0], [0.0, 0.0, 0.0], [1e-7, -1e-7, 0.0]])
def test_bars_say_which_side_has_more(values):
    chart = difference_bars(layers(values), "place", "Rank", NAMES, dark=False)
    spec = chart.to_dict()
    low, high = spec["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert low < 0 < high
    says = [row["More"] for row in data_of(spec)]
    for value, text in zip(values, says, strict=True):
        side = "" if not value else "right: Rome" if value > 0 else "left: Paris"
        assert side in text


@pytest.mark.parametrize("dark", [False, True])
def test_the_sides_colours_stand_out_from_the_page(dark):
    page = luminance(rgb(PAPER[dark]))
    for colour in colours(dark):
        light, low = sorted((luminance(rgb(colour)), page), reverse=True)
        assert (light + 0.05) / (low + 0.05) >= 4.5


def test_the_legend_of_a_difference_needs_no_gradient():
    table = pd.DataFrame(
        {"layer": [0, 0], "position": [0, 1], "token": ["a", "b"], "d": [-2.0, 1.0], "t": ["", ""]}
    )
    quantity = Quantity("d", "difference", "← Paris · Rome →", domain=(-2.0, 2.0))
    spec = token_table(table, "t", quantity, {}, dark=False).to_dict()
    colour = spec["layer"][0]["encoding"]["color"]
    assert colour["legend"]["type"] == "symbol"
    assert colour["legend"]["values"] == [-2, -1, 0, 1, 2]
    assert colour["scale"]["range"] == list(DIVERGING[False])
    assert colour["scale"]["domain"] == [-2, 0, 2]


def test_segments_that_a_prompt_lacks_leave_no_gap():
    table = pd.DataFrame(
        {
            "layer": [0, 0],
            "position": [3, 6],  # places in SEGMENTS
            "token": ["last subject token", "last token"],
            "d": [-2.0, 1.0],
            "t": ["x", "y"],
        }
    )
    quantity = Quantity("d", "difference", "d", domain=(-2.0, 2.0))
    names = {"last subject token": "subject last", "last token": "last token"}
    spec = token_table(table, "t", quantity, {}, dark=False, names=names).to_dict()
    x = spec["layer"][0]["encoding"]["x"]
    assert x["scale"]["domain"] == [0, 1]
    assert [row["position"] for row in data_of(spec)] == [0, 1]
