"""Charts from hand-made tables: what the specification says, and that all of it can be read."""

import json
import math
import re
import tomllib
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import altair as alt
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.charts.curves import rank_by_layer, token_rank_by_layer, well_apart
from app.charts.export import picture
from app.charts.palette import ACCENT, INK, LINES, PAPER, QUIET, RAMPS, Ramp, luminance, ramp, rgb
from app.charts.rank_length import rank_by_length
from app.charts.token_table import (
    CHARACTER_WIDTH,
    LEGEND_LENGTH,
    Quantity,
    domain_of_three,
    share,
    token_table,
)
from app.words import visible
from tests.app.charts.labels import labels_in

VOCABULARY = 4096
NASTY = "a.b[0]\"'<script>"
AWKWARD = (NASTY, '\\"', "\\xf0", "\\u", "datum.value", "]}`")
SIZES = [(4, 6), (60, 48)]  # tokens, layers
CONFIG = Path(__file__).resolve().parents[3] / ".streamlit" / "config.toml"
THEME = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["theme"]
PAGE = {dark: THEME["dark" if dark else "light"]["backgroundColor"] for dark in (False, True)}
PANEL = {
    dark: THEME["dark" if dark else "light"]["secondaryBackgroundColor"] for dark in (False, True)
}
TEXT_CONTRAST, LINE_CONTRAST = 4.5, 3.0  # WCAG AA
NORM = Quantity("norm", "norm", "Signal, L2")


@pytest.fixture(autouse=True)
def any_number_of_rows():
    """Streamlit sends tables apart from the chart, without Altair's limit of 5000 rows."""
    with alt.data_transformers.enable("default", max_rows=None):
        yield


def lens(tokens=("Obama", " grew", " up", " in"), n_layers=6):
    """A backward lens; only the last token has a signal in the last layer."""
    rows = []
    for layer in range(n_layers):
        for position, token in enumerate(tokens):
            zero = layer == n_layers - 1 and position < len(tokens) - 1
            rows.append(
                {
                    "layer": layer,
                    "position": position,
                    "token": token,
                    "norm": 0.0 if zero else 1.0 + layer + 10 * position,
                    "word": f"w{layer}.{position}",
                    "target_rank": None if zero else (position * 900 + layer) % VOCABULARY,
                    "near_zero": zero,
                }
            )
    return pd.DataFrame(rows).astype({"target_rank": "Int64"})


def curve(n_tokens=4, n_layers=6, matrices=("ff1", "ff2")):
    return pd.DataFrame(
        {
            "prompt_length": length,
            "layer": layer,
            "matrix": matrix,
            "rank": 1 if layer == n_layers - 1 else length,
        }
        for length in range(1, n_tokens + 1)
        for matrix in matrices
        for layer in range(n_layers)
    )


def words(n_tokens):
    """Prompt tokens, most of them more than once."""
    return tuple((" the", " cat", " sat")[i % 3] for i in range(n_tokens))


def table_chart(table=None, quantity=NORM, tooltips=None, *, dark=False, **keywords):
    table = lens() if table is None else table
    tooltips = tooltips or {"Token": table["token"]}
    return token_table(table, "word", quantity, tooltips, dark=dark, blank="near_zero", **keywords)


def marked_table(n_tokens, n_layers, dark):
    table = lens(words(n_tokens), n_layers)
    return table_chart(table, dark=dark, marked=table["norm"] == table["norm"].max())


def rank_table(n_tokens, n_layers, dark):
    table = lens(words(n_tokens), n_layers)
    table["target_rank"] = table["target_rank"].fillna(0).astype("int64")
    quantity = Quantity("target_rank", "rank", "Rank + 1", domain=(0, VOCABULARY - 1), log=True)
    return table_chart(table, quantity, dark=dark)


def length_chart(n_tokens, n_layers, dark):
    return rank_by_length(curve(n_tokens, n_layers), list(range(n_layers)), dark=dark)


def layer_chart(n_tokens, n_layers, dark):
    ranks = curve(n_tokens, n_layers)
    return rank_by_layer(ranks[ranks["prompt_length"] == n_tokens], dark=dark)


def target_chart(n_tokens, n_layers, dark):
    return token_rank_by_layer(lens(words(n_tokens), n_layers), VOCABULARY, dark=dark)


