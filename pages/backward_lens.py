"""Backward lens: what the gradient would change, in words."""

from app.cells.backward import backward_cell, input_cell
from app.cells.checked import checked_mark
from app.cells.one_cell import one_cell_cell
from app.cells.picked import picked
from app.notebook import tables
from app.notebook.cell import page_title
from app.shell.state import require_request

page_title(
    "What would the model change?",
    "Backward lens: gradients read in the vocabulary. Figures 4 and 11-15; normalised, 24 and 25.",
)
request = require_request()
pick = picked("backward", request.model.n_layers, tables.trace(request).tokens)
mark = backward_cell(1, request, key="backward", pick=pick)
if pick.cell:
    one_cell_cell(2, request, *pick.cell)
input_cell(3 if pick.cell else 2, request)
with mark:  # filled last: it costs one more pass
    checked_mark(request)
