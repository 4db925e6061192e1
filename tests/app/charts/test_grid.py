"""Heatmaps of cosines and neurons, the flow picture, scatter and study lines, from tables by hand.

What the specification says and, where it takes Vega to know, what the drawn picture holds.
"""

import json
import re
from functools import cache
from itertools import pairwise
from xml.etree import ElementTree

import pandas as pd
import pytest
import torch
import vl_convert

from app.charts.curves import token_rank_by_layer
from app.charts.export import picture
from app.charts.flow import COLUMN, LETTERS, Panel, flow_chart
from app.charts.grid import (
    LARGEST_WITH_TEXT,
    coefficient_chart,
    cosine_table,
    neuron_table,
    span_table,
)
from app.charts.palette import ACCENT, DIVERGING, INK, LINES, QUIET, diverging
from app.charts.scatter import MOST_DOTS, agreement_chart
from app.charts.studies import relative_rank_by_layer, share_by_layer
from app.charts.token_table import PAGE_WIDTH, Quantity, token_table
from app.words import shortened, visible
from core import SEGMENTS, ImprintAndShift
from tests.app.charts.labels import labels_in
from tests.app.charts.test_charts import (
    AWKWARD,
    LINE_CONTRAST,
    PAGE,
    TEXT_CONTRAST,
    any_number_of_rows,  # noqa: F401 - a fixture
    both_themes,
    colour_field,
    condition_of,
    contrast,
    labels_of,
    lens,
    marks,
    spec_of,
    units,
    words,
)

SIZES = [(3, 6), (60, 48)]  # tokens, layers
HOSTILE = (*AWKWARD, "😀", "*b*", "](x)")
NAN = float("nan")
SEGMENT_NAMES = {name: name.title() for name in SEGMENTS}
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


def cosines(n_layers=6, silent=()):
    """Cosines that differ from pair to pair; NaN for the layers in `silent`."""
    return pd.DataFrame(
        {
            "layer": a,
            "other_layer": b,
            "cosine": NAN if {a, b} & set(silent) else 1 - 2 * abs(a - b) / max(1, n_layers - 1),
        }
        for a in range(n_layers)
        for b in range(n_layers)
    )


def overlap(tokens=(" a", " b", " c"), neurons=8, every=1, silent=()):
    """Neurons 100, 101, ... by norm, one drawn of every `every`; `silent` are zero positions."""
    return pd.DataFrame(
        {
            "order": order,
            "neuron": 100 + order,
            "norm": 10.0 / (1 + order),
            "position": position,
            "token": token,
            "coefficient": (-1.0) ** order * (position + 1),
            "overlap": 0 if position in silent else order - position,
            "cosine": NAN if position in silent else (order - position) / 100,
        }
        for order in range(0, neurons * every, every)
        for position, token in enumerate(tokens)
    )


def span(tokens=(" a", " b", " c"), neurons=8, scale=1.0):
    """Coefficients 0, -scale, 2 scale, -3 scale, ... along each token's row."""
    return pd.DataFrame(
        {
            "place": place,
            "neuron": 300 + place,
            "position": position,
            "label": visible(token),
            "coefficient": scale * (-1.0) ** (place + position) * (place + position),
        }
        for place in range(neurons)
        for position, token in enumerate(tokens)
    )


def step(outputs=12, *, all_tokens=False):
    own = torch.arange(outputs, dtype=torch.float32) - outputs / 2
    predicted = own * 2 if all_tokens else own
    return ImprintAndShift(
        layer=1,
        matrix="ff2",
        position=2,
        step=0.1,
        all_tokens=all_tokens,
        own=own,
        predicted=predicted,
        measured=predicted + 0.25,
        table=pd.DataFrame(),
    )


def studies(names=("tiny-gpt2",), n_layers=6):
    """A row a study and layer, as side_by_side gives them; study i's values begin at i / 10."""
    return pd.DataFrame(
        {
            "study": name,
            "layer": layer,
            "relative_layer": layer / max(1, n_layers - 1),
            "rank_is_full": min(1.0, i / 10 + layer / n_layers),
            "rank_is_full_error": 0.05 if layer else NAN,
            "relative_target_rank": 1 - layer / n_layers,
            "relative_answer_rank": layer / n_layers,
            "n": 100,
        }
        for i, name in enumerate(names)
        for layer in range(n_layers)
    )


