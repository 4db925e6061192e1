"""Every chart on its way to the page: it is what Altair would write, and costs no copies."""

import ast
import inspect
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from altair.utils import schemapi

from app.charts.before_after import before_after
from app.charts.benchmark import benchmark_dots, generalisation_curve
from app.charts.calibration import strength_curve
from app.charts.curves import rank_by_layer, token_rank_by_layer
from app.charts.edits import landing_chart, method_chart
from app.charts.flow import flow_chart
from app.charts.grid import coefficient_chart, cosine_table, neuron_table, span_table
from app.charts.palette import RAMPS, luminance, ramp
from app.charts.rank_length import rank_by_length
from app.charts.regions import PICKED, Region
from app.charts.scatter import agreement_chart
from app.charts.spec import arrow_bytes, specification
from app.charts.strength import perplexity_by_layer, rate_by_layer
from app.charts.studies import relative_rank_by_layer, share_by_layer
from app.charts.study_lengths import mean_rank_by_length
from app.charts.style import along, each_once, in_layer, layered
from app.charts.token_table import Quantity, token_table
from app.charts.two_sides import difference_bars, side_curves
from tests.app.benchmarks import dots
from tests.app.charts.test_before_after import TABLE as ASKED_TWICE
from tests.app.charts.test_charts import (
    any_number_of_rows,  # noqa: F401 - a fixture
    crowd_table,
    curve,
    lens,
    table_chart,
    words,
)
from tests.app.charts.test_grid import cosines, overlap, panels, span, step, studies

CELLS = Path(__file__).resolve().parents[3] / "app" / "cells"
RANKS = curve(5, 12)


def strengths():
    return pd.DataFrame(
        {
            "method": ["sgd", "sgd", "adam", "adam"],
            "layer": [0, 1, 0, 1],
            "rate": [0.1, float("nan"), 0.003, 0.0],
            "works": [True, False, True, True],
            "perplexity": [12.0, float("inf"), 900.0, 11.0],
            "base_perplexity": 10.0,
        }
    )


def calibration():
    rows = [(1, "auto", 1.0, 0.9, 0.8), (1, 0.01, 1.0, float("nan"), 0.8), (1, 3, 0.5, 0.4, 1)]
    return pd.DataFrame(
        rows, columns=["layer", "strength", "efficacy", "paraphrase", "neighbourhood"]
    )


def changes():
    return pd.DataFrame(
        {
            "edit": ["mine", "mine", "other"],
            "Matrix": ["FF1", "FF2", "FF2"],
            "layer": [1, 1, 3],
            "rank": 1,
            "norm": [0.1, 2e-9, 3e4],
            "share": [0.01, 0.02, 0.5],
        }
    )


def methods():
    return pd.DataFrame(
        {
            "title": ["One step", "Shift", "ROME"],
            "seconds": [0.1, 2.0, float("nan")],
            "target_probability": [0.9, 0.8, float("nan")],
            "paraphrases": [0.5, float("nan"), float("nan")],
            "kept": [1.0, 0.5, float("nan")],
            "problem": ["", "", "no second moments"],
        }
    )


def tied():
    return lens().assign(target_rank=pd.array([7] * 24, dtype="Int64"))


def tokens(n_tokens, quantity="norm", **options):
    table = lens(words(n_tokens), 12)
    return table_chart(table, Quantity("norm", quantity, "Title"), **options)


def framed(dark):
    table = lens(words(40), 12)
    limits = {"blank": "near_zero", "marked": table["norm"] > 300}
    table.loc[50, "norm"] = 1e6  # beyond the scale
    tips = {"Token": table["token"], "Layer": table["layer"].astype(str)}
    return token_table(table, "word", Quantity("norm", "norm", "L2"), tips, dark=dark, **limits)


def mean_ranks(lengths=(5, 6, 9), n_layers=4, short=(2,)):
    """As Study.ranks_by_length has them; the `short` layers are half a direction below."""
    return pd.DataFrame(
        {
            "layer": layer,
            "prompt_length": n,
            "n": 3 + i,
            "gradient_rank": 1.0 if layer == n_layers - 1 else n - 0.5 * (layer in short),
            "gradient_rank_spread": 0.5 if i else float("nan"),
            "lowest": 1.0,
            "highest": float(n),
        }
        for i, n in enumerate(lengths)
        for layer in range(n_layers)
    )


def to_pick_from(*regions, dark=False, layers=range(6)):
    """A table whose cells can be picked, with these regions framed."""
    table = lens()[lambda table: table["layer"].isin(layers)]
    quantity = Quantity("norm", "norm", "L2")
    return token_table(
        table, "word", quantity, {"Token": table["token"]}, dark=dark, picked=regions
    )


