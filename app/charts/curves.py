"""Line charts over layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from functools import partial
from itertools import pairwise

import altair as alt
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, INK, LINES, QUIET
from app.charts.rank_crowd import MANY, crowd_layers, featured
from app.charts.rank_length import RANK_TITLE
from app.charts.style import finished, in_layer, layered
from app.charts.themes import in_both_themes
from app.titles import MATRIX_TITLES
from app.words import number, shortened, visible

# In the app the axis and the legend are within these heights; a laptop shows 768 pixels.
HEIGHT, CROWD_HEIGHT = 330, 430
CROWD = 6  # of more lines than this, only the last prompt token's stands out


def rank_axis(n: int) -> alt.Y:
    """The axis of a gradient's rank, from 0 to the most that n tokens can give."""
    scale = alt.Scale(domain=[0, n + 0.5], nice=False)
    return alt.Y("rank:Q", title=RANK_TITLE, scale=scale, axis=whole_numbers(0, n))


def whole_numbers(first: int, last: int) -> alt.Axis:
    if last <= 10:
        return alt.Axis(format="d", values=list(range(first, last + 1)))
    return alt.Axis(format="d", tickMinStep=1, tickCount=10)


@in_both_themes
def rank_by_layer(
    ranks: pd.DataFrame, full_rank: int | None = None, *, dark: bool
) -> alt.LayerChart:
    """Gradient rank against layer for the whole prompt, a line a matrix; a rule at its limit.

    ranks: layer, matrix, rank, prompt_length. The limit is the prompt's length, or `full_rank`,
    the matrices' narrower side, where the prompt is longer.
    """
    titles = ranks["matrix"].map(MATRIX_TITLES)
    data = pa.table({"Matrix": titles} | {c: ranks[c] for c in ("layer", "rank", "prompt_length")})
    n = int(ranks["prompt_length"].iloc[0])
    drawn = set(titles)
    names = [title for title in MATRIX_TITLES.values() if title in drawn]
    widths = [7, 4, 2][: len(names)] if len(names) > 2 else [6, 2.5]
    lines = (
        alt.Chart(data)
        .mark_line(point={"size": 55, "filled": True})
        .encode(
            x=alt.X("layer:O", title="Layer", axis=alt.Axis(labelAngle=0)),
            y=rank_axis(n),
            color=alt.Color(
                "Matrix:N",
                title=None,
                scale=alt.Scale(domain=names, range=list(LINES[dark][: len(names)])),
                legend=alt.Legend(orient="top", symbolType="stroke", symbolStrokeWidth=4),
            ),
            strokeWidth=alt.StrokeWidth(
                "Matrix:N", scale=alt.Scale(domain=names, range=widths), legend=None
            ),
            tooltip=[
                alt.Tooltip("Matrix:N"),
                alt.Tooltip("layer:O", title="Layer"),
                alt.Tooltip("rank:Q", title="Rank"),
                alt.Tooltip("prompt_length:Q", title="Prompt length (tokens)"),
            ],
        )
    )
    most = n if full_rank is None else min(n, full_rank)
    reason = f"{n} prompt token{'s' if n > 1 else ''}"
    if most < n:
        reason = f"{most} rows or columns of the matrix"
    limit = pa.table({"rank": [most], "text": [f"{reason}: the most that is possible"]})
    at_limit = alt.Y("rank:Q")
    rule = alt.Chart(limit).mark_rule(strokeDash=[5, 4], color=QUIET[dark]).encode(y=at_limit)
    label = (
        alt.Chart(limit)
        .mark_text(align="left", baseline="bottom", dx=4, dy=-3, fontSize=12, color=INK[dark])
        .encode(x=alt.XValue(0), y=at_limit, text=alt.Text("text:N"))
    )
    return finished(layered(rule, lines, label, height=HEIGHT), dark)