BUILDERS = {  # with the titles of x and y
    marked_table: ("Prompt token", "Layer"),
    rank_table: ("Prompt token", "Layer"),
    length_chart: ("Prompt length (tokens)", "Rank of the gradient"),
    layer_chart: ("Layer", "Rank of the gradient"),
    target_chart: ("Layer", "Rank of the target in δ"),
}
every_chart = pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
every_size = pytest.mark.parametrize("size", SIZES, ids=str)
both_themes = pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])


@cache
def spec_of(build, size, dark):
    """The specification of a chart that several tests look at; valid. Not to be changed."""
    return build(*size, dark).to_dict(validate=True)


def units(spec, data=None):
    """Every single-mark chart in a specification, with the data it draws."""
    data = spec.get("data", data)
    parts = spec.get("layer") or spec.get("hconcat") or ([spec["spec"]] if "spec" in spec else [])
    if not parts:
        yield spec, data
    for part in parts:
        yield from units(part, data)


def marks(chart, kind):
    """The encodings and the rows of each layer with this kind of mark."""
    spec = chart.to_dict()
    return [
        (unit["encoding"], spec["datasets"][data["name"]])
        for unit, data in units(spec)
        if unit["mark"]["type"] == kind
    ]


def cells(chart):
    """Encoding and rows of a token table's coloured cells."""
    return marks(chart, "rect")[0]


def condition_of(channel):
    """The first condition of an encoding, which Altair writes with or without a list."""
    condition = channel["condition"]
    return condition[0] if isinstance(condition, list) else condition


def colour_field(encoding):
    """The part of a conditional colour that holds the scale."""
    return encoding["color"] if "scale" in encoding["color"] else condition_of(encoding["color"])


def labels_of(encoding):
    """The prompt tokens on a token table's axis."""
    return labels_in(encoding["x"]["axis"]["labelExpr"])


def contrast(one, other):
    """WCAG's contrast ratio of two colours, from 1 to 21."""
    lights = [luminance(rgb(c) if isinstance(c, str) else c) for c in (one, other)]
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def title_in_the_browser(title):
    """Vega-Lite writes a tooltip's title between quotes, and escapes quotes but no backslashes."""
    return json.loads('"' + title.replace('"', '\\"') + '"')


# All charts


@every_chart
@every_size
@both_themes
def test_the_specification_is_valid_and_has_no_nan(build, size, dark):
    spec = spec_of(build, size, dark)
    json.dumps(spec, allow_nan=False)
    assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/")


@every_chart
@every_size
def test_axes_are_named(build, size):
    titles = {"x": set(), "y": set()}
    for unit, _ in units(spec_of(build, size, False)):
        for axis, seen in titles.items():
            seen.add(unit["encoding"].get(axis, {}).get("title"))
    assert tuple(seen - {None} for seen in titles.values()) == tuple({t} for t in BUILDERS[build])


@every_chart
@every_size
def test_a_mark_says_its_values_when_hovered(build, size):
    spec = spec_of(build, size, False)
    found = 0
    for unit, data in units(spec):
        for tip in unit["encoding"].get("tooltip", []):
            assert all(tip["field"] in row for row in spec["datasets"][data["name"]])
            assert tip.get("title", tip["field"])[0].isupper() or tip["title"] == "‖δ‖, L2"
            found += 1
    assert found


@every_chart
@both_themes
def test_axis_text_is_ink_of_twelve_pixels_or_more(build, dark):
    config = spec_of(build, SIZES[0], dark)["config"]
    for part in ("axis", "legend", "header"):
        assert config[part]["labelColor"] == config[part]["titleColor"] == INK[dark]
        assert min(config[part]["labelFontSize"], config[part]["titleFontSize"]) >= 12


@every_chart
@both_themes
def test_words_on_the_page_have_contrast(build, dark):
    """Text that stands on the page rather than on a cell: labels, and the mark of an empty cell."""
    spec = spec_of(build, SIZES[0], dark)
    colours = set()
    for unit, data in units(spec):
        if unit["mark"]["type"] != "text":
            continue
        colour = unit["encoding"].get("color", {"value": unit["mark"].get("color")})
        if colour.get("field") == "ink":
            rows = spec["datasets"][data["name"]]
            colours |= {row["ink"] for row in rows if row["hidden"]}
        else:
            colours |= set(colour["scale"]["range"] if "scale" in colour else [colour["value"]])
    ratios = {colour: round(contrast(colour, PAGE[dark]), 2) for colour in colours}
    assert {colour: ratio for colour, ratio in ratios.items() if ratio < TEXT_CONTRAST} == {}


# Token tables


