"""A word's rank at many prompt tokens: a quiet band for all of them, a line for a few."""

from __future__ import annotations

from collections.abc import Callable, Collection
from statistics import median, quantiles

import altair as alt
import pyarrow as pa

from app.charts.palette import ACCENT, INK, LINES, QUIET
from app.charts.style import in_layer, layered

MANY = 12  # tokens; of more, only a few get a line of their own
SUBJECT_LINES = 3  # the subject's last tokens


def featured(data: pa.Table, last: int, subject: Collection[int]) -> dict[int, str]:
    """The positions that get a line, and why: in the subject, the highest of the others, the last.

    data: position, rank (0 is the highest).
    """
    medians = {position: median(ranks) for position, ranks in ranks_by(data, "position").items()}
    known = [p for p in sorted(subject) if p in medians and p != last]
    why = dict.fromkeys(known[-SUBJECT_LINES:], "subject")
    others = [p for p in medians if p not in why and p != last]
    if others:
        why[min(others, key=medians.get)] = "highest"
    if last in medians:
        why[last] = "last"
    return dict(sorted(why.items()))


def ranks_by(data: pa.Table, column: str) -> dict[int, list[float]]:
    """All ranks at each value of a column, in its order."""
    found: dict[int, list[float]] = {}
    for value, rank in zip(data[column].to_pylist(), data["rank"].to_pylist(), strict=True):
        found.setdefault(value, []).append(rank)
    return dict(sorted(found.items()))


def spread(data: pa.Table, line: str) -> pa.Table:
    """By layer, the quartiles of the tokens' ranks, where there are several: layer, low, rank
    (the median), high; and the line's name."""
    quartiles = {
        layer: quantiles(ranks, n=4, method="inclusive")
        for layer, ranks in ranks_by(data, "layer").items()
        if len(ranks) > 1
    }
    return pa.table(
        {
            "layer": list(quartiles),
            "low": [low for low, _, _ in quartiles.values()],
            "rank": [middle for _, middle, _ in quartiles.values()],
            "high": [high for _, _, high in quartiles.values()],
            "Line": [line] * len(quartiles),
        }
    )


def crowd_layers(
    data: pa.Table,
    why: dict[int, str],
    x: alt.X,
    y: Callable[[str], alt.Y],
    tooltip: list[alt.Tooltip],
    *,
    dark: bool,
) -> alt.LayerChart:
    """data: layer, position, Token, rank and the tooltip's fields; `why` as `featured` gives it.

    A token without a line of its own shows it where the pointer is near one of its ranks.
    """
    positions = data["position"].to_pylist()
    names = dict(zip(positions, data["Token"].to_pylist(), strict=True))
    titles = {position: f"{names[position]} ({reason})" for position, reason in why.items()}
    lines_of = pa.array(map(titles.get, positions))
    own = data.append_column("Line", lines_of).filter(lines_of.is_valid())
    middle = f"median of {len(names)} tokens; half of them lie in the band"
    band = spread(data, middle)
    others = iter(LINES[dark])
    colours = [ACCENT[dark] if reason == "last" else next(others) for reason in why.values()]
    colour = alt.Color(
        "Line:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=[*titles.values(), middle], range=[*colours, QUIET[dark]]),
        legend=alt.Legend(
            orient="top", columns=1, labelLimit=330, symbolType="stroke", symbolStrokeWidth=4
        ),
    )
    shade = (
        alt.Chart(band)
        .mark_area(color=QUIET[dark], opacity=0.2)
        .encode(x=x, y=y("low"), y2=alt.Y2("high:Q"))
    )
    halfway = (
        alt.Chart(band)
        .mark_line(strokeDash=[5, 4], strokeWidth=2)
        .encode(x=x, y=y("rank"), color=colour)
    )
    lines = (
        alt.Chart(own)
        .mark_line(opacity=0.9)
        .encode(
            x=x,
            y=y("rank"),
            color=colour,
            strokeWidth=alt.StrokeWidthValue(
                2.5, condition={"test": f"datum.position == {max(names)}", "value": 4}
            ),
        )
    )
    hover = alt.selection_point(name="token", fields=["Token"], on="pointerover", nearest=True)
    pointed_at = alt.OpacityValue(0, condition={"param": hover.name, "empty": False, "value": 0.9})
    every = alt.Chart(data).encode(x=x, y=y("rank"))
    near = every.mark_line(color=INK[dark], strokeWidth=1.5).encode(
        detail=alt.Detail("Token:N"), opacity=pointed_at
    )
    dots = every.mark_point(filled=True, size=60, color=INK[dark]).encode(
        opacity=pointed_at, tooltip=tooltip
    )
    named = dots.properties(name="dots")
    return layered(shade, halfway, lines, near, named, params=[in_layer(hover, "dots")])