def segment_lens(n_layers=6, segments=SEGMENTS):
    """What segment_means makes of a backward lens; no token is in another segment."""
    table = lens(segments, n_layers).drop(columns=["near_zero", "word"])
    table["position"] = [SEGMENTS.index(name) for name in table["token"]]
    return table.astype({"target_rank": "Float64"})


def panels(tokens=(" a", " b", " c"), count=4):
    shares = tuple(1 / (i + 1) for i in range(len(tokens)))
    shown = tuple(visible(token) for token in tokens)
    return [
        Panel(f"Title {i}", "two lines", shown, shares, tuple(f"{s:.1%}" for s in shares))
        for i in range(count)
    ]


def cosine_chart(n_tokens, n_layers, dark):
    return cosine_table(cosines(n_layers, silent=[2]), dark=dark)


def overlap_chart(n_tokens, n_layers, dark):
    table = overlap(words(n_tokens), n_layers)
    return neuron_table(table, "overlap", 100, dark=dark, chosen=101)


def likeness_chart(n_tokens, n_layers, dark):
    table = overlap(words(n_tokens), n_layers, silent=[1])
    return neuron_table(table, "cosine", 1, dark=dark, chosen=None)


def span_chart(n_tokens, n_layers, dark):
    return span_table(span(words(n_tokens)), dark=dark)


def bar_chart(n_tokens, n_layers, dark):
    return coefficient_chart(overlap(words(n_tokens), 1), "δ", dark=dark)


def flow_picture(n_tokens, n_layers, dark):
    return flow_chart(panels(words(min(n_tokens, 10))), "·cat", dark=dark)


def dots_chart(n_tokens, n_layers, dark):
    return agreement_chart(step(n_tokens * n_layers, all_tokens=True), dark=dark)


def share_chart(n_tokens, n_layers, dark):
    return share_by_layer(studies(("tiny-gpt2", "tiny-llama2"), n_layers), dark=dark)


def mean_rank_chart(n_tokens, n_layers, dark):
    return relative_rank_by_layer(studies(n_layers=n_layers), ("target",), "Rank in δ", dark=dark)


def segment_rank_chart(n_tokens, n_layers, dark):
    table = segment_lens(n_layers)
    return token_rank_by_layer(table, 4096, "target_rank", "Rank in x", "Segment", dark=dark)


def segment_table(n_tokens, n_layers, dark):
    table = lens(SEGMENTS, n_layers)
    quantity = Quantity("norm", "norm", "Signal, L2")
    return token_table(
        table,
        "word",
        quantity,
        {"Segment": table["token"]},
        dark=dark,
        blank="near_zero",
        x_title="Segment of the prompt",
        names=SEGMENT_NAMES,
    )


BUILDERS = (
    cosine_chart,
    overlap_chart,
    likeness_chart,
    span_chart,
    bar_chart,
    flow_picture,
    dots_chart,
    share_chart,
    mean_rank_chart,
    segment_rank_chart,
    segment_table,
)
DIVERGING_CHARTS = {cosine_chart: 1, overlap_chart: 100, likeness_chart: 1, span_chart: None}
every_chart = pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)


def values_of(spec, key):
    """All values that stand under a key anywhere in a specification, its data apart."""
    if isinstance(spec, list):
        for part in spec:
            yield from values_of(part, key)
    elif isinstance(spec, dict):
        for name, part in spec.items():
            if name == key:
                yield part
            elif name != "datasets":
                yield from values_of(part, key)


def drawn(chart):
    """The picture's words, and its axes' descriptions, as Vega has drawn them."""
    tree = ElementTree.fromstring(vl_convert.vegalite_to_svg(chart.to_dict()))
    texts = [e.text for e in tree.iter("{http://www.w3.org/2000/svg}text")]
    described = [e.get("aria-label", "") for e in tree.iter()]
    return texts, [text for text in described if re.match("[XY]-axis", text)]


