"""Many prompts: a study in the background, and the paper's averages over it."""

import streamlit as st

from app.cells.studies import compare, downloads, known_studies, summary
from app.cells.study_pictures import picture_cells
from app.cells.study_setup import setup
from app.notebook.cell import page_title
from app.shell.state import require_model

page_title(
    "What holds over many prompts?",
    "A study over CounterFact records (Figures 3, 5, 6, 16-21 and 23).",
)
require_model()
studies = known_studies()
running = setup(open_at_first=not studies)
if not studies and not running:
    st.info(
        "No study yet. Choose the prompts above and press Start: each prompt is traced towards "
        "its new target, and the pictures of the paper are averaged over all of them."
    )
if studies:
    compared, main = compare(studies)
    summary(main)
    picture_cells(compared, main)
    downloads(main)
