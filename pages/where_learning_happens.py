"""Where learning happens: how strong the signal is, and where it points to the target."""

from app.cells.norms import norms_cell, target_rank_cell
from app.notebook.cell import page_title
from app.shell.state import require_request

page_title(
    "Where does learning happen?",
    "Norms of the VJPs and of the inputs (Figures 5, 16, 17), and the target's rank (Figure 6).",
)
request = require_request()
norms_cell(1, request)
target_rank_cell(2, request)