@every_size
def test_the_last_layer_is_on_top_and_tokens_go_from_left_to_right(size):
    for encoding, _ in marks(marked_table(*size, False), "rect"):
        assert encoding["y"]["field"] == "layer"
        assert (encoding["y"]["type"], encoding["y"]["sort"]) == ("ordinal", "descending")
        assert encoding["x"]["field"] == "position"
        assert encoding["x"]["type"] == "ordinal"
        assert "sort" not in encoding["x"]


@every_size
def test_each_cell_has_its_own_row_though_tokens_repeat(size):
    n_tokens, n_layers = size
    encoding, rows = cells(marked_table(*size, False))
    places = {(row["layer"], row["position"]) for row in rows}
    assert len(rows) == len(places) == n_tokens * n_layers
    assert labels_of(encoding) == [token.replace(" ", "·") for token in words(n_tokens)]


@both_themes
def test_a_cell_holds_its_word_value_and_readable_ink(dark):
    table = lens()
    _, rows = cells(table_chart(table, dark=dark))
    colours = ramp("norm", dark)
    for row, (_, given_row) in zip(rows, table.iterrows(), strict=True):
        if not given_row["near_zero"]:
            assert row["text"] == given_row["word"]
            assert row["value"] == given_row["norm"]
            assert row["ink"] == colours.ink(given_row["norm"] / table["norm"].max())  # from 0


@both_themes
def test_near_zero_cells_are_transparent_with_a_dash(dark):
    chart = table_chart(dark=dark)
    encoding, rows = cells(chart)
    empty = condition_of(encoding["color"])
    assert empty == {"test": "datum.hidden", "value": "transparent"}
    hidden = [(row["layer"], row["position"]) for row in rows if row["hidden"]]
    assert hidden == [(5, 0), (5, 1), (5, 2)]
    assert {row["text"] for row in rows if row["hidden"]} == {"–"}
    assert "–" not in {row["text"] for row in rows if not row["hidden"]}


@pytest.mark.parametrize("token", AWKWARD)
def test_awkward_tokens_survive_in_labels_words_and_tooltips(token):
    table = lens((token, "x", token, " in")).assign(word=token)
    tooltips = {"Layer": table["layer"].astype(str), "Token": table["token"]}
    encoding, rows = cells(table_chart(table, tooltips=tooltips))
    assert labels_of(encoding) == [token, "x", token, "·in"]
    assert {row["text"] for row in rows} == {token, "–"}
    fields = [tip["field"] for tip in encoding["tooltip"]]
    assert all(re.fullmatch(r"\w+", field) for field in fields)  # a dot would be a path
    assert [row[fields[1]] for row in rows[:4]] == [token, "x", token, " in"]


# Words that Vega takes for its own, or for JavaScript's, where they stand alone in an expression.
NAMES = ["if", "constructor", "toString", "hasOwnProperty", "__proto__", "datum", "null", "NaN"]


@pytest.mark.parametrize("token", [*NAMES, "", '"', "\\n", "a\nb"])
def test_a_token_that_means_something_to_vega_is_drawn(token):
    table = lens()
    table["token"] = table["token"].where(table["position"] != 1, token)
    svg = picture(table_chart(table), "svg", dark=False, stretched=False)
    shown = [part.text for part in ElementTree.fromstring(svg).iter() if part.tag.endswith("text")]
    assert visible(token) in shown


@pytest.mark.parametrize("token", AWKWARD)
def test_awkward_tokens_survive_in_tooltip_titles(token):
    """A title that breaks Vega's expression takes the whole picture with it."""
    table = lens()
    title = f"Rank of {token} (target)"
    encoding, _ = cells(table_chart(table, tooltips={title: table["token"]}))
    assert title_in_the_browser(encoding["tooltip"][0]["title"]) == title


def test_tooltips_belong_to_their_cells_in_a_filtered_table():
    table = lens()[lens()["layer"] > 2]
    tips = table["layer"].astype(str) + "/" + table["position"].astype(str)
    chart = table_chart(table, tooltips={"Place": tips}, marked=table["position"] == 1)
    _, rows = cells(chart)
    assert len(rows) == len(table)
    for row in rows:
        assert row["tip0"] == f"{row['layer']}/{row['position']}"
        assert row["marked"] == (row["position"] == 1)


