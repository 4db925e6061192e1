"""The most probable next tokens as a small table with bars, in HTML: many fit on one page."""

from __future__ import annotations

import html

import pandas as pd

from app.charts.palette import RAMPS
from app.words import percent, shortened, visible

LONGEST = 24  # characters of a token


def answer_bars(answers: pd.DataFrame, *, dark: bool, label: str) -> str:
    """A table of token, bar and percentage; all text of the model is escaped.

    `answers` is what core.answers returns; `label` names the table for screen readers.
    """
    colour = RAMPS["probability"][dark][1]
    rows = []
    for place, row in enumerate(answers.itertuples()):
        token = visible(row.token)
        weight = "font-weight:600;" if place == 0 else ""
        rows.append(
            f'<tr title="{html.escape(token)}">'
            f'<td style="{weight}white-space:pre;padding:0 10px 0 0;width:1%;border:none">'
            f"{html.escape(shortened(token, LONGEST))}</td>"
            '<td style="padding:0;border:none">'
            f'<div style="height:12px;border-radius:2px;background:{colour};'
            f'width:max(2px,{row.probability:.2%})"></div></td>'
            f'<td style="{weight}padding:0 0 0 10px;width:1%;text-align:right;'
            f'white-space:nowrap;border:none">{html.escape(percent(row.probability))}</td></tr>'
        )
    return (
        f'<table aria-label="{html.escape(label)}" style="border-collapse:collapse;width:100%;'
        f'margin:0;font:13px/21px ui-monospace,monospace">{"".join(rows)}</table>'
    )
