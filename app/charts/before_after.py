"""What several prompts are answered with before and after an edit."""

from __future__ import annotations

import altair as alt
import pandas as pd
import pyarrow as pa

from app.charts.palette import ACCENT, INK, PAPER, ramp
from app.charts.style import FONT_SIZE, OWN_COLOURS, finished, labels_of, layered, squares
from app.charts.themes import in_both_themes
from app.words import percent, shortened, visible

COLUMN, ROW = 210, 30  # pixels
LETTERS = 18
TIMES = {"before": "Before the edit", "after": "After the edit"}


@in_both_themes
def before_after(table: pd.DataFrame, target: str, *, dark: bool) -> alt.LayerChart:
    """A row a prompt, in the table's order, and a column a time: the word and its probability.

    table: prompt, time ("before" or "after"), token, probability. The target is framed.
    """
    prompts = list(dict.fromkeys(table["prompt"]))
    colours = ramp("probability", dark)
    cells = pa.table(
        {
            "row": [prompts.index(prompt) for prompt in table["prompt"]],
            "column": [list(TIMES).index(time) for time in table["time"]],
            "share": table["probability"],
            "ink": colours.inks(table["probability"].to_numpy()),
            "text": [
                f"{shortened(visible(token), LETTERS)}  {percent(share)}"
                for token, share in zip(table["token"], table["probability"], strict=True)
            ],
            "whole": [visible(token) for token in table["token"]],
            "asked": table["prompt"].map(visible),
            "marked": table["token"] == target,
        }
    )
    base = alt.Chart().encode(
        x=alt.X(
            "column:O",
            title=None,
            axis=alt.Axis(orient="top", labelAngle=0, labelExpr=labels_of(list(TIMES.values()))),
        ),
        y=alt.Y(
            "row:O",
            title=None,
            axis=alt.Axis(
                labelExpr=labels_of([shortened(p, 44) for p in prompts]), labelLimit=0, grid=False
            ),
        ),
        tooltip=[
            alt.Tooltip("asked:N", title="Prompt"),
            alt.Tooltip("whole:N", title="Answer"),
            alt.Tooltip("share:Q", title="Probability", format=".1%"),
        ],
    )
    scale = alt.Scale(domain=[0, 0.5, 1], range=list(colours.stops), interpolate="rgb")
    legend = alt.Legend(
        orient="bottom", format=".0%", values=[0, 0.25, 0.5, 0.75, 1], **squares(dark)
    )
    layers = [
        base.mark_rect(stroke=INK[dark], strokeOpacity=0.12).encode(
            color=alt.Color(
                "share:Q", title="Probability of the answer", scale=scale, legend=legend
            )
        ),
        base.mark_text(fontSize=FONT_SIZE + 1).encode(
            text=alt.Text("text:N"), color=alt.Color("ink:N", scale=None)
        ),
    ]
    framed = base.transform_filter("datum.marked")
    layers += [
        framed.mark_rect(filled=False, stroke=colour[dark], strokeWidth=width)
        for colour, width in ((PAPER, 6), (ACCENT, 3))
    ]
    chart = layered(
        *layers,
        data=cells,
        width=alt.Step(COLUMN),
        height=alt.Step(ROW),
        resolve=OWN_COLOURS,
    )
    return finished(chart, dark)