CONE = (Region("reached", 3, 5, 2, 3), Region("own", 2, 2, 2, 2))  # of layer 2, token 2


SIDES = pd.DataFrame(
    {
        "side": ["left", "left", "right", "right"],
        "layer": [0, 1, 0, 1],
        "depth": [0.0, 1.0, 0.0, 1.0],
        "rank": [3, -1, 4, 1],
        "share": [0.5, None, 0.25, 1.0],
    }
)
# The builder's name, and which of its pictures it is; each is a function of dark.
CHARTS = {
    ("token_table", "of a short prompt"): partial(tokens, 5),
    ("token_table", "to pick from"): lambda dark: to_pick_from(dark=dark),
    ("token_table", "with a picked cell"): lambda dark: to_pick_from(*CONE, dark=dark),
    ("token_table", "that scrolls, with frames and outliers"): lambda dark: framed(dark),
    ("rank_by_length", "short"): lambda dark: rank_by_length(RANKS, list(range(12)), dark=dark),
    ("rank_by_length", "long"): lambda dark: rank_by_length(
        curve(40, 30, ("ff1", "gate", "ff2")), [0, 3, 29], 32, words(40), dark=dark
    ),
    ("rank_by_layer", ""): lambda dark: rank_by_layer(
        RANKS[RANKS["prompt_length"] == 5], 3, dark=dark
    ),
    ("token_rank_by_layer", "named at its ends"): lambda dark: token_rank_by_layer(
        lens(), 4096, dark=dark
    ),
    ("token_rank_by_layer", "with a legend"): lambda dark: token_rank_by_layer(
        tied(), 4096, dark=dark
    ),
    ("token_rank_by_layer", "of 12 tokens"): lambda dark: token_rank_by_layer(
        lens(words(12)), 4096, dark=dark
    ),
    ("token_rank_by_layer", "of a crowd"): lambda dark: token_rank_by_layer(
        crowd_table(), 4096, dark=dark, subject=[2, 3]
    ),
    ("cosine_table", ""): lambda dark: cosine_table(cosines(6, silent=[2]), dark=dark),
    ("cosine_table", "without numbers"): lambda dark: cosine_table(cosines(20), dark=dark),
    ("neuron_table", ""): lambda dark: neuron_table(
        overlap(silent=[1]), "cosine", 1, dark=dark, chosen=None
    ),
    ("neuron_table", "with an arrow"): lambda dark: neuron_table(
        overlap(every=7), "overlap", 100, dark=dark, chosen=121
    ),
    ("span_table", ""): lambda dark: span_table(span(), dark=dark),
    ("coefficient_chart", ""): lambda dark: coefficient_chart(overlap(neurons=1), "δ", dark=dark),
    ("flow_chart", ""): lambda dark: flow_chart(panels(), "·a", dark=dark),
    ("flow_chart", "of one panel"): lambda dark: flow_chart(panels(count=1), "·a", dark=dark),
    ("agreement_chart", "of a token"): lambda dark: agreement_chart(step(), dark=dark),
    ("agreement_chart", "of all"): lambda dark: agreement_chart(step(all_tokens=True), dark=dark),
    ("landing_chart", ""): lambda dark: landing_chart(changes(), 4, dark=dark),
    ("method_chart", ""): lambda dark: method_chart(methods(), dark=dark),
    ("rate_by_layer", ""): lambda dark: rate_by_layer(strengths(), dark=dark),
    ("perplexity_by_layer", ""): lambda dark: perplexity_by_layer(
        strengths(), "the model", dark=dark
    ),
    ("share_by_layer", ""): lambda dark: share_by_layer(studies(("a", "b")), dark=dark),
    ("relative_rank_by_layer", ""): lambda dark: relative_rank_by_layer(
        studies(), ("target",), "Rank in δ", dark=dark
    ),
    ("relative_rank_by_layer", "of two words"): lambda dark: relative_rank_by_layer(
        studies(("a", "b")), ("target", "answer"), "Rank in δ", dark=dark
    ),
    ("mean_rank_by_length", ""): lambda dark: mean_rank_by_length(mean_ranks(), dark=dark),
    ("mean_rank_by_length", "in a panel"): lambda dark: mean_rank_by_length(
        mean_ranks(), span=(4, 30), width=300, dark=dark
    ),
    ("before_after", ""): lambda dark: before_after(ASKED_TWICE, " Rome", dark=dark),
    ("side_curves", ""): lambda dark: side_curves(SIDES, "rank", "Rank", ("a", "b"), dark=dark),
    ("side_curves", "by depth"): lambda dark: side_curves(
        SIDES, "share", "Rank", ("a", "b"), dark=dark, places=True, depth=True
    ),
    ("difference_bars", ""): lambda dark: difference_bars(
        SIDES[SIDES["side"] == "left"], "rank", "Rank", ("a", "b"), dark=dark
    ),
    ("strength_curve", ""): lambda dark: strength_curve(calibration(), 1, dark=dark),
    ("benchmark_dots", ""): lambda dark: benchmark_dots(dots(), "acc", ("a", "paper"), dark=dark),
    ("benchmark_dots", "without the paper"): lambda dark: benchmark_dots(
        dots()[lambda table: ~table["published"]], "acc", ("a", "paper"), dark=dark
    ),
    ("generalisation_curve", ""): lambda dark: generalisation_curve(
        calibration(), 1, 3.0, dark=dark
    ),
    ("generalisation_curve", "without a fixed strength"): lambda dark: generalisation_curve(
        calibration(), 1, None, dark=dark
    ),
}
every_chart = pytest.mark.parametrize("name", CHARTS, ids=" ".join)