def test_only_marked_cells_get_a_frame():
    table = lens()
    none = pd.Series(False, index=table.index)
    assert len(marks(table_chart(table), "rect")) == 1
    assert len(marks(table_chart(table, marked=none), "rect")) == 1
    chart = table_chart(table, marked=table["word"] == "w2.1")
    _, (_, rows), _ = marks(chart, "rect")
    assert [(r["layer"], r["position"]) for r in rows if r["marked"]] == [(2, 1)]
    framed = [unit for unit, _ in units(chart.to_dict()) if unit["mark"].get("filled") is False]
    assert all(unit["transform"] == [{"filter": "datum.marked"}] for unit in framed)
    assert [unit["mark"]["stroke"] for unit in framed] == [PAPER[False], ACCENT[False]]


@both_themes
def test_the_last_prompt_tokens_label_stands_out(dark):
    encoding, _ = cells(table_chart(dark=dark))
    colour = encoding["x"]["axis"]["labelColor"]
    assert condition_of(colour) == {"test": "datum.value == 3", "value": ACCENT[dark]}
    assert colour["value"] == INK[dark]


@pytest.mark.parametrize("n_layers", [1, 6, 12, 13, 48, 96])
def test_rows_are_at_least_twenty_pixels_high(n_layers):
    assert table_chart(lens(n_layers=n_layers)).to_dict()["height"]["step"] >= 20


@pytest.mark.parametrize("n_tokens", [1, 4, 8, 11, 60])
@pytest.mark.parametrize(("least", "page"), [(66, 790), (110, 790), (50, 360)])
def test_cells_share_the_page_until_they_would_be_too_narrow(n_tokens, least, page):
    chart = table_chart(lens(words(n_tokens), 3), least_width=least, page_width=page)
    width = chart.to_dict()["width"]["step"]
    assert least <= width <= 150
    assert width * n_tokens <= page or width == least
    encoding, _ = cells(chart)
    legend = colour_field(encoding)["legend"]
    if width * n_tokens > page:  # it scrolls, and opens at its right end
        assert encoding["y"]["axis"]["orient"] == "right"
        columns = len(encoding["x"]["scale"]["domain"])
        assert 0 <= legend["legendX"] <= width * columns - LEGEND_LENGTH
    else:
        assert encoding["y"]["axis"]["orient"] == "left"
        assert legend["orient"] == "bottom"


@pytest.mark.parametrize("n_tokens", [2, 8, 60])
def test_long_words_are_shortened_to_their_cells(n_tokens):
    table = lens(("extraordinarily long token",) * n_tokens).assign(word="W" * 50)
    chart = table_chart(table)
    width = chart.to_dict()["width"]["step"]
    encoding, rows = cells(chart)
    for text in {row["text"] for row in rows} | set(labels_of(encoding)):
        assert len(text) * CHARACTER_WIDTH <= width
        assert text.endswith(("…", "–"))


@pytest.mark.parametrize("quantity", RAMPS)
@both_themes
def test_the_colour_scale_is_the_ramp_over_the_columns_range(quantity, dark):
    chart = table_chart(quantity=Quantity("norm", quantity, "Title"), dark=dark)
    colour = colour_field(cells(chart)[0])
    assert colour["title"] == "Title"
    assert colour["scale"]["range"] == list(RAMPS[quantity][dark])
    assert colour["scale"]["type"] == "linear"
    assert colour["scale"]["domain"] == [0, 18, 36]  # norms 0 ... 1 + 5 + 30


def test_ranks_have_a_logarithmic_scale_that_begins_at_one():
    encoding, rows = cells(rank_table(4, 6, False))
    scale = colour_field(encoding)["scale"]
    assert scale["type"] == "log"
    assert scale["domain"] == [1, 64, 4096]  # the geometric mean between
    assert rows[0]["value"] == 1  # rank 0
    assert rows[1]["value"] == 901


def test_a_probability_has_the_same_scale_in_every_table():
    table = lens().assign(norm=0.25)
    quantity = Quantity("norm", "probability", "Probability", domain=(0.0, 1.0))
    assert colour_field(cells(table_chart(table, quantity))[0])["scale"]["domain"] == [0, 0.5, 1]


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.booleans())
def test_the_scales_middle_colour_is_the_ramps_middle(one, other, log):
    low, high = sorted((one, other))
    domain = domain_of_three(low, high, log)
    assert domain[0] < domain[1] < domain[2]  # also for a constant column
    if high > low + 0.01:
        middle = domain[1] - 1 if log else domain[1]
        assert share(low, low, high, log) == 0
        assert share(high, low, high, log) == 1
        assert share(middle, low, high, log) == pytest.approx(0.5, abs=1e-3)


