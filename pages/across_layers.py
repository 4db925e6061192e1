"""Across layers: how alike the signals are, where words stand, and how strong the signal is."""

from app.cells.layers import similarity_cell, token_ranks_cell
from app.cells.norms import norms_cell
from app.notebook.cell import page_title
from app.shell.state import require_request

page_title(
    "Do all layers learn the same thing?",
    "Cosine of FF2's VJPs between layers (Figure 22); ranks of target and answer (Figures 6, "
    "18-21); norms by token or segment (Figures 5, 16, 17).",
)
request = require_request()
similarity_cell(1, request)
token_ranks_cell(2, request)
norms_cell(3, request, key="across_norms")
