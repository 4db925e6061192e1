"""Where edits landed, and what each method reaches."""

from __future__ import annotations

import altair as alt
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, INK, LINES
from app.charts.style import finished, layered
from app.charts.themes import in_both_themes
from app.titles import MATRIX_TITLES
from app.words import number

MEASURES = {
    "target_probability": "Target's probability",
    "paraphrases": "Paraphrases that say it",
    "kept": "Others that keep their answer",
}


@in_both_themes
def landing_chart(sizes: pd.DataFrame, n_layers: int, *, dark: bool) -> alt.Chart:
    """The size of each change as a part of its matrix, by layer; a colour a matrix.

    sizes: edit, Matrix, layer, rank, norm, share.
    """
    drawn = set(sizes["Matrix"])
    names = [title for title in MATRIX_TITLES.values() if title in drawn]
    data = {name: sizes[name] for name in ("edit", "Matrix", "layer", "rank", "share")}
    chart = (
        alt.Chart(pa.table(data | {"size": list(map(number, sizes["norm"]))}))
        .mark_bar()
        .encode(
            x=alt.X(
                "layer:O",
                title="Layer",
                scale=alt.Scale(domain=list(range(n_layers))),
                axis=alt.Axis(labelAngle=0),
            ),
            xOffset=alt.XOffset("Matrix:N", sort=names),
            y=alt.Y("share:Q", title="‖change‖ / ‖matrix‖", axis=alt.Axis(format=".1%")),
            color=alt.Color(
                "Matrix:N",
                scale=alt.Scale(domain=names, range=[ACCENT[dark], *LINES[dark]][: len(names)]),
                legend=alt.Legend(orient="top") if len(names) > 1 else None,
            ),
            tooltip=[
                alt.Tooltip("edit:N", title="Edit"),
                alt.Tooltip("Matrix:N"),
                alt.Tooltip("layer:O", title="Layer"),
                alt.Tooltip("share:Q", title="Part of the matrix", format=".2%"),
                alt.Tooltip("size:N", title="Norm of the change"),
                alt.Tooltip("rank:Q", title="Rank, at most"),
            ],
        )
    )
    return finished(chart.properties(width=min(720, 60 * n_layers), height=300), dark)


@in_both_themes
def method_chart(table: pd.DataFrame, *, dark: bool) -> alt.LayerChart:
    """For each method three bars from 0 to 1, its seconds beside its name.

    table: compare_methods.
    """
    good = table[table["problem"] == ""]
    data = [
        {
            "Method": f"{title} · {seconds:.2f} s",
            "Measure": name,
            "title": title,
            "share": share,
            "seconds": seconds,
        }
        for measure, name in MEASURES.items()
        for title, seconds, share in zip(good["title"], good["seconds"], good[measure], strict=True)
        if not pd.isna(share)
    ]
    methods, names = list(dict.fromkeys(row["Method"] for row in data)), list(MEASURES.values())
    base = alt.Chart().encode(
        y=alt.Y("Method:N", title=None, sort=methods, axis=alt.Axis(labelLimit=260)),
        yOffset=alt.YOffset("Measure:N", sort=names),
    )
    bars = base.mark_bar().encode(
        x=alt.X(
            "share:Q",
            title=None,
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format=".0%", tickCount=5),
        ),
        color=alt.Color(
            "Measure:N",
            title=None,
            sort=names,
            scale=alt.Scale(domain=names, range=[ACCENT[dark], *LINES[dark][:2]]),
            legend=alt.Legend(orient="top", labelLimit=260, columnPadding=24),
        ),
        tooltip=[
            alt.Tooltip("title:N", title="Method"),
            alt.Tooltip("Measure:N"),
            alt.Tooltip("share:Q", title="Share", format=".1%"),
            alt.Tooltip("seconds:Q", title="Seconds", format=".2f"),
        ],
    )
    words = base.mark_text(align="left", dx=4, color=INK[dark], fontSize=12).encode(
        x=alt.X("share:Q"), text=alt.Text("share:Q", format=".0%")
    )
    chart = layered(bars, words, data=pa.Table.from_pylist(data), width=560, height=alt.Step(18))
    return finished(chart, dark)
