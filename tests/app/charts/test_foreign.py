"""A chart from a file of anybody's is one as ours are, or it is not drawn."""

import copy

import altair as alt
import pandas as pd
import pytest

from app.charts.expressions import is_plain_expression
from app.charts.foreign import is_a_chart_of_ours
from app.charts.plain import plain_specification, with_arrow, with_rows
from app.charts.style import NUMBER_LABEL, labels_of
from app.charts.token_table import Quantity, token_table


@pytest.fixture
def spec() -> dict:
    table = pd.DataFrame(
        {"layer": [0, 0, 1, 1], "position": [0, 1, 0, 1], "token": ["a", " b"] * 2}
    ).assign(v=[0.0, 1.0, float("nan"), 3.0], word="w", marked=[True, False, False, False])
    tips = {"Token": table["token"], "http://a": table["word"]}
    quantity = Quantity("v", "norm", "Signal")
    marked = table["marked"]
    chart = token_table(table, "word", quantity, tips, dark=False, marked=marked)
    return plain_specification(chart)


def test_our_own_chart_passes_and_draws_the_same_anywhere(spec):
    assert is_a_chart_of_ours(spec)
    (name,) = spec["datasets"]
    assert with_rows(spec)["datasets"][name][2]["value"] is None  # NaN
    assert isinstance(with_arrow(spec)["datasets"][name], bytes)


def changed(spec: dict, path: str, value: object) -> dict:
    """The specification with another value at a path such as layer.0.mark."""
    made = copy.deepcopy(spec)
    part, keys = made, path.split(".")
    for key in keys[:-1]:
        part = part[int(key)] if key.isdigit() else part[key]
    part[keys[-1]] = value
    return made


FOREIGN = {
    "data.url": "http://elsewhere.invalid/data.csv",
    "data": {"url": "http://elsewhere.invalid"},
    "data.format": {"type": "csv"},
    "layer.0.mark": {"type": "image", "url": "http://elsewhere.invalid/a.png"},
    "layer.0.mark.href": "http://elsewhere.invalid",
    "layer.0.mark.cursor": "url(http://elsewhere.invalid/a.png)",
    "layer.0.mark.fill": "url(http://elsewhere.invalid/a.svg#a)",
    "layer.0.mark.tooltip": {"content": "data"},
    "layer.0.encoding.href": {"field": "text", "type": "nominal"},
    "layer.0.encoding.url": {"field": "text", "type": "nominal"},
    "layer.0.encoding.tooltip": [{"field": "text", "type": "nominal", "title": "image"}],
    "layer.0.encoding.x.axis.labelExpr": "datum.constructor",
    "usermeta": {"embedOptions": {"loader": {"baseURL": "http://elsewhere.invalid"}}},
    "$schema": "http://elsewhere.invalid/schema.json",
    "transform": [{"lookup": "a", "from": {"data": {"url": "http://elsewhere.invalid"}}}],
    "background": "url(http://elsewhere.invalid)",
    "config.style": {"cell": {"fill": "red"}},
    "width": 10**9,
    "height": float("inf"),
    "datasets": [],
    "params": [{"name": "a", "bind": {"input": "text", "element": "body"}}],
}


@pytest.mark.parametrize("path", FOREIGN)
def test_what_leads_out_of_a_chart_is_refused(spec, path):
    assert not is_a_chart_of_ours(changed(spec, path, FOREIGN[path]))


@pytest.mark.parametrize(
    "column",
    [
        ("ink", ["url(http://elsewhere.invalid/a.svg#a)"] * 4),
        ("image", ["http://elsewhere.invalid/a.png"] * 4),
        ("text", ["a", 1, "b", None]),
        ("text", [{"image": "x"}] * 4),
        ("text", ["a"] * 3),
        ("value", [1, 2, 3, 10**30]),
        ("text", ["x" * 100_000] * 4),
    ],
)
def test_data_that_is_more_than_words_and_numbers_is_refused(spec, column):
    name, values = column
    made = copy.deepcopy(spec)
    next(iter(made["datasets"].values()))[name] = values
    assert not is_a_chart_of_ours(made)


@pytest.mark.parametrize("value", [None, 1, "x", [], {}, {"datasets": {}}, {"$schema": alt}])
def test_what_is_no_chart_at_all_is_refused(value):
    assert not is_a_chart_of_ours(value)


def test_a_chart_without_an_end_is_refused(spec):
    inner: dict = {}
    made = spec | {"config": inner}
    for _ in range(5000):
        inner["axis"] = {}
        inner = inner["axis"]
    assert not is_a_chart_of_ours(made)


@pytest.mark.parametrize(
    "text",
    [NUMBER_LABEL, labels_of(['"]', "constructor", "\\", "a\u2028b"]), "datum.value == 3",
     "false && datum.Token == \"4. in\"", "datum.value < 2.5 ? '1' : '≥ 3'"],
)  # fmt: skip
def test_our_own_expressions_pass(text):
    assert is_plain_expression(text)


@pytest.mark.parametrize(
    "text",
    ["event.view", "window", "datum['constructor']", "datum[datum.a]", "datum.__proto__",
     "'a'.constructor", "'a'['constructor']", "split('a','b')['constructor']", "setdata('a', 1)",
     "warn('a')", "datum.a.b", "{a: 1}", "`a`", "a=>a", "[1][[0]['x']]", "\"open", "]", "[",
     "data('a')", "scale('x', 1)", "containerSize()", "x" * 100_000],
)  # fmt: skip
def test_expressions_that_reach_further_are_refused(text):
    assert not is_plain_expression(text)
