"""Gradient rank against prompt length: the first picture of the rank page (Lemma 4.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import altair as alt
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, INK, LINES, QUIET
from app.charts.style import finished, labels_of, layered
from app.charts.themes import in_both_themes
from app.titles import MATRIX_TITLES
from app.words import count, layer_list, named_layers, shortened, visible

RANK_TITLE = "Rank of the gradient"
WIDTH, AXIS, GAP = 850, 60, 8  # pixels of all panels, of the axis on the left, between two panels
MARGIN, TOP, HEIGHT = 70, 40, 250  # at the right for labels, above for two more, of a panel
LABEL = 15  # pixels between two labels
NAMED = 3  # layers below the diagonal that get a colour and a label of their own


@dataclass(frozen=True)
class Group:
    """Layers whose curves are one and the same."""

    layers: list[int]
    ranks: tuple[int, ...]  # for prompts of 1, 2, ... tokens
    short: int  # the most by which they stay below what is possible
    role: str  # "full", "last", "low" or "other"


@in_both_themes
def rank_by_length(
    curve: pd.DataFrame,
    layers: list[int],
    full_rank: int | None = None,
    tokens: tuple[str, ...] | None = None,
    *,
    dark: bool,
) -> alt.HConcatChart:
    """Gradient rank against prompt length, a panel a matrix; layers that coincide are one line.

    curve: prompt_length, layer, matrix, rank. The dashed diagonal is the most that is possible: it
    ends at `full_rank`, the matrices' narrower side. The lowest layers have a colour and a name.
    """
    n, last = int(curve["prompt_length"].max()), int(curve["layer"].max())
    data = curve[curve["layer"].isin(layers)]
    drawn = set(data["matrix"].unique())
    names = [matrix for matrix in MATRIX_TITLES if matrix in drawn]
    width = (WIDTH - AXIS - GAP * (len(names) - 1)) // len(names) - MARGIN
    texts = [f"{i + 1} {shortened(visible(t), 12)}" for i, t in enumerate(tokens or ())]
    x = alt.X(
        "prompt_length:Q",
        title="Prompt, read up to this token" if texts else "Prompt length (tokens)",
        scale=alt.Scale(domain=[1, max(n, 2)], nice=False),
        axis=token_axis(texts or [str(i + 1) for i in range(n)], width),
    )
    panels = []
    for matrix in names:
        rows = data[data["matrix"] == matrix]
        groups = layer_groups(rows, last, full_rank)
        axis = rank_values(n) if not panels else alt.Axis(labels=False, ticks=False, title=None)
        room = n * TOP / (HEIGHT - TOP)
        y = alt.Y(
            "rank:Q",
            title=RANK_TITLE,
            scale=alt.Scale(domain=[0, n + max(room, 0.2)], nice=False),
            axis=axis,
        )
        panels.append(
            layered(
                *curves(groups, x, y, full_rank, dark),
                dots(rows, x, y, full_rank, tokens, dark),
                *labels(groups, x, y, n, width, dark),
                width=width,
                height=HEIGHT,
                title=alt.Title(MATRIX_TITLES[matrix], frame="group"),
            )
        )
    chart = alt.HConcatChart(spacing=GAP + MARGIN, bounds="flush")
    chart.hconcat = panels  # given above, Altair would copy each whole
    return finished(chart, dark)


def layer_groups(rows: pd.DataFrame, last: int, full_rank: int | None) -> list[Group]:
    """Layers of one matrix by their curves, those that stay on the diagonal first."""
    by_layer: dict[int, dict[int, int]] = {}
    for layer, length, rank in zip(rows["layer"], rows["prompt_length"], rows["rank"], strict=True):
        by_layer.setdefault(layer, {})[length] = rank
    most = largest_possible(sorted(set(rows["prompt_length"])), full_rank)
    alike: dict[tuple[bool, tuple[int, ...]], list[int]] = {}
    for layer in sorted(by_layer):
        ranks = tuple(rank for _, rank in sorted(by_layer[layer].items()))
        alike.setdefault((layer == last, ranks), []).append(layer)
    found = []
    for (is_last, ranks), layers in alike.items():
        short = max(m - rank for m, rank in zip(most, ranks, strict=True))
        role = "last" if is_last else "full" if short == 0 else "other"
        found.append(Group(layers, ranks, short, role))
    clear = max(1, len(most) / 20)
    below = sorted((g for g in found if g.role == "other"), key=lambda g: -g.short)
    low = [g for g in below if g.short > clear or len(below) <= NAMED][:NAMED]
    found = [
        Group(g.layers, g.ranks, g.short, "low") if any(g is one for one in low) else g
        for g in found
    ]
    order = ("full", "other", "low", "last")
    return sorted(found, key=lambda g: (order.index(g.role), -g.short))


def largest_possible(lengths: Iterable[int], full_rank: int | None) -> list[int]:
    """The largest rank for prompts of these lengths: 1 a token, up to `full_rank`."""
    return [n if full_rank is None else min(n, full_rank) for n in lengths]


def colours_of(groups: list[Group], dark: bool) -> list[str]:
    own = {"full": LINES[dark][0], "other": QUIET[dark], "last": ACCENT[dark]}
    low = iter(LINES[dark][1:])
    return [own[g.role] if g.role in own else next(low) for g in groups]


def curves(
    groups: list[Group], x: alt.X, y: alt.Y, full_rank: int | None, dark: bool
) -> list[alt.Chart]:
    """A line a group, the wider the more layers it stands for, and the dashed diagonal on top."""
    drawn = []
    for group, colour in zip(groups, colours_of(groups, dark), strict=True):
        n = len(group.ranks)
        rows = {"prompt_length": range(1, n + 1), "rank": group.ranks}
        rows |= {"layers": [layer_list(group.layers)] * n, "role": [group.role] * n}
        wide = min(9.0, 2.5 + 0.25 * (len(group.layers) - 1)) if group.role != "other" else 1.2
        drawn.append(
            alt.Chart(pa.table(rows))
            .mark_line(color=colour, strokeWidth=wide, strokeCap="round", strokeJoin="round")
            .encode(x=x, y=y)
        )
    lengths = range(1, len(groups[0].ranks) + 1)
    most = pa.table({"prompt_length": lengths, "rank": largest_possible(lengths, full_rank)})
    diagonal = alt.Chart(most).mark_line(strokeDash=[5, 4], color=INK[dark], strokeWidth=1.5)
    return [*drawn, diagonal.encode(x=x, y=y)]


def dots(
    rows: pd.DataFrame,
    x: alt.X,
    y: alt.Y,
    full_rank: int | None,
    tokens: tuple[str, ...] | None,
    dark: bool,
) -> alt.Chart:
    """A dot for each rank that occurs at a length, with all of its layers in the tooltip."""
    found: dict[tuple[int, int], list[int]] = {}
    for length, rank, layer in zip(rows["prompt_length"], rows["rank"], rows["layer"], strict=True):
        found.setdefault((length, rank), []).append(layer)
    lengths, ranks = zip(*sorted(found), strict=True)
    places = {
        "prompt_length": lengths,
        "rank": ranks,
        "Layers": [
            f"{shortened(layer_list(sorted(layers)), 40)} ({count(len(layers), 'layer')})"
            for _, layers in sorted(found.items())
        ],
        "Token": [f"{n}. {visible(tokens[n - 1])}" if tokens else str(n) for n in lengths],
        "most": largest_possible(lengths, full_rank),
    }
    n = int(rows["prompt_length"].max())
    tips = [
        alt.Tooltip("Token:N", title="Prompt up to token"),
        alt.Tooltip("Layers:N"),
        alt.Tooltip("rank:Q", title="Rank"),
        alt.Tooltip("most:Q", title="Largest possible"),
    ]
    seen = n <= 20  # more would hide the lines; they are still there to be hovered
    size, opacity = (60 - n, 1) if seen else (60, 0)
    mark = alt.Chart(pa.table(places)).mark_point(
        size=size, filled=True, color=INK[dark], opacity=opacity
    )
    return mark.encode(x=x, y=y, tooltip=tips)


def labels(
    groups: list[Group], x: alt.X, y: alt.Y, n: int, width: int, dark: bool
) -> list[alt.Chart]:
    """Above, the lines on the diagonal and near it; at their ends, the others; the diagonal."""
    above, ends = [], []
    near = [g for g in groups if g.role == "other"]
    for group, colour in zip(groups, colours_of(groups, dark), strict=True):
        if group.role == "full":
            above.append((on_the_diagonal(group.layers), colour))
        elif group.role != "other":
            name = layer_list(group.layers)
            text = f"{name} (last)" if group.role == "last" else shortened(f"layer {name}", 11)
            ends.append((group.ranks[-1], text, colour))
    if near:
        number = sum(len(g.layers) for g in near)
        text = f"{count(number, 'layer')} up to {max(g.short for g in near)} less"
        above.append((text, QUIET[dark]))
    gap = LABEL * n / (HEIGHT - TOP)
    drawn, floor = [], -gap
    for rank, text, colour in sorted(ends):
        floor = max(rank, floor + gap)
        row = pa.table({"prompt_length": [n], "rank": [floor], "text": [text]})
        mark = alt.Chart(row).mark_text(align="left", dx=8, fontSize=12, color=colour)
        drawn.append(mark.encode(x=x, y=y, text=alt.Text("text:N")))
    for i, (text, colour) in enumerate(above):
        drawn.append(word(text, width + MARGIN, 9 + LABEL * i, "right", colour))
    dashed = ("dashed: 1 per token,", "the most possible")
    for i, text in enumerate(dashed):
        drawn.append(word(text, 6, TOP + 9 + LABEL * i, "left", INK[dark]))
    return drawn


def on_the_diagonal(layers: list[int]) -> str:
    text = f"{count(len(layers), 'layer')}: {layer_list(layers)}"
    if len(layers) == 1:
        text = named_layers(layers)
    return text if len(text) <= 28 else f"{count(len(layers), 'layer')} on the diagonal"


def word(text: str, x: float, y: float, align: str, colour: str) -> alt.Chart:
    """A text at a place of the panel, in pixels."""
    mark = alt.Chart(pa.table({"text": [text]})).mark_text(align=align, fontSize=12, color=colour)
    return mark.encode(x=alt.XValue(x), y=alt.YValue(y), text=alt.Text("text:N"))


def token_axis(texts: list[str], width: int) -> alt.Axis:
    """Each token's text, or as many as can be read, always the last; slanted where they are
    long."""
    n = len(texts)
    level = max(map(len, texts)) * 7 < width / max(1, n - 1)
    step = -(-n * 17 // width) if not level else 1
    return alt.Axis(
        values=list(range(n, 0, -step))[::-1],
        labelExpr=labels_of(texts, first=1),
        labelAngle=0 if level else -50,
        labelAlign="center" if level else "right",
        labelOverlap=False,
        labelLimit=110,
        grid=n <= 20,
    )


def rank_values(n: int) -> alt.Axis:
    """Whole numbers from 0 to the most that n tokens can give, and nothing above."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n / s <= 10)
    return alt.Axis(format="d", values=list(range(0, n + 1, step)))
