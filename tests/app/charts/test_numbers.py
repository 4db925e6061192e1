"""Numbers in pictures as people write them, however large or small: 2,983, never 2.98e+03."""

import math
import re
from functools import partial
from xml.etree import ElementTree

import altair as alt
import pandas as pd
import pytest

from app.charts.calibration import strength_curve
from app.charts.curves import token_rank_by_layer
from app.charts.edits import landing_chart
from app.charts.export import picture
from app.charts.grid import coefficient_chart, neuron_table, span_table
from app.charts.scatter import agreement_chart
from app.charts.strength import perplexity_by_layer, rate_by_layer
from app.charts.style import NUMBER_LABEL
from core import ImprintAndShift
from tests.app.charts.test_charts import lens, units
from tests.app.charts.test_grid import overlap, span, step

EXPONENT = re.compile(r"\d[eE][+\-−]?\d")
SIZES = (3e-9, 1.0, 2983.0, 4.1e6)


def neurons(size):
    return neuron_table(overlap().assign(norm=size), "cosine", 1, dark=False, chosen=None)


def spans(size):
    return span_table(span(scale=size), dark=False)


def bars(size):
    table = overlap(neurons=1).assign(coefficient=lambda t: t["cosine"] * size)
    return coefficient_chart(table, "δ", dark=False)


def dots(size):
    plain = step()
    scaled = {name: getattr(plain, name) * size for name in ("own", "predicted", "measured")}
    return agreement_chart(ImprintAndShift(**(vars(plain) | scaled)), dark=False)


def strengths(chart, size):
    table = pd.DataFrame(
        {
            "method": "sgd",
            "layer": [0, 1, 2],
            "rate": [size, 3 * size, 5000 * size],
            "works": True,
            "perplexity": [12.0, 12.0 + size, 40 * (1 + size)],
            "base_perplexity": 10.0,
        }
    )
    return chart(table)


def curve(size):
    scores = dict.fromkeys(("efficacy", "paraphrase", "neighbourhood"), 0.5)
    table = pd.DataFrame({"layer": 1, "strength": [size, 100 * size]}).assign(**scores)
    return strength_curve(table, 1, dark=False)


def landing(size):
    row = {"edit": "a", "Matrix": "FF2", "layer": 1, "rank": 1, "share": 0.1}
    return landing_chart(pd.DataFrame([row | {"norm": size}]), 4, dark=False)


def ranks(size):
    return token_rank_by_layer(lens().assign(norm=size), 4096, dark=False)


CHARTS = {
    "neurons": neurons,
    "spans": spans,
    "bars": bars,
    "dots": dots,
    "rates": partial(strengths, partial(rate_by_layer, dark=False)),
    "perplexities": partial(
        strengths, lambda table: perplexity_by_layer(table, "the model", dark=False)
    ),
    "calibration": curve,
    "landing": landing,
    "ranks": ranks,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CHARTS)
def test_no_tooltip_and_no_label_has_an_exponent(name, size):
    chart = CHARTS[name](size)
    spec = chart.to_dict(validate=True)
    said = []
    for unit, data in units(spec):
        for tip in unit["encoding"].get("tooltip", []):
            if tip["type"] == "quantitative":  # what Vega formats: not by significant digits
                assert not re.search("[ge]$", tip.get("format", "")), tip
                continue
            said += [str(row[tip["field"]]) for row in spec["datasets"][data["name"]]]
    assert said
    tree = ElementTree.fromstring(picture(chart, "svg", dark=False, stretched=True))
    drawn = [e.text or "" for e in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in said + drawn if EXPONENT.search(text)] == []
    assert not any("undefined" in text or "NaN" in text for text in drawn)


@pytest.mark.parametrize(
    ("size", "tooltip"), [(2983.0, "2,983"), (4.1e6, "4,100,000"), (3e-9, "3.0 × 10⁻⁹")]
)
def test_the_words_of_a_tooltip(size, tooltip):
    spec = neurons(size).to_dict()
    unit, data = next(units(spec))
    field = next(t["field"] for t in unit["encoding"]["tooltip"] if t["title"] == "Norm, L2")
    assert {row[field] for row in spec["datasets"][data["name"]]} == {tooltip}


@pytest.mark.parametrize("power", range(-45, 7))
def test_an_axis_writes_every_power_of_ten(power):
    value = math.ldexp(1, -149) if power == -45 else float(f"2e{power}")
    axis = alt.Axis(values=[value], labelExpr=NUMBER_LABEL)
    scale = alt.Scale(domain=[0, 2 * value])
    chart = (
        alt.Chart(pd.DataFrame({"x": [value]}))
        .mark_point()
        .encode(x=alt.X("x:Q", axis=axis, scale=scale, title=""))
    )
    tree = ElementTree.fromstring(picture(chart, "svg", dark=False, stretched=False))
    (text,) = [e.text for e in tree.iter("{http://www.w3.org/2000/svg}text") if e.text]
    if power == -45:
        assert text == "1.4 × 10⁻⁴⁵"
    elif power >= -5:
        assert float(text.replace(",", "")) == value
        assert "e" not in text
    else:
        digits = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        assert text == f"2 × 10{digits}"
