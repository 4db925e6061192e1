"""Gradient rank: how many directions the change has."""

from app.cells.rank import rank_by_layer_cell, rank_curve_cell
from app.notebook.cell import page_title
from app.shell.state import require_request

page_title(
    "How many directions does the change have?",
    "Gradient rank: at most the number of prompt tokens (lemma 4.1, Figure 3).",
)
request = require_request()
rank_curve_cell(1, request)
rank_by_layer_cell(2, request)