def axis_lengths(chart):
    """How many values the drawn x and y axes have, by the axis's letter."""
    found = [re.match(r"([XY])-axis.* with (\d+) value", text) for text in drawn(chart)[1]]
    return {match[1]: int(match[2]) for match in found if match}


# All charts


@every_chart
@every_size
@both_themes
def test_the_specification_is_valid_and_has_no_nan(build, size, dark):
    spec = spec_of(build, size, dark)
    json.dumps(spec, allow_nan=False)
    assert all(spec["datasets"].values())


@every_chart
@every_size
def test_a_mark_says_its_values_when_hovered(build, size):
    spec = spec_of(build, size, False)
    found = 0
    for unit, data in units(spec):
        for tip in unit["encoding"].get("tooltip", []):
            rows = spec["datasets"][data["name"]]
            assert all(tip["field"] in row for row in rows)
            assert tip["title"]
            found += 1
    assert found


@every_chart
def test_nothing_in_a_chart_leads_to_another_site(build):
    spec = spec_of(build, (3, 6), False)
    text = json.dumps(spec)
    assert re.findall(r"https?://[^\"]*", text) == [spec["$schema"]]
    assert '"href"' not in text
    actions = spec.get("usermeta", {}).get("embedOptions", {}).get("actions", {})
    assert not any(actions.get(name) for name in ("source", "compiled", "editor"))


@every_chart
def test_a_chart_can_be_kept_as_png_and_svg(build):
    chart = build(3, 6, True)
    assert picture(chart, "png", dark=True, stretched=False).startswith(b"\x89PNG\r\n")
    assert b"<svg" in picture(chart, "svg", dark=True, stretched=False)[:200]


@every_chart
@both_themes
def test_axis_text_is_ink_of_twelve_pixels_or_more(build, dark):
    spec = spec_of(build, (3, 6), dark)
    for part in ("axis", "legend", "header"):
        text = spec["config"][part]
        assert text["labelColor"] == text["titleColor"] == INK[dark]
        assert min(text["labelFontSize"], text["titleFontSize"]) >= 12
    assert all(unit["mark"].get("fontSize", 12) >= 12 for unit, _ in units(spec))


@both_themes
def test_titles_beside_the_flow_have_contrast_on_the_page(dark):
    for colour in (INK[dark], QUIET[dark]):
        assert contrast(colour, PAGE[dark]) >= TEXT_CONTRAST


@pytest.mark.parametrize("build", DIVERGING_CHARTS, ids=lambda build: build.__name__)
@both_themes
def test_a_diverging_scale_is_symmetric_with_zero_in_the_middle(build, dark):
    encoding, rows = marks(build(3, 6, dark), "rect")[0]
    scale = colour_field(encoding)["scale"]
    limit = DIVERGING_CHARTS[build] or max(abs(row["coefficient"]) for row in rows)
    assert scale["domain"] == [-limit, 0, limit]
    assert scale["range"] == list(DIVERGING[dark])
    assert scale["interpolate"] == "rgb"  # as the ink is chosen for


@both_themes
def test_words_have_contrast_on_every_diverging_colour(dark):
    colours = diverging(dark)
    ratios = [contrast(colours.ink(i / 200), colours.colour(i / 200)) for i in range(201)]
    assert min(ratios) >= TEXT_CONTRAST


@pytest.mark.parametrize("build", [cosine_chart, span_chart], ids=lambda build: build.__name__)
@both_themes
def test_each_cells_ink_has_contrast_on_its_own_colour(build, dark):
    column = "cosine" if build is cosine_chart else "coefficient"
    encoding, rows = marks(build(3, 6, dark), "text")[0]
    assert (encoding["color"]["field"], encoding["color"]["scale"]) == ("ink", None)
    limit = max(abs(row[column] or 0) for row in rows)
    for row in rows:
        empty = row[column] is None
        colour = PAGE[dark] if empty else diverging(dark).colour((row[column] / limit + 1) / 2)
        assert contrast(row["ink"], colour) >= TEXT_CONTRAST


