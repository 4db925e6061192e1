"""Imprint and shift: how one step stores what was read and turns what is said."""

from app.cells.imprint import imprint_cells
from app.notebook.cell import page_title
from app.shell.state import require_request

page_title(
    "How does one step store the target?",
    "Imprint and shift (lemma 5.2; Figures 1, 2 and 10).",
)
imprint_cells(require_request())
