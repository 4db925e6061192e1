"""Edit strength: how strong an edit must be in each layer, and what it costs."""

import streamlit as st

from app.cells.edit_strength import known_table, perplexity_cell, rates_cell, setup
from app.notebook.cell import page_title
from app.shell.state import require_request

page_title(
    "How strong must an edit be?",
    "Edit strength: smallest learning rate and perplexity by layer (Figure 26).",
)
request = require_request()
running = setup(request)
table = known_table(request)
if table is not None:
    rates_cell(1, request, table)
    perplexity_cell(2, request, table)
elif not running:
    st.info(
        "Nothing is measured yet for this prompt and target. Press the button above: each layer is "
        "edited on its own, ever more strongly, until the model says the target."
    )