def test_shares_by_hand():
    assert share(3, 1, 5, log=False) == 0.5
    assert share(9, 0, 99, log=True) == pytest.approx(0.5)  # 10 between 1 and 100
    assert share(math.nan, 0, 1, log=False) == 0
    assert share(7, 7, 7, log=False) == 0


# Curves


def lower(table, layer, *short):
    """The curve of one layer, `short` below the diagonal at its last lengths."""
    table = table.copy()
    n = table["prompt_length"].max()
    for i, less in enumerate(reversed(short)):
        table.loc[(table["layer"] == layer) & (table["prompt_length"] == n - i), "rank"] -= less
    return table


def texts_of(chart):
    return [row["text"] for _, rows in marks(chart, "text") for row in rows]


def lines_of(chart):
    """The lines of a chart: colour, width and layers; the diagonal has none."""
    spec = chart.to_dict()
    found = []
    for unit, data in units(spec):
        if unit["mark"]["type"] == "line":
            row = spec["datasets"][data["name"]][0]
            found.append((unit["mark"]["color"], unit["mark"]["strokeWidth"], row.get("layers")))
    return found


@both_themes
def test_layers_that_coincide_are_one_line_with_their_count(dark):
    chart = rank_by_length(curve(matrices=("ff2",)), list(range(6)), dark=dark)
    (full, wide, layers), last, diagonal = lines_of(chart)
    assert (full, layers) == (LINES[dark][0], "0-4")
    assert last == (ACCENT[dark], 2.5, "5")
    assert wide > 2.5
    assert diagonal[0] == INK[dark]
    assert texts_of(chart)[:2] == ["5 (last)", "5 layers: 0-4"]
    assert texts_of(chart)[2:] == ["dashed: 1 per token,", "the most possible"]


def test_the_lowest_layers_have_colours_and_names_and_the_others_are_counted():
    table = curve(40, 12, ("ff2",))
    for layer, short in ((2, 1), (3, 2), (6, 9), (7, 20), (8, 12), (9, 1)):
        table = lower(table, layer, short)
    chart = rank_by_length(table, list(range(12)), dark=False)
    drawn = {layers: colour for colour, _, layers in lines_of(chart)}
    assert drawn["0-1, 4-5 and 10"] == LINES[False][0]
    assert drawn["2 and 9"] == drawn["3"] == QUIET[False]
    assert [drawn[layer] for layer in ("7", "8", "6")] == list(LINES[False][1:4])
    says = texts_of(chart)
    assert says[:4] == ["11 (last)", "layer 7", "layer 8", "layer 6"]
    assert "5 layers: 0-1, 4-5 and 10" in says
    assert "3 layers up to 2 less" in says


def test_labels_at_line_ends_do_not_lie_on_each_other():
    table = lower(lower(lower(curve(40, 8, ("ff2",)), 2, 20), 3, 21), 4, 20, 21)
    chart = rank_by_length(table, list(range(8)), dark=False)
    ends = [r["rank"] for _, rows in marks(chart, "text") for r in rows if "rank" in r]
    steps = [after - before for before, after in pairwise(ends)]
    assert len(ends) == 4
    assert min(steps) >= 40 * 15 / 210 - 1e-9


@pytest.mark.parametrize("chosen", [[0, 3, 5], [2], [0, 1, 2, 3, 4, 5]])
def test_rank_by_length_draws_the_chosen_layers(chosen):
    chart = rank_by_length(curve(), chosen, dark=False)
    drawn = [layers for _, _, layers in lines_of(chart) if layers]
    assert ("5" in drawn) == (5 in chosen)
    assert len(drawn) == 2 * len({layer == 5 for layer in chosen})
    rows = marks(chart, "point")[0][1]
    assert {row["rank"] for row in rows if row["prompt_length"] == 4} == {
        1 if layer == 5 else 4 for layer in chosen
    }


def test_a_dot_names_token_layers_rank_and_the_most_possible():
    tokens = ("<s>", " a", " b", " c")
    table = lower(curve(4, 6, ("ff2",)), 1, 2)
    chart = rank_by_length(table, list(range(6)), 3, tokens, dark=False)
    ((encoding, rows),) = marks(chart, "point")
    titles = [tip.get("title", tip["field"]) for tip in encoding["tooltip"]]
    assert titles == ["Prompt up to token", "Layers", "Rank", "Largest possible"]
    at_end = {row["rank"]: row for row in rows if row["prompt_length"] == 4}
    assert set(at_end) == {1, 2, 4}
    assert at_end[4]["Layers"] == "0 and 2-4 (4 layers)"
    assert at_end[2]["Layers"] == "1 (1 layer)"
    assert (at_end[2]["Token"], at_end[2]["most"]) == ("4. ·c", 3)


