"""Edit: teach the model one fact, and see what else that changes."""

import streamlit as st

from app.cells.calibration import tuning
from app.cells.edit_answers import answers_cell
from app.cells.edit_form import form
from app.cells.edit_landing import landing_cell
from app.cells.edit_lenses import lens_cell
from app.cells.method_comparison import comparison_cell
from app.cells.side_effects import side_effects_cell
from app.notebook.cell import page_title
from app.shell.navigation import EDIT, MEND
from app.shell.state import require_request
from app.work.panel import outcome, show
from app.work.sessions import running

page_title(
    "Can you make it say something else?",
    "Edits: forward pass shift (section 7), one gradient step, fine-tuning, ROME, MEMIT, MEND "
    "(Table 1).",
)
request = require_request()
if running(EDIT):
    show(EDIT)
else:
    with st.container(border=True, key="cell_edit_form"):
        st.markdown(
            "**1 · Make an edit**  \nOne matrix is changed so that the prompt ends in your target. "
            "The change is kept beside the model: take it back at any time, on the left."
        )
        form(request)
        outcome(EDIT, "Cancelled. Nothing has changed.")
if running(MEND):
    show(MEND)
if request.entries:
    old_answer = answers_cell(request)
    lens_cell(request)
    landing_cell(request)
    side_effects_cell(request, old_answer)
comparison_cell(6 if request.entries else 2, request)
tuning(request)
