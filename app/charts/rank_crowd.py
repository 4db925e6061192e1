"""A word's rank at many prompt tokens: a quiet band for all of them, a line for a few."""

from __future__ import annotations

from collections.abc import Callable, Collection

import altair as alt
import pandas as pd

from app.charts.palette import ACCENT, INK, LINES, QUIET
from app.charts.style import in_layer, layered

MANY = 12  # tokens; of more, only a few get a line of their own
SUBJECT_LINES = 3  # the subject's last tokens


def featured(data: pd.DataFrame, last: int, subject: Collection[int]) -> dict[int, str]:
    """The positions that get a line, and why: in the subject, the highest of the others, the last.

    data: position, rank (0 is the highest).
    """
    medians = data.groupby("position")["rank"].median()
    known = [p for p in sorted(subject) if p in medians.index and p != last]
    why = dict.fromkeys(known[-SUBJECT_LINES:], "subject")
    others = medians.drop([*why, last], errors="ignore")
    if len(others):
        why[int(others.idxmin())] = "highest"
    if last in medians.index:
        why[last] = "last"
    return dict(sorted(why.items()))


def spread(data: pd.DataFrame) -> pd.DataFrame:
    """By layer, the quartiles of the tokens' ranks, where there are several: layer, low, rank
    (the median), high, tokens."""
    ranks = data.groupby("layer")["rank"]
    table = ranks.quantile([0.25, 0.5, 0.75]).unstack().set_axis(["low", "rank", "high"], axis=1)
    table["tokens"] = ranks.size()
    return table[table["tokens"] > 1].reset_index()


def crowd_layers(
    data: pd.DataFrame,
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
    names = data.drop_duplicates("position").set_index("position")["Token"]
    titles = {position: f"{names[position]} ({reason})" for position, reason in why.items()}
    own = data[data["position"].isin(titles)]
    own = own.assign(Line=own["position"].map(titles))
    middle = f"median of {len(names)} tokens; half of them lie in the band"
    band = spread(data).assign(Line=middle)
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
    median = (
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
                2.5, condition={"test": f"datum.position == {data['position'].max()}", "value": 4}
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
    return layered(shade, median, lines, near, named, params=[in_layer(hover, "dots")])
