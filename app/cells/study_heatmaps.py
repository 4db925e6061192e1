"""A study's means by layer and place in the prompt: norms, and ranks of target and answer."""

from __future__ import annotations

import math
from functools import partial

import altair as alt
import pandas as pd
from streamlit.delta_generator import DeltaGenerator

import core
from app.cells.controls import SEGMENT_WIDTH, choice, some_layers
from app.cells.study_groups import (
    Pair,
    every_group,
    lines_of,
    minus,
    panels,
    sentence,
    with_comparison,
)
from app.cells.study_pictures import nothing, study_code
from app.cells.tooltips import short_number
from app.charts.studies import relative_rank_by_layer
from app.charts.token_table import NUMBER_WIDTH, PAGE_WIDTH, Quantity, token_table
from app.findings.studies import study_norm_finding, study_rank_finding
from app.notebook.cell import Cell, cell, is_dark
from app.notebook.code import literal
from app.titles import MODULE_TITLES, SEGMENT_TITLES, VECTOR_TITLES, WORD_TITLES
from app.words import number

LAST = core.SEGMENTS[-1]
PANEL_WIDTH = 350  # pixels of one of two heatmaps side by side


def norms_cell(number: int, main: core.Study, answered: str, pair: Pair | None) -> None:
    place = cell(
        number,
        "Where the signal is strong",
        "The mean strength of the learning signal δ, and of the input x, by layer and by place in "
        "the prompt as seen from its subject. (Figures 5, 16, 17)",
        key="study_norms",
        original=True,
    )
    module = choice(
        place.controls,
        "Part of the model",
        MODULE_TITLES,
        "study_module",
        among=main.header.modules,
        default="ff2",
        bound=False,
    )
    row = place.controls.container(horizontal=True, vertical_alignment="bottom", gap="large")
    titles = {"norm": "Signal ‖δ‖", "input_norm": "Input ‖x‖"}
    column = choice(row, "Quantity", titles, "study_quantity", default="norm", bound=False)
    everything = every_group(main, "norms")
    rows = everything[(everything["answered"] == answered) & (everything["module"] == module)]
    table = rows[rows["group"] == ""] if pair else rows
    if not table["n"].any():
        nothing(place, answered)
        return
    title = "‖δ‖, L2" if column == "norm" else "‖x‖, L2"
    strongest = int(table.loc[table[column].idxmax(), "layer"])
    shown = some_layers(place.controls, rows, strongest, "study_norms")
    segment = compared_place(row, table, pair, "study_norms")
    what = f"‖{'δ' if column == 'norm' else 'x'}‖ of {MODULE_TITLES[module]} {at(segment, pair)}"
    options = {"part": module, "segment": segment}
    place.say(
        sentence(main, pair, column, what, options=options)
        + study_norm_finding(table, column, MODULE_TITLES[module])
    )
    quantity = Quantity(column, column, f"Mean {title}")
    heatmaps(place, main, pair, shown, quantity, title)
    code = study_code(main, "norms")
    given = f"part={literal(module)}", f"segment={literal(segment)}"
    place.finish(with_comparison(code, pair, column, *given), everything)


def ranks_cell(
    place_number: int,
    studies: dict[str, core.Study],
    main: core.Study,
    answered: str,
    pair: Pair | None,
) -> None:
    place = cell(
        place_number,
        "Where the target and the answer stand",
        "Above: mean rank by layer and place in the prompt. Below: both words at the last prompt "
        "token, as a part of the vocabulary. The update subtracts δ: the bottom of δ is what it "
        "pushes towards. (Figures 6, 18-21)",
        key="study_ranks",
        original=True,
    )
    row = place.controls.container(horizontal=True, vertical_alignment="bottom", gap="large")
    matrix = choice(row, "Vector", VECTOR_TITLES, "study_vector", default="ff2", bound=False)
    word = choice(row, "Word", WORD_TITLES, "study_word", default="target", bound=False)
    everything = every_group(main, "token_ranks")
    rows = everything[(everything["answered"] == answered) & (everything["matrix"] == matrix)]
    table = rows[rows["group"] == ""] if pair else rows
    if not table["n"].any():
        nothing(place, answered)
        return
    symbol = "δ of FF2" if matrix == "ff2" else "x of FF1"
    title = f"Rank of the {word} in {symbol}"
    vocabulary = main.header.vocabulary_size
    quantity = Quantity(
        f"{word}_rank",
        "rank",
        f"Mean {title[0].lower()}{title[1:]}: 0 = most probable",
        domain=(0, vocabulary - 1),
    )
    segment = compared_place(row, table, pair, "study_ranks")
    options = {"part": matrix, "segment": segment}
    what = f"The {word}'s rank in {symbol} {at(segment, pair)}"
    said = {"ways": ("further down", "higher up"), "written": partial(number, digits=5)}
    place.say(
        sentence(main, pair, quantity.column, what, options=options, gap=number, **said)
        + study_rank_finding(table, word, symbol, vocabulary)
    )
    heatmaps(place, main, pair, some_layers(row, rows, (), "study_ranks"), quantity, title)
    lines = core.side_by_side(lines_of(studies, main), "token_ranks")
    lines = lines[
        (lines["answered"] == answered) & (lines["matrix"] == matrix) & (lines["segment"] == LAST)
    ]
    place.draw(
        relative_rank_by_layer(
            lines, tuple(WORD_TITLES), f"Rank in {symbol}, last token", dark=is_dark()
        ),
        "Line chart of the target's and the answer's mean rank at the last token by layer, a line "
        f"a {'group' if pair else 'study'} and word",
        name="last_token",
        fit=True,
    )
    given = f"part={literal(matrix)}", f"segment={literal(segment)}"
    code = with_comparison(study_code(main, "token_ranks"), pair, quantity.column, *given)
    place.finish(code, everything)


