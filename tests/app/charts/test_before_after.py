"""The answers to several prompts, before and after an edit."""

import pandas as pd
import pytest

from app.charts.before_after import before_after
from app.charts.spec import specification

TABLE = pd.DataFrame(
    {
        "prompt": ["The capital of France is"] * 2 + ["if"] * 2,
        "time": ["before", "after"] * 2,
        "token": [" Paris", " Rome", "\n", " Rome"],
        "probability": [0.77, 0.9999, 0.3, 0.0001],
    }
)


@pytest.mark.parametrize("dark", [False, True])
def test_a_row_a_prompt_and_a_column_a_time(dark):
    chart = before_after(TABLE, " Rome", dark=dark)
    chart.to_dict()  # Altair checks it against Vega-Lite's schema
    cells = chart.data.to_pydict()
    assert cells["row"] == [0, 0, 1, 1]
    assert cells["column"] == [0, 1, 0, 1]
    assert cells["text"] == ["·Paris  77.0%", "·Rome  >99.9%", "↵  30.0%", "·Rome  <0.1%"]
    assert cells["marked"] == [False, True, False, True]
    assert set(cells["ink"]) <= {"#000000", "#ffffff"}
    axis = specification(chart)["layer"][0]["encoding"]["y"]["axis"]["labelExpr"]
    assert "The capital of France is" in axis
