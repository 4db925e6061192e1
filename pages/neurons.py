"""Neurons: what single neurons of a gradient say, and what they are made of."""

from app.cells.neurons import neuron_cells
from app.notebook.cell import page_title
from app.shell.state import require_request

page_title(
    "Which neurons would change, and towards what?",
    "Single neurons of a gradient (Tables 2-5), their overlap and cosine with the spanning "
    "vectors (Figures 7-9).",
)
neuron_cells(require_request())