def rows_of(data):
    return pa.ipc.open_stream(data).read_all().to_pylist() if isinstance(data, bytes) else data


def with_rows(spec):
    """A specification whose data stand where they are used; their names mean nothing."""
    tables = {name: rows_of(data) for name, data in spec.get("datasets", {}).items()}
    used = set()

    def put(part):
        if isinstance(part, list):
            return [put(one) for one in part]
        if not isinstance(part, dict):
            return part
        if part.keys() == {"name"} and part["name"] in tables:
            used.add(part["name"])
            return tables[part["name"]]
        return {key: put(value) for key, value in part.items() if key != "datasets"}

    placed = put(spec)
    assert used == set(tables)
    return placed


def drawn_by_pages():
    """The names of all functions of app/charts that app/cells draw charts with."""
    found = set()
    for path in CELLS.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("app.charts."):
                module = import_module(node.module)
                for name in (imported.name for imported in node.names):
                    function = getattr(module, name)
                    if inspect.isfunction(function):
                        made = inspect.signature(function).return_annotation
                        found |= {name} if "Chart" in made else set()
    return found


def test_every_chart_of_a_page_is_looked_at_here():
    assert drawn_by_pages() == {builder for builder, _ in CHARTS}


@every_chart
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_gets_what_altair_writes_and_finds_valid(name, dark):
    chart = CHARTS[name](dark=dark)
    sent = with_rows(specification(chart))
    with alt.theme.enable("none"):
        assert sent == with_rows(chart.to_dict(validate=True))
    assert with_rows(specification(chart)) == sent  # nothing in it was changed


@every_chart
def test_a_chart_is_made_without_copies_and_without_a_search(name, monkeypatch):
    """Where Altair copies layers with their data, and goes through its classes for a channel."""

    def refused(*_, **__):
        raise AssertionError("see app/charts/style.py")

    monkeypatch.setattr(schemapi, "_deep_copy", refused)
    monkeypatch.setattr(alt.SchemaBase, "from_dict", refused)
    monkeypatch.setattr(alt.SchemaBase, "validate", refused)
    specification(CHARTS[name](dark=False))


@every_chart
def test_the_same_chart_has_the_same_names_again(name):
    assert specification(CHARTS[name](dark=True)) == specification(CHARTS[name](dark=True))


def test_many_people_draw_at_once():
    expected = {name: specification(draw(dark=False)) for name, draw in CHARTS.items()}
    order = [name for turn in range(4) for name in list(CHARTS)[turn:] + list(CHARTS)[:turn]]
    with ThreadPoolExecutor(8) as people:
        drawn = people.map(lambda name: specification(CHARTS[name](dark=False)), order)
        assert all(spec == expected[name] for name, spec in zip(order, drawn, strict=True))


# What a chart may be made of


ROWS = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None], "c": [0.5, float("nan"), 2]})
BASE = alt.Chart(ROWS)
POINTER = alt.selection_point(name="pointer", fields=["b"], empty=False)
PARTS = {
    "a bare mark": BASE.mark_bar().encode(x="a:Q", y="b:N"),
    "aggregates and a time unit": BASE.mark_line().encode(x="mean(a):Q", y="count()", color="b:N"),
    "no type for a second end": BASE.mark_rule().encode(x="a:Q", x2="c", y=alt.datum(4)),
    "a type beside the field": BASE.mark_bar().encode(x=alt.X("a", type="ordinal", sort="-y")),
    "a field by its name": BASE.mark_bar().encode(x=alt.X(field="a", type="quantitative")),
    "several tooltips": BASE.mark_bar().encode(x="a:Q", tooltip=["a:Q", alt.Tooltip("b:N")]),
    "expressions": BASE.transform_filter(alt.datum.a > 1)
    .transform_calculate(d=alt.datum.a * 2)
    .mark_point()
    .encode(x="d:Q", color=alt.condition(alt.datum.a > 2, alt.value("red"), alt.value("blue"))),
    "conditions": BASE.mark_bar().encode(
        x="a:Q", opacity=alt.when(POINTER).then(alt.value(1)), size=alt.SizeValue(3)
    ),
    "a selection": BASE.mark_bar().encode(x="a:Q").add_params(POINTER),
    "a selection of a layer": layered(
        alt.Chart(name="bars").mark_bar().encode(x="a:Q"),
        alt.Chart().mark_rule().encode(x="c:Q"),
        data=ROWS,
        params=[in_layer(POINTER, "bars")],
    ),
    "numbers of NumPy": BASE.mark_bar().encode(
        x=alt.X("a:Q", scale=alt.Scale(domain=[np.int64(1), np.float32(2)]))
    ),
    "facets": BASE.mark_bar().encode(x="a:Q").facet("b:N"),
    "an Arrow table": alt.Chart(pa.table({"a": [1, None]})).mark_bar().encode(x="a:Q"),
}