@pytest.mark.parametrize("n", [1, 5, 40, 60])
@pytest.mark.parametrize("matrices", [("ff2",), ("ff1", "ff2"), ("ff1", "gate", "ff2")])
def test_rank_by_length_fits_a_laptop_and_can_be_read(n, matrices):
    spec = rank_by_length(
        curve(n, 48, matrices), list(range(48)), None, words(n), dark=False
    ).to_dict()
    panels = spec["hconcat"]
    assert [panel["title"]["text"] for panel in panels] == [
        {"ff1": "FF1", "gate": "FF1's gate", "ff2": "FF2"}[m] for m in matrices
    ]
    width = panels[0]["width"]
    assert width >= 160
    assert len(panels) * width + (len(panels) - 1) * spec["spacing"] + 60 + 70 <= 860
    axis = panels[0]["layer"][0]["encoding"]["x"]["axis"]
    assert axis["values"][-1] == n
    assert n > 5 or axis["values"] == list(range(1, n + 1))
    assert all((b - a) * width / max(1, n - 1) >= 14 for a, b in pairwise(axis["values"]))
    texts = labels_in(axis["labelExpr"])
    assert len(texts) == n
    assert texts[0] == "1 ·the"


@pytest.mark.parametrize("matrices", [("ff1", "ff2"), ("ff1", "gate", "ff2"), ("ff2",)])
def test_rank_by_layer_has_a_line_a_matrix_and_a_rule_at_the_prompts_length(matrices):
    ranks = curve(4, 6, matrices)
    chart = rank_by_layer(ranks[ranks["prompt_length"] == 4], dark=True)
    encoding, rows = marks(chart, "line")[0]
    assert [row["rank"] for row in rows] == [4, 4, 4, 4, 4, 1] * len(matrices)
    assert len(encoding["color"]["scale"]["domain"]) == len(matrices)
    assert len(set(encoding["color"]["scale"]["range"])) == len(matrices)
    assert {row["Matrix"] for row in rows} == set(encoding["color"]["scale"]["domain"])
    assert [row["rank"] for row in marks(chart, "rule")[0][1]] == [4]
    assert marks(chart, "text")[0][1][0]["text"].startswith("4 prompt tokens")


def test_a_matrix_narrower_than_the_prompt_sets_the_limit():
    ranks = curve(60, 6)
    chart = rank_by_layer(ranks[ranks["prompt_length"] == 60], 32, dark=False)
    assert [row["rank"] for row in marks(chart, "rule")[0][1]] == [32]
    assert marks(chart, "text")[0][1][0]["text"].startswith("32 rows or columns")
    chart = rank_by_length(ranks, [0], 32, dark=False)
    assert max(row["rank"] for row in marks(chart, "line")[1][1]) == 32  # the diagonal
    assert max(row["most"] for row in marks(chart, "point")[0][1]) == 32


def test_every_line_stands_apart_from_the_diagonal():
    for dark in (False, True):
        assert INK[dark] not in LINES[dark]


def test_one_prompt_token_is_singular():
    assert marks(layer_chart(1, 6, False), "text")[0][1][0]["text"].startswith("1 prompt token:")


@pytest.mark.parametrize("size", [(4, 6), (12, 30)], ids=str)
@both_themes
def test_target_ranks_run_from_most_probable_on_top_without_near_zero_cells(size, dark):
    n_tokens, n_layers = size
    encoding, rows = marks(target_chart(*size, dark), "line")[0]
    assert encoding["y"]["scale"] == {
        "domain": [0, VOCABULARY - 1],
        "reverse": True,
        "nice": False,
    }
    assert len(rows) == n_tokens * (n_layers - 1) + 1
    for row in rows:
        assert row["rank"] == (row["position"] * 900 + row["layer"]) % VOCABULARY
    values = encoding["y"]["axis"]["values"]
    assert (values[0], values[-1]) == (0, VOCABULARY - 1)
    ends = encoding["y"]["axis"]["labelExpr"]
    assert "'most probable (0)'" in ends
    assert "'least probable (4,095)'" in ends


