"""Predicted against measured, a dot for each number."""

from __future__ import annotations

from functools import partial

import altair as alt
import pyarrow as pa

from app.charts.palette import ACCENT, LINES, QUIET
from app.charts.style import NUMBER_LABEL, finished, layered
from app.charts.themes import in_both_themes
from app.words import number
from core import ImprintAndShift

MOST_DOTS = 1500  # evenly spaced ones of a wider output


@in_both_themes
def agreement_chart(result: ImprintAndShift, *, dark: bool) -> alt.LayerChart:
    """The measured against the predicted change of an output, with the diagonal.

    Where the step is by all tokens, the lemma's term of the token itself is drawn as well.
    """
    changes = result.changes.iloc[:: -(-len(result.changes) // MOST_DOTS)]
    names = {"predicted": "all tokens together", "own": "this token alone"}
    if not result.all_tokens:
        names = {"predicted": "this token alone"}
    predictions = [value for column in names for value in changes[column].tolist()]
    measured = changes["measured"].tolist() * len(names)
    written = partial(number, digits=5)
    data = pa.table(
        {
            "output": changes["output"].tolist() * len(names),
            "measured": measured,
            "prediction": predictions,
            "Prediction": [title for title in names.values() for _ in range(len(changes))],
            "prediction_text": list(map(written, predictions)),
            "measured_text": list(map(written, measured)),
        }
    )
    ends = [min(predictions), max(predictions)]
    diagonal = (
        alt.Chart(pa.table({"a": ends, "b": ends}))
        .mark_line(strokeDash=[5, 4], color=QUIET[dark])
        .encode(x=alt.X("a:Q"), y=alt.Y("b:Q"))
    )
    numbers = alt.Axis(labelExpr=NUMBER_LABEL, tickCount=6)
    colours = [ACCENT[dark], LINES[dark][0]][: len(names)]
    dots = (
        alt.Chart(data)
        .mark_point(filled=True, size=26, opacity=0.65)
        .encode(
            x=alt.X("prediction:Q", title="Predicted change", axis=numbers),
            y=alt.Y("measured:Q", title="Measured change", axis=numbers),
            color=alt.Color(
                "Prediction:N",
                scale=alt.Scale(domain=list(names.values()), range=colours),
                legend=alt.Legend(title="Predicted from", orient="right"),
            ),
            tooltip=[
                alt.Tooltip("output:O", title="Output number"),
                alt.Tooltip("prediction_text:N", title="Predicted"),
                alt.Tooltip("measured_text:N", title="Measured"),
            ],
        )
    )
    return finished(layered(diagonal, dots, width=460, height=300), dark)