# Texts of users and models


@cache
def hostile_charts():
    positions = range(len(HOSTILE))
    table = overlap(HOSTILE)
    named = studies(HOSTILE[:6])
    return {
        "neurons": neuron_table(table, "overlap", 100, dark=False, chosen=102),
        "span": span_table(span(HOSTILE), dark=False),
        "bars": coefficient_chart(table[table["order"] == 0], "x", dark=False),
        "flow": flow_chart(panels(HOSTILE, 2), visible(HOSTILE[0]), dark=False),
        "shares": share_by_layer(named, dark=False),
        "ranks": relative_rank_by_layer(named, ("target", "answer"), "Rank", dark=False),
        "tokens": token_table(
            lens(HOSTILE).assign(word="w"),
            "word",
            Quantity("norm", "norm", "Norm"),
            {"Token": pd.Series([HOSTILE[p] for _ in range(6) for p in positions])},
            dark=False,
            names={token: token for token in HOSTILE},
        ),
    }


HOSTILE_CHARTS = ("neurons", "span", "bars", "flow", "shares", "ranks", "tokens")


@pytest.mark.parametrize("name", HOSTILE_CHARTS)
def test_hostile_texts_are_data_and_never_a_field_or_a_title(name):
    spec = hostile_charts()[name].to_dict()
    fields = [field for field in values_of(spec, "field") if isinstance(field, str)]
    assert fields
    assert all(re.fullmatch(r"\w+", field) for field in fields)
    titles = [title for title in values_of(spec, "title") if title]
    assert titles or name == "flow"
    assert not [t for t in titles for text in HOSTILE if text in t or "\\" in t or '"' in t]
    for expression in values_of(spec, "labelExpr"):
        if "datum.value +" in expression:
            assert labels_in(expression)


@pytest.mark.parametrize("name", HOSTILE_CHARTS)
def test_hostile_texts_are_drawn_as_they_are(name):
    texts, _ = drawn(hostile_charts()[name])
    expected = HOSTILE[:6] if name in ("shares", "ranks") else HOSTILE
    cut = {text: {shortened(visible(text), n) for n in range(8, 20)} for text in expected}
    assert [text for text in expected if not cut[text] & set(texts)] == []


# Cosines between layers


@every_size
def test_every_pair_of_layers_is_a_cell_with_the_last_layer_on_top(size):
    n_layers = size[1]
    encoding, rows = marks(cosine_chart(*size, False), "rect")[0]
    given = cosines(n_layers, silent=[2])
    assert [(r["layer"], r["other_layer"]) for r in rows] == list(
        zip(given["layer"], given["other_layer"], strict=True)
    )
    assert [r["cosine"] for r in rows] == [None if pd.isna(v) else v for v in given["cosine"]]
    assert encoding["y"]["field"] == "layer"
    assert encoding["y"]["scale"]["domain"] == sorted(set(given["layer"]), reverse=True)
    assert encoding["x"]["field"] == "other_layer"
    assert "sort" not in encoding["x"]


def test_a_silent_layer_is_empty_with_a_dash():
    encoding, rows = marks(cosine_chart(3, 6, False), "rect")[0]
    assert condition_of(encoding["color"]) == {"test": "datum.empty", "value": "transparent"}
    for row in rows:
        silent = 2 in (row["layer"], row["other_layer"])
        assert row["empty"] == silent
        assert row["text"] == ("–" if silent else f"{row['cosine']:.2f}")


@pytest.mark.parametrize("n_layers", [1, 2, 6, LARGEST_WITH_TEXT, LARGEST_WITH_TEXT + 1, 48, 96])
def test_numbers_stand_in_the_cells_while_there_is_room(n_layers):
    chart = cosine_table(cosines(n_layers), dark=False)
    spec = chart.to_dict()
    has_text = bool(marks(chart, "text"))
    assert has_text == (n_layers <= LARGEST_WITH_TEXT)
    assert not has_text or (spec["height"]["step"] >= 20 and spec["width"]["step"] >= 32)
    assert spec["width"]["step"] * n_layers <= max(PAGE_WIDTH, 10 * n_layers)
    labels = marks(chart, "rect")[0][0]["x"]["axis"]["values"]
    assert labels[-1] == n_layers - 1  # the last layer is always named
    assert len(labels) <= 24


