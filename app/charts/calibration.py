"""What each strength of a calibration reaches: strength against the three scores."""

from __future__ import annotations

import altair as alt
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, LINES
from app.charts.style import NUMBER_LABEL, finished
from app.charts.themes import in_both_themes
from app.words import number

TITLES = {
    "efficacy": "says the target",
    "paraphrase": "also in other words",
    "neighbourhood": "other answers stay",
}


@in_both_themes
def strength_curve(table: pd.DataFrame, layer: int, *, dark: bool) -> alt.Chart:
    """The three scores of one layer against the strength (log scale), a line each.

    table: as core.calibrate makes it; settings without a strength in numbers are left out.
    """
    own = table[(table["layer"] == layer) & (table["strength"] != "auto")]
    data = [
        {
            "Score": title,
            "strength": float(strength),
            "strength_text": number(strength),
            "share": share,
        }
        for score, title in TITLES.items()
        for strength, share in zip(own["strength"], own[score], strict=True)
        if not pd.isna(share)
    ]
    names = list(TITLES.values())
    colour = alt.Color(
        "Score:N",
        title=None,
        scale=alt.Scale(domain=names, range=[ACCENT[dark], *LINES[dark][:2]]),
        legend=alt.Legend(orient="top", labelLimit=300),
    )
    return finished(
        alt.Chart(pa.Table.from_pylist(data))
        .mark_line(point={"size": 60, "filled": True})
        .encode(
            x=alt.X(
                "strength:Q",
                title="Strength (η, log scale)",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(labelExpr=NUMBER_LABEL),
            ),
            y=alt.Y(
                "share:Q",
                title="Share of the facts",
                scale=alt.Scale(domain=[0, 1]),
                axis=alt.Axis(format="%"),
            ),
            color=colour,
            shape=alt.Shape("Score:N", title=None, scale=alt.Scale(domain=names)),
            tooltip=[
                alt.Tooltip("Score:N"),
                alt.Tooltip("strength_text:N", title="Strength"),
                alt.Tooltip("share:Q", title="Share of the facts", format=".0%"),
            ],
        )
        .properties(height=260),
        dark,
    )