@pytest.mark.parametrize("size", [(4, 6), (12, 30)], ids=str)
@both_themes
def test_each_prompt_token_has_a_line_and_only_the_last_ones_is_the_accent(size, dark):
    n_tokens, _ = size
    encoding, rows = marks(target_chart(*size, dark), "line")[0]
    scale = encoding["color"]["scale"]
    expected = [f"{i + 1}. ·{token.strip()}" for i, token in enumerate(words(n_tokens))]
    assert scale["domain"] == expected
    assert {row["Token"] for row in rows} == set(expected)
    assert scale["range"][-1] == ACCENT[dark]
    assert ACCENT[dark] not in scale["range"][:-1]
    if n_tokens > 6:
        assert set(scale["range"][:-1]) == {QUIET[dark]}


def test_lines_are_named_where_they_end_or_else_in_a_legend():
    apart = token_rank_by_layer(lens(), VOCABULARY, dark=False)  # ends at 4, 904, 1804, 2705
    _, labels = marks(apart, "text")[0]
    assert [(row["Token"], row["layer"]) for row in labels] == [
        ("1. Obama", 4),
        ("2. ·grew", 4),
        ("3. ·up", 4),
        ("4. ·in", 5),
    ]
    assert marks(apart, "line")[0][0]["color"]["legend"] is None
    table = lens()
    table["target_rank"] = pd.array([7] * len(table), dtype="Int64")
    together = token_rank_by_layer(table, VOCABULARY, dark=False)
    assert marks(together, "text") == []
    assert marks(together, "line")[0][0]["color"]["legend"]["symbolLimit"] >= 10
    crowd = target_chart(12, 48, False)
    assert [row["Token"] for row in marks(crowd, "text")[0][1]] == ["12. ·sat"]


def crowd_table(n_tokens=40, n_layers=30):
    """Token i has rank 100 (i + 1) in every layer, but token 7 is higher than all others."""
    table = lens(words(n_tokens), n_layers)
    ranks = (table["position"] * 100 + 100).mask(table["position"] == 7, 3)
    table["target_rank"] = ranks.where(~table["near_zero"]).astype("Int64")
    return table


@both_themes
def test_of_many_tokens_a_few_have_lines_and_the_others_are_a_band(dark):
    chart = token_rank_by_layer(crowd_table(), VOCABULARY, dark=dark, subject=[1, 2, 3, 4])
    assert marks(chart, "text") == []
    (_, median), (encoding, rows), (near, everyone) = marks(chart, "line")
    scale = encoding["color"]["scale"]
    assert scale["domain"] == [
        "3. ·sat (subject)",  # the last three of the subject's tokens
        "4. ·the (subject)",
        "5. ·cat (subject)",
        "8. ·cat (highest)",
        "40. ·the (last)",
        "median of 40 tokens; half of them lie in the band",
    ]
    assert {row["Line"] for row in rows} == set(scale["domain"][:-1])
    assert encoding["color"]["legend"]["columns"] == 1  # side by side they are cut off at 800 px
    assert scale["range"][4:] == [ACCENT[dark], QUIET[dark]]
    assert len(set(scale["range"])) == 6
    assert len(everyone) == 29 * 40 + 1
    assert near["opacity"]["value"] == 0  # but where the pointer is
    for unit, _ in units(chart.to_dict()):
        if unit["mark"]["type"] == "point":
            assert unit["encoding"]["opacity"]["value"] == 0
        else:
            assert "point" not in unit["mark"]
    (_, band), *_ = marks(chart, "area")
    assert band == median
    assert [row["layer"] for row in band] == list(range(29))  # in the last there is one token
    inner = sorted([*(100 * i + 100 for i in range(40) if i != 7), 3])
    for row in band:
        assert row["low"] < row["rank"] < row["high"]
        assert sum(row["low"] <= rank <= row["high"] for rank in inner) == 20
        assert row["rank"] == (inner[19] + inner[20]) / 2


def test_without_a_subject_the_last_and_the_highest_have_lines():
    chart = token_rank_by_layer(crowd_table(13), VOCABULARY, dark=False)
    names = marks(chart, "line")[1][0]["color"]["scale"]["domain"]
    assert names[:-1] == ["8. ·cat (highest)", "13. ·the (last)"]
    silent = crowd_table()
    silent.loc[silent["position"] == 39, "target_rank"] = pd.NA
    chart = token_rank_by_layer(silent, VOCABULARY, dark=False, subject=[39])
    names = marks(chart, "line")[1][0]["color"]["scale"]["domain"]
    assert names[:-1] == ["8. ·cat (highest)"]