def whole(value: float) -> str:
    return f"{value:,.0f}"


def with_sign(value: float, most: float) -> str:
    """A difference with its sign, as exact as the largest one, `most`, has two digits."""
    decimals = max(0, 1 - math.floor(math.log10(most)))
    size = f"{abs(value):,.{decimals}f}" if decimals < 4 else short_number(abs(value))
    return "0" if not size.strip("0.") else f"{'+' if value > 0 else '−'}{size}"


def at(segment: str, pair: Pair | None) -> str:
    return f"at the {segment} ({pair.where})" if pair else ""


def compared_place(row: DeltaGenerator, table: pd.DataFrame, pair: Pair | None, key: str) -> str:
    """The place in the prompt that the sentence compares; the last token unless chosen."""
    known = [s for s in core.SEGMENTS if table.loc[table["segment"] == s, "n"].any()]
    if pair is None or len(known) < 2:
        return LAST
    return row.selectbox(
        "Place compared",
        known,
        index=len(known) - 1,
        key=f"{key}_place_{len(known)}",
        width=220,
    )


def heatmaps(
    place: Cell,
    main: core.Study,
    pair: Pair | None,
    rows: pd.DataFrame,
    quantity: Quantity,
    title: str,
) -> None:
    """The heatmap of all prompts, or one a group and of the difference."""
    words = f"Heatmap of the mean {title} by layer and segment of the prompt"
    if pair is None:
        place.draw(segment_table(rows, quantity, title), words)
        return
    of_groups = rows[rows["group"] != ""]
    tables = {name: of_groups[of_groups["group"] == name] for name in main.groups}
    draw = partial(segment_table, quantity=quantity, title=title, scale_of=of_groups)
    panels(place, main, pair, tables, draw, difference_table(pair, tables, quantity, title), words)


def difference_table(
    pair: Pair, tables: dict[str, pd.DataFrame], quantity: Quantity, title: str
) -> alt.LayerChart | None:
    """The heatmap of the first group's means minus the second's; None without any."""
    keys = ["layer", "segment"]
    gap = minus(tables[pair.first], tables[pair.second], keys, quantity.column)
    most = gap[quantity.column].abs().max()
    if not most > 0:
        return None
    shown = Quantity(quantity.column, "difference", "Difference of means", domain=(-most, most))
    return segment_table(gap, shown, title, scale_of=gap)


def segment_table(
    table: pd.DataFrame,
    quantity: Quantity,
    title: str,
    scale_of: pd.DataFrame | None = None,
) -> alt.LayerChart:
    """A heatmap of means, layer by segment; narrow where it stands beside others, whose scale is
    that of `scale_of`."""
    column = quantity.column
    narrow = scale_of is not None
    written = whole if "rank" in column else short_number
    if quantity.palette == "difference":
        written = partial(with_sign, most=quantity.domain[1])
    empty = (table["n"] == 0) | table[column].isna()  # a vector of zeros has no rank
    data = placed(table).assign(word=table[column].map(written), empty=empty)
    if narrow:  # all panels have the same columns
        data = data[data["segment"].isin(scale_of.loc[scale_of["n"] > 0, "segment"])]
    else:
        data = data[data.groupby("segment")["n"].transform("sum") > 0]
    places = {p: i for i, p in enumerate(sorted(data["position"].unique()))}
    data["position"] = data["position"].map(places)
    return token_table(
        data,
        "word",
        quantity,
        tooltips_of(data, column, title),
        dark=is_dark(),
        blank="empty",
        least_width=NUMBER_WIDTH if narrow else SEGMENT_WIDTH,
        page_width=PANEL_WIDTH if narrow else PAGE_WIDTH,
        x_title="Segment of the prompt",
        names=SEGMENT_TITLES,
        scale_of=placed(scale_of) if narrow else None,
        slanted=narrow,
    )


def placed(table: pd.DataFrame) -> pd.DataFrame:
    """A table with segments in the place of tokens."""
    positions = [core.SEGMENTS.index(name) for name in table["segment"]]
    return table.assign(position=positions, token=table["segment"])


def tooltips_of(data: pd.DataFrame, column: str, title: str) -> dict[str, pd.Series]:
    lines = {
        "Layer": data["layer"].astype(str),
        "Segment": data["segment"],
        title: data[column].map(partial(number, digits=4)),
        "Standard error": data[f"{column}_error"].map(partial(number, digits=2)),
        "Prompts": data["n"].astype(str),
    }
    if "mean_first" not in data:
        return lines
    both = [
        f"{number(a, digits=4)} and {number(b, digits=4)}"
        for a, b in zip(data["mean_first"], data["mean_second"], strict=True)
    ]
    sizes = [f"{a} and {b}" for a, b in zip(data["n_first"], data["n_second"], strict=True)]
    lines[f"Difference of {title}"] = lines.pop(title)
    lines["The groups' means"] = pd.Series(both, index=data.index)
    lines["Prompts"] = pd.Series(sizes, index=data.index)
    return lines