@pytest.mark.parametrize(
    "n_layers",
    [6, 48],
)
def test_a_silent_layer_keeps_its_row_and_its_column(n_layers):
    lengths = axis_lengths(cosine_table(cosines(n_layers, silent=[2]), dark=False))
    assert lengths == {"X": n_layers, "Y": n_layers}


# Neurons by prompt token


@every_size
@pytest.mark.parametrize("every", [1, 7])
def test_neurons_stand_in_order_of_norm_without_gaps(size, every):
    n_tokens, n_neurons = size
    table = overlap(words(n_tokens), n_neurons, every).sample(frac=1, random_state=0)
    chart = neuron_table(table, "overlap", 100, dark=False, chosen=None)
    encoding, rows = marks(chart, "rect")[0]
    assert len(rows) == n_tokens * n_neurons
    for row in rows:
        assert row["place"] * every == row["order"] == row["neuron"] - 100
        assert row["value"] == row["overlap"] == row["order"] - row["position"]
    assert encoding["x"]["field"] == "place"
    assert encoding["y"]["field"] == "position"
    labels = labels_in(encoding["y"]["axis"]["labelExpr"])
    assert labels == [visible(token) for token in words(n_tokens)]


@pytest.mark.parametrize("neurons", [1, 8, 120])
def test_neurons_fit_the_page(neurons):
    spec = neuron_table(overlap(neurons=neurons), "cosine", 1, dark=False, chosen=None).to_dict()
    assert 2 <= spec["width"]["step"] <= 24
    assert spec["width"]["step"] * neurons <= PAGE_WIDTH
    assert spec["height"]["step"] >= 18


@pytest.mark.parametrize("chosen", [None, 103])
def test_a_click_chooses_a_neuron(chosen):
    spec = neuron_table(overlap(), "cosine", 1, dark=False, chosen=chosen).to_dict()
    (param,) = values_of(spec, "params")
    assert param[0]["name"] == "cell"
    assert (param[0]["select"]["type"], param[0]["select"]["on"]) == ("point", "click")
    assert param[0]["select"]["fields"] == ["neuron"]


@both_themes
def test_the_chosen_neuron_is_marked_where_it_is_drawn(dark):
    chart = neuron_table(overlap(every=7), "overlap", 100, dark=dark, chosen=121)
    encoding, rows = marks(chart, "point")[0]
    assert [(row["neuron"], row["place"]) for row in rows] == [(121, 3)]
    assert encoding["y"] == {"value": 0}
    (colour,) = (u["mark"]["color"] for u, _ in units(chart.to_dict()) if "shape" in u["mark"])
    assert colour == ACCENT[dark]
    for absent in (None, 122):  # 122 is none of those drawn
        chart = neuron_table(overlap(every=7), "overlap", 100, dark=dark, chosen=absent)
        assert marks(chart, "point") == []


def test_a_cosine_that_there_is_not_is_no_number():
    _, rows = marks(likeness_chart(3, 6, False), "rect")[0]
    assert {row["value"] for row in rows if row["position"] == 1} == {None}
    assert None not in {row["value"] for row in rows if row["position"] != 1}


def test_a_silent_token_keeps_its_row():
    """In the last layer every token but the last one is silent."""
    chart = neuron_table(overlap(silent=[0, 1]), "cosine", 1, dark=False, chosen=None)
    assert axis_lengths(chart)["Y"] == 3


# A gradient as a sum


@every_size
def test_a_cell_holds_its_part_of_the_largest_coefficient(size):
    table = span(words(size[0]), scale=1e-6)
    encoding, rows = marks(span_table(table, dark=False), "text")[0]
    largest = table["coefficient"].abs().max()
    for row in rows:
        assert float(row["text"]) == pytest.approx(row["coefficient"] / largest, abs=0.005)
        share = row["coefficient"] / largest
        assert row["text"][0] == ("0" if abs(share) < 0.005 else "-" if share < 0 else "+")
    assert max(abs(float(row["text"])) for row in rows) == 1
    assert labels_of(encoding) == [str(300 + place) for place in range(8)]
    assert "-0.00" not in {row["text"] for row in rows}


