"""Edit: teach the model one fact, and see what else that changes."""

import streamlit as st

from app.cells.edit_form import TASK, form, outcome
from app.cells.side_effects import (
    answers_cell,
    comparison_cell,
    landing_cell,
    lens_cell,
    side_effects_cell,
)
from app.notebook.cell import page_title
from app.shell.state import require_request
from app.work import panel as tasks

page_title(
    "Can you make it say something else?",
    "Edits: forward pass shift (section 7), one gradient step, fine-tuning, ROME, MEMIT (Table 1).",
)
request = require_request()
task = st.session_state.get(TASK)
if task is not None and task.running:
    tasks.watch(TASK)
else:
    with st.container(border=True, key="cell_edit_form"):
        st.markdown(
            "**1 · Make an edit**  \nOne matrix is changed so that the prompt ends in your target. "
            "The change is kept beside the model: take it back at any time, on the left."
        )
        form(request)
        outcome()
if request.entries:
    old_answer = answers_cell(request)
    lens_cell(request)
    landing_cell(request)
    side_effects_cell(request, old_answer)
comparison_cell(6 if request.entries else 2, request)
