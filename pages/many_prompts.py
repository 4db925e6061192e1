"""Many prompts: a study in the background, and the paper's averages over it."""

import streamlit as st

from app.cells.shipped_studies import shipped
from app.cells.studies import compare, downloads, summary
from app.cells.study_cells import picture_cells
from app.cells.study_setup import setup
from app.notebook.cell import page_title
from app.shell.state import chosen_model, require_model
from app.shell.study_jobs import known_studies

page_title(
    "What holds over many prompts?",
    "A study over CounterFact records, or over your own prompts (Figures 3, 5, 6, 16-21 and 23).",
)
require_model()
own = known_studies()
running = setup(open_at_first=not own and not shipped())
if not own and shipped():
    st.caption(
        "Shipped with Backward Lens. Start a study of your own above: it is then shown here, "
        "and can be compared with these."
    )
elif not own and not running:
    st.info(
        "No study yet. Choose the prompts above and press Start: each prompt is traced towards "
        "its new target, and the pictures of the paper are averaged over all of them."
    )
if own or shipped():
    compared, main = compare(chosen_model())
    summary(main)
    picture_cells(compared, main)
    downloads(main)