def test_a_span_of_zeros_can_be_drawn():
    chart = span_table(span(scale=0.0), dark=False)
    encoding, rows = marks(chart, "rect")[0]
    low, middle, high = encoding["color"]["scale"]["domain"]
    assert low < middle == 0 < high == -low
    assert {abs(float(row["text"])) for row in rows} == {0}
    drawn(chart)


# One neuron


@every_size
@both_themes
def test_bars_have_the_colour_of_their_sign_on_both_sides_of_zero(size, dark):
    chart = coefficient_chart(overlap(words(size[0]), 1), "δ", dark=dark)
    encoding, rows = marks(chart, "bar")[0]
    assert [row["coefficient"] for row in rows] == [i + 1 for i in range(size[0])]
    below, above = DIVERGING[dark][0], DIVERGING[dark][2]
    assert condition_of(encoding["color"]) == {"test": "datum.coefficient < 0", "value": below}
    assert encoding["color"]["value"] == above
    assert encoding["x"]["title"] == "Coefficient of δ"
    assert min(contrast(colour, PAGE[dark]) for colour in (below, above)) >= LINE_CONTRAST
    assert [row["x"] for row in marks(chart, "rule")[0][1]] == [0]
    assert chart.to_dict()["height"]["step"] >= 20


# The flow


@pytest.mark.parametrize("count", [1, 2, 4])
@both_themes
def test_columns_stand_apart_with_an_arrow_between(count, dark):
    chart = flow_chart(panels(count=count), "·a", dark=dark)
    spec = chart.to_dict()
    _, rows = marks(chart, "rect")[0]
    lefts = sorted({row["left"] for row in rows})
    assert len(lefts) == count
    assert all(right - left > COLUMN for left, right in pairwise(lefts))
    assert max(row["right"] for row in rows) == spec["width"]
    assert max(row["bottom"] for row in rows) <= spec["height"]
    own = [row for row in rows if row["left"] == lefts[-1]]
    assert all(above["bottom"] < below["top"] for above, below in pairwise(own))
    arrows = marks(chart, "text")[-1][1]
    assert len(arrows) == count - 1
    for arrow, left in zip(arrows, lefts, strict=False):
        assert left + COLUMN < arrow["x"] < left + COLUMN + 40


def test_bars_are_as_long_as_their_share():
    _, rows = marks(flow_picture(10, 6, False), "rect")[1]
    by_note = {row["note"]: row["end"] - row["left"] for row in rows}
    assert by_note["100.0%"] == COLUMN
    assert by_note["50.0%"] == COLUMN / 2
    assert all(row["end"] <= row["right"] for row in rows)
    (none,) = flow_rows(Panel("T", "", ("x",), (0.0,), ("0%",)))
    assert 0 < none["end"] - none["left"] <= 3  # a sliver says: here is a bar


def flow_rows(*columns, target="·a"):
    return marks(flow_chart(list(columns), target, dark=False), "rect")[0][1]


def test_only_rows_that_hold_the_target_are_framed():
    chart = flow_chart(panels((" a", " A", "a", " ab")), visible(" a"), dark=True)
    _, rows = marks(chart, "rect")[0]
    assert {row["whole"] for row in rows if row["marked"]} == {"·a"}
    assert sum(row["marked"] for row in rows) == 4
    (frame,) = (u for u, _ in units(chart.to_dict()) if u["mark"].get("filled") is False)
    assert frame["transform"] == [{"filter": "datum.marked"}]
    assert frame["mark"]["stroke"] == ACCENT[True]


def test_long_words_are_shortened_in_their_row_and_whole_in_the_tooltip():
    (row,) = flow_rows(Panel("T", "", ("W" * 50,), (0.5,), ("50%",)))
    assert row["word"] == "W" * (LETTERS - 1) + "…"
    assert row["whole"] == "W" * 50