@pytest.mark.parametrize("name", PARTS)
def test_other_parts_of_altair_are_written_as_altair_does(name):
    with alt.theme.enable("none"):
        checked = PARTS[name].to_dict(validate=True)
    assert with_rows(specification(PARTS[name])) == with_rows(checked)


def test_a_field_needs_a_type():
    with pytest.raises(ValueError, match="'a' of a chart has no type, such as a:Q"):
        specification(BASE.mark_bar().encode(x="a"))


def test_a_pick_changes_nothing_but_the_frames_data():
    """The page then moves the frames, and does not draw the picture anew."""
    before, after = specification(to_pick_from()), specification(to_pick_from(*CONE))
    old, new = (rows_of(spec["datasets"].pop(PICKED)) for spec in (before, after))
    assert before == after
    assert [row["kind"] for row in old] == ["none"]
    assert new[1:] == [
        {"kind": "reached", "low": 3, "high": 5, "first": 2, "last": 3},
        {"kind": "own", "low": 2, "high": 2, "first": 2, "last": 2},
    ]


def test_frames_end_at_the_layers_that_are_shown():
    spec = specification(to_pick_from(*CONE, layers=(1, 4, 5)))
    rows = rows_of(spec["datasets"][PICKED])
    assert rows[1:] == [{"kind": "reached", "low": 4, "high": 5, "first": 2, "last": 3}]
    outside = specification(to_pick_from(Region("own", 2, 2, 9, 9)))
    assert [row["kind"] for row in rows_of(outside["datasets"][PICKED])] == ["none"]


def test_two_layers_with_the_same_table_send_it_once():
    spec = specification(
        layered(*(alt.Chart(ROWS.copy()).mark_bar().encode(x=alt.X("a:Q")) for _ in range(3)))
    )
    (name,) = spec["datasets"]
    assert [layer["data"] for layer in spec["layer"]] == [{"name": name}] * 3
    assert rows_of(spec["datasets"][name])[1:] == [
        {"a": 2, "b": "y", "c": None},
        {"a": 3, "b": None, "c": 2.0},
    ]


def test_layers_are_those_that_were_given():
    layers = [BASE.mark_bar(), BASE.mark_rule()]
    chart = layered(*layers, width=3)
    assert all(one is other for one, other in zip(chart.layer, layers, strict=True))
    assert chart.layer[0].data is ROWS


def test_arrow_of_a_table_holds_no_index():
    assert rows_of(arrow_bytes(ROWS[ROWS["a"] > 2])) == [{"a": 3, "b": None, "c": 2.0}]


def test_what_stands_along_an_axis():
    table = pd.DataFrame({"position": [2, 0, 2, 0], "token": ["c", "a", "c", "a"]})
    assert along(table, "position", "token") == ["a", "c"]


def test_a_text_is_made_once_for_each_value():
    asked = []

    def text(value):
        asked.append(value)
        return f"<{value}>"

    assert each_once(text, pd.Series([1.5, 2.5, 1.5])).to_pylist() == ["<1.5>", "<2.5>", "<1.5>"]
    assert asked == [1.5, 2.5]


@pytest.mark.parametrize("quantity", [*RAMPS, "difference"])
def test_inks_of_many_cells_are_those_of_each(quantity):
    colours = ramp(quantity, False)
    shares = [-1, 0, 0.1, 0.25, 0.5, 0.77, 1, 3]
    assert colours.inks(shares) == [colours.ink(share) for share in shares]
    assert [tuple(map(int, colour)) for colour in colours.colours(shares)] == [
        colours.colour(share) for share in shares
    ]
    lights = luminance(colours.colours(shares))
    assert lights == pytest.approx([luminance(colours.colour(share)) for share in shares])