@pytest.mark.parametrize("token", AWKWARD)
def test_an_awkward_last_token_is_found_by_the_charts_conditions(token):
    chart = token_rank_by_layer(lens((token, " a", token)), VOCABULARY, dark=False)
    encoding, rows = marks(chart, "line")[0]
    name = rows[-1]["Token"]
    assert name.startswith(f"3. {token[:15]}")
    assert encoding["color"]["scale"]["domain"][-1] == name
    field, _, literal = condition_of(encoding["strokeWidth"])["test"].partition(" == ")
    assert (field, json.loads(literal)) == ("datum.Token", name)


def test_labels_are_apart_by_a_twentieth_of_the_vocabulary():
    assert well_apart(pd.Series([0, 3000, 900]), 4000)
    assert not well_apart(pd.Series([0, 3000, 200]), 4000)
    assert well_apart(pd.Series([17]), 4000)


# Colours


def test_luminance_and_contrast_as_wcag_has_them():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert luminance((255, 0, 0)) == pytest.approx(0.2126)


def test_a_ramp_passes_through_its_stops_and_ends_there():
    black_to_white = Ramp(("#000000", "#0000ff", "#ffffff"))
    assert black_to_white.colour(0) == black_to_white.colour(-1) == (0, 0, 0)
    assert black_to_white.colour(0.25) == (0, 0, 128)
    assert black_to_white.colour(0.5) == (0, 0, 255)
    assert black_to_white.colour(1) == black_to_white.colour(2) == (255, 255, 255)
    assert (black_to_white.ink(0), black_to_white.ink(1)) == ("#ffffff", "#000000")


@pytest.mark.parametrize("quantity", RAMPS)
@both_themes
def test_words_have_contrast_on_every_colour_of_a_ramp(quantity, dark):
    colours = ramp(quantity, dark)
    ratios = [contrast(colours.ink(i / 100), colours.colour(i / 100)) for i in range(101)]
    assert min(ratios) >= TEXT_CONTRAST


@pytest.mark.parametrize("quantity", RAMPS)
@both_themes
def test_a_ramp_changes_in_lightness_all_the_way(quantity, dark):
    lights = [luminance(ramp(quantity, dark).colour(i / 100)) for i in range(101)]
    steps = [after - before for before, after in pairwise(lights)]
    assert min(steps) > 0 or max(steps) < 0


@both_themes
def test_axis_text_and_the_accent_have_contrast_on_the_page(dark):
    for colour in (INK[dark], ACCENT[dark]):
        assert contrast(colour, PAGE[dark]) >= TEXT_CONTRAST
        assert contrast(colour, PANEL[dark]) >= TEXT_CONTRAST


@pytest.mark.parametrize(
    ("dark", "colour"), [(d, c) for d in LINES for c in (*LINES[d], QUIET[d], ACCENT[d], INK[d])]
)
def test_lines_have_contrast_on_the_page(dark, colour):
    assert contrast(colour, PAGE[dark]) >= LINE_CONTRAST


# What a colour is to an eye without its L or M cones (Machado and others, 2009), linear RGB.
EYES = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
}
APART = 0.1  # in OKLab, where black and white are 1 apart


def product(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def oklab(colour, eye="usual"):
    """Ottosson's OKLab coordinates of a colour as an eye sees it."""
    parts = [c / 255 for c in rgb(colour)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    linear = [min(max(part, 0), 1) for part in product(EYES[eye], linear)]
    to_cones = (
        (0.4122214708, 0.5363325363, 0.0514459929),
        (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005),
    )
    to_lab = (
        (0.2104542553, 0.7936177850, -0.0040720468),
        (1.9779984951, -2.4285922050, 0.4505937099),
        (0.0259040371, 0.7827717662, -0.8086757660),
    )
    return product(to_lab, [part ** (1 / 3) for part in product(to_cones, linear)])


def test_oklab_by_its_known_points():
    assert oklab("#ffffff") == pytest.approx([1, 0, 0], abs=1e-3)
    assert oklab("#ff0000") == pytest.approx([0.628, 0.225, 0.126], abs=1e-3)
    red, green = (oklab(colour, "deuteranopia") for colour in ("#c00000", "#607000"))
    assert math.dist(red, green) < math.dist(oklab("#c00000"), oklab("#607000")) / 2


@pytest.mark.parametrize("eye", EYES)
@both_themes
def test_lines_are_told_apart_at_a_glance(dark, eye):
    colours = [ACCENT[dark], *LINES[dark]]
    distances = {
        (one, other): math.dist(oklab(one, eye), oklab(other, eye))
        for one, other in combinations(colours, 2)
    }
    assert {pair: round(d, 3) for pair, d in distances.items() if d < APART} == {}