@in_both_themes
def token_rank_by_layer(
    lens: pd.DataFrame,
    vocabulary: int,
    column: str = "target_rank",
    title: str = "Rank of the target in δ",
    x_title: str = "Prompt token",
    *,
    dark: bool,
    subject: Collection[int] = (),
) -> alt.LayerChart:
    """A word's lens rank against layer, a line a prompt token or segment (Figures 6, 18-21).

    lens: backward_lens, or its segment_means; cells without a rank are left out. Rank 0 (most
    probable) is on top; both ends are named. Of many tokens, only a few have a line: the last
    one, the highest, and those at the positions of the `subject`.
    """
    drawn = lens[column].notna()
    if "near_zero" in lens:
        drawn &= ~lens["near_zero"]
    numbered = x_title == "Prompt token"  # segments have different names, tokens may repeat
    data = pa.table(
        {
            "layer": lens["layer"],
            "position": lens["position"],
            "Token": [
                f"{position + 1}. {shortened(visible(token), 16)}" if numbered else token
                for position, token in zip(lens["position"], lens["token"].tolist(), strict=True)
            ],
            "rank": lens[column].astype("float64"),
            "size": list(map(number, lens["norm"])),
        }
    ).filter(pa.array(drawn))
    x = alt.X("layer:O", title="Layer", axis=alt.Axis(labelAngle=0))
    y = partial(lens_rank_axis, vocabulary=vocabulary, title=title)
    tooltip = [
        alt.Tooltip("Token:N", title=x_title),
        alt.Tooltip("layer:O", title="Layer"),
        alt.Tooltip("rank:Q", title=title, format=",.0f"),
        alt.Tooltip("size:N", title="‖δ‖, L2"),
    ]
    last = int(lens["position"].max())
    if len(data["position"].unique()) > MANY:
        why = featured(data, last, subject)
        chart = crowd_layers(data, why, x, y, tooltip, dark=dark)
        chart.height = CROWD_HEIGHT
    else:
        chart = token_lines(data, last, x, y, tooltip, vocabulary, x_title, dark=dark)
        chart.height = HEIGHT
    return finished(chart, dark)


def lens_rank_axis(column: str, *, vocabulary: int, title: str) -> alt.Y:
    """From the most probable token on top to the least probable one."""
    ends = (
        f"datum.value == 0 ? 'most probable (0)' : datum.value == {vocabulary - 1} ? "
        f"'least probable ({vocabulary - 1:,})' : format(datum.value, ',')"
    )
    ticks = [0, *(round((vocabulary - 1) * part / 4) for part in (1, 2, 3)), vocabulary - 1]
    return alt.Y(
        f"{column}:Q",
        title=title,
        scale=alt.Scale(domain=[0, vocabulary - 1], reverse=True, nice=False),
        axis=alt.Axis(values=ticks, labelExpr=ends, labelLimit=220),
    )


def token_lines(
    data: pa.Table,
    last: int,
    x: alt.X,
    y: Callable[[str], alt.Y],
    tooltip: list[alt.Tooltip],
    vocabulary: int,
    x_title: str,
    *,
    dark: bool,
) -> alt.LayerChart:
    """A line with dots a token; data: layer, position, Token, rank and the tooltip's fields."""
    tokens = dict(zip(*(data[column].to_pylist() for column in ("position", "Token")), strict=True))
    names = [tokens[position] for position in sorted(tokens)]
    last_name = tokens.get(last, names[-1])
    crowded = len(names) > CROWD
    colours = [
        QUIET[dark] if crowded else LINES[dark][i % len(LINES[dark])] for i in range(len(names))
    ]
    colours[names.index(last_name)] = ACCENT[dark]
    hover = alt.selection_point(name="token", fields=["Token"], on="pointerover")
    is_last = f"datum.Token == {json.dumps(last_name)}"
    ends = line_ends(data, [last_name] if crowded else names)
    direct = crowded or well_apart(ends["rank"].to_pylist(), vocabulary)
    colour = alt.Color(
        "Token:N",
        title=x_title,
        scale=alt.Scale(domain=names, range=colours),
        sort=names,
        legend=None if direct else alt.Legend(columns=1, symbolLimit=80),
    )
    base = alt.Chart(data).encode(x=x, y=y("rank"), color=colour)
    lines = base.mark_line(point={"size": 40, "filled": True}).encode(
        opacity=alt.OpacityValue(
            0.3 if crowded else 0.12,
            condition=[
                {"param": hover.name, "empty": not crowded, "value": 0.9},
                {"test": f"{json.dumps(crowded)} && {is_last}", "value": 1},
            ],
        ),
        strokeWidth=alt.StrokeWidthValue(2, condition={"test": is_last, "value": 4}),
        tooltip=tooltip,
    )
    if not direct:
        return lines.add_params(hover)
    labels = (
        base.mark_text(align="left", dx=8, fontSize=12, fontWeight="bold")
        .encode(text=alt.Text("Token:N"))
        .properties(data=ends)
    )
    named = lines.properties(name="tokens")
    return layered(named, labels, params=[in_layer(hover, "tokens")])


def line_ends(data: pa.Table, names: list[str]) -> pa.Table:
    """The rows of these tokens in the last layer where they have one."""
    layers, tokens = (data[column].to_pylist() for column in ("layer", "Token"))
    ends: dict[str, int] = {}
    for row, (token, layer) in enumerate(zip(tokens, layers, strict=True)):
        if token not in ends or layer > layers[ends[token]]:
            ends[token] = row
    return data.take([ends[name] for name in names])


def well_apart(ranks: Iterable[float], vocabulary: int) -> bool:
    """Whether labels at these heights would not lie on each other."""
    return all(below - above > vocabulary / 20 for above, below in pairwise(sorted(ranks)))
