"""Forward lens: what each layer would say."""

from app.cells.forward import forward_cell
from app.cells.swap import swap_cell
from app.notebook.cell import page_title
from app.shell.state import require_request

page_title(
    "What does the model think, layer by layer?",
    "Forward lens: the logit lens of the residual stream, softmax(ln_f(v) D) after every block.",
)
request = require_request()
chosen = forward_cell(1, request)
if chosen:
    swap_cell(2, request, *chosen)