def test_a_panel_may_have_fewer_words_than_another():
    columns = [Panel("One", "", ("x",), (1.0,), ("",)), *panels(count=1)]
    assert len(flow_rows(*columns)) == 4


# Predicted and measured


@pytest.mark.parametrize("all_tokens", [False, True])
@both_themes
def test_each_output_is_a_dot_on_predicted_and_measured(all_tokens, dark):
    chart = agreement_chart(step(all_tokens=all_tokens), dark=dark)
    encoding, rows = marks(chart, "point")[0]
    assert (encoding["x"]["field"], encoding["y"]["field"]) == ("prediction", "measured")
    names = encoding["color"]["scale"]["domain"]
    together = ["all tokens together"] if all_tokens else []
    assert names == [*together, "this token alone"]
    assert len(rows) == 12 * len(names)
    for row in rows:
        factor = 2 if all_tokens and row["Prediction"] == "this token alone" else 1
        assert row["measured"] == row["prediction"] * factor + 0.25
    colours = encoding["color"]["scale"]["range"]
    assert len(set(colours)) == len(names)
    ends = [(row["a"], row["b"]) for row in marks(chart, "line")[0][1]]
    predictions = [row["prediction"] for row in rows]
    assert ends == [(min(predictions),) * 2, (max(predictions),) * 2]


