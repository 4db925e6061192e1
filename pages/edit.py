"""Edit: teach the model one fact, and see what else that changes."""

import streamlit as st

from app.cells.calibration import tuning
from app.cells.controls import choice
from app.cells.edit_answers import answers_cell
from app.cells.edit_form import form
from app.cells.edit_landing import landing_cell
from app.cells.edit_lenses import lens_cell
from app.cells.fact_answers import facts_cell, has_several_facts
from app.cells.method_comparison import comparison_cell
from app.cells.several_facts import several_form
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
        how_many = {"one": "One fact", "several": "Several facts"}
        if choice(st, "How many", how_many, "edit_how_many") == "several":
            several_form(request)
        else:
            form(request)
        outcome(EDIT, "Cancelled. Nothing has changed.")
if running(MEND):
    show(MEND)
number = 2
if request.entries:
    if has_several_facts(request):
        facts_cell(number, request)
        number += 1
    old_answer = answers_cell(number, request)
    lens_cell(number + 1, request)
    landing_cell(number + 2, request)
    side_effects_cell(number + 3, request, old_answer)
    number += 4
comparison_cell(number, request)
tuning(request)