@pytest.mark.parametrize("outputs", [1, MOST_DOTS, MOST_DOTS + 1, 11008])
def test_a_wide_output_is_thinned_evenly(outputs):
    _, rows = marks(agreement_chart(step(outputs), dark=False), "point")[0]
    numbers = [row["output"] for row in rows]
    assert min(outputs, MOST_DOTS // 2) <= len(numbers) <= MOST_DOTS
    assert len({b - a for a, b in pairwise(numbers)}) <= 1
    assert numbers[0] == 0


# Studies side by side


@both_themes
@pytest.mark.parametrize("count", [1, 2, 6, 8])
def test_each_study_has_a_colour_of_its_own(count, dark):
    names = [f"model {9 - i}" for i in range(count)]
    chart = share_by_layer(studies(names), dark=dark)
    encoding, rows = marks(chart, "line")[0]
    scale = encoding["color"]["scale"]
    assert scale["domain"] == names  # in the order that they were given
    assert len(set(scale["range"])) == count
    assert set(scale["range"]) <= {ACCENT[dark], *LINES[dark], QUIET[dark], INK[dark]}
    assert {row["study"] for row in rows} == set(names)
    assert (encoding["color"]["legend"] is None) == (count == 1)


@pytest.mark.parametrize("n_layers", [1, 6, 48])
def test_shares_are_parts_of_all_prompts_with_their_error(n_layers):
    chart = share_by_layer(studies(n_layers=n_layers), dark=False)
    encoding, rows = marks(chart, "line")[0]
    assert encoding["y"]["scale"]["domain"] == [0, 1]
    assert encoding["x"]["field"] == "relative_layer"
    assert encoding["x"]["scale"]["domain"] == [0, 1]
    assert [row["rank_is_full"] for row in rows] == [i / n_layers for i in range(n_layers)]
    errors = studies(n_layers=n_layers)["rank_is_full_error"].fillna(0)
    for row, error in zip(rows, errors, strict=True):
        assert row["low"] == pytest.approx(max(0, row["rank_is_full"] - error))
        assert row["high"] == pytest.approx(min(1, row["rank_is_full"] + error))
    spread, _ = marks(chart, "rule")[0]
    assert (spread["y"]["field"], spread["y2"]["field"]) == ("low", "high")


def test_mean_ranks_run_from_most_probable_on_top_with_both_ends_named():
    chart = mean_rank_chart(3, 6, False)
    encoding, rows = marks(chart, "line")[0]
    assert encoding["y"]["scale"] == {"domain": [0, 1], "reverse": True}
    assert encoding["y"]["title"] == "Rank in δ"
    assert [row["rank"] for row in rows] == [1 - i / 6 for i in range(6)]
    texts, _ = drawn(chart)
    assert {"most probable (0)", "least probable (1)", "0.50"} <= set(texts)


@both_themes
def test_target_and_answer_are_told_apart_by_their_dashes(dark):
    table = studies(("a", "b"))
    chart = relative_rank_by_layer(table, ("target", "answer"), "Rank", dark=dark)
    encoding, rows = marks(chart, "line")[0]
    assert encoding["strokeDash"]["scale"]["domain"] == ["The target", "The model's answer"]
    dashes = encoding["strokeDash"]["scale"]["range"]
    assert dashes[0] != dashes[1]
    assert len(rows) == 2 * len(table)
    for word, column in (("The target", "target"), ("The model's answer", "answer")):
        own = [row["rank"] for row in rows if row["Word"] == word]
        assert own == table[f"relative_{column}_rank"].tolist()


def test_layers_without_a_rank_have_no_dot():
    table = studies(("a", "b"))
    table.loc[table["layer"] == 3, "relative_target_rank"] = NAN
    _, rows = marks(relative_rank_by_layer(table, ("target",), "Rank", dark=False), "line")[0]
    assert {row["layer"] for row in rows} == {0, 1, 2, 4, 5}
    none = relative_rank_by_layer(
        table.assign(relative_target_rank=NAN), ("target",), "Rank", dark=False
    )
    none.to_dict(validate=True)


# Segments in the pictures of tokens


@both_themes
def test_segments_have_lines_by_their_own_names_in_their_order(dark):
    encoding, rows = marks(segment_rank_chart(3, 6, dark), "line")[0]
    assert encoding["color"]["scale"]["domain"] == list(SEGMENTS)
    assert encoding["color"]["title"] == "Segment"
    assert encoding["tooltip"][0]["title"] == "Segment"
    colours = encoding["color"]["scale"]["range"]
    assert [colour == ACCENT[dark] for colour in colours] == [False] * 6 + [True]
    assert encoding["y"]["title"] == "Rank in x"
    assert encoding["y"]["scale"]["reverse"] is True
    assert {row["Token"] for row in rows} == set(SEGMENTS)


def test_segments_that_a_prompt_lacks_have_no_line():
    kept = [SEGMENTS[3], SEGMENTS[0], SEGMENTS[6]]
    table = segment_lens(segments=kept)
    chart = token_rank_by_layer(table, 4096, "target_rank", "Rank", "Segment", dark=False)
    encoding, _ = marks(chart, "line")[0]
    assert encoding["color"]["scale"]["domain"] == [SEGMENTS[0], SEGMENTS[3], SEGMENTS[6]]


def test_another_words_rank_is_drawn_from_its_own_column():
    table = lens().assign(answer_rank=7)
    chart = token_rank_by_layer(table, 4096, "answer_rank", "Rank of the answer", dark=False)
    encoding, rows = marks(chart, "line")[0]
    assert {row["rank"] for row in rows} == {7}
    assert encoding["tooltip"][2]["title"] == "Rank of the answer"


@pytest.mark.parametrize("missing", [pd.NA, None])
def test_cells_without_a_rank_are_left_out(missing):
    table = segment_lens()
    table.loc[table["layer"] == 1, "target_rank"] = missing
    chart = token_rank_by_layer(table, 4096, "target_rank", "Rank", "Segment", dark=False)
    assert 1 not in {row["layer"] for row in marks(chart, "line")[0][1]}


@every_size
def test_a_segment_tables_columns_have_their_titles(size):
    encoding, _ = marks(segment_table(*size, False), "rect")[0]
    assert encoding["x"]["title"] == "Segment of the prompt"
    labels = labels_of(encoding)
    assert len(labels) == 7
    for label, name in zip(labels, SEGMENT_NAMES.values(), strict=True):
        assert label == name or (label.endswith("…") and name.startswith(label[:-1]))
    condition = condition_of(encoding["x"]["axis"]["labelColor"])
    assert condition == {"test": "datum.value == 6", "value": ACCENT[False]}
