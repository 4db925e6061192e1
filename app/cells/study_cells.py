"""The cells of the page Many prompts, in their order."""

from __future__ import annotations

import streamlit as st

import core
from app.cells.shipped_studies import claims_cell
from app.cells.study_groups import pair_of
from app.cells.study_heatmaps import norms_cell, ranks_cell
from app.cells.study_pictures import cosine_cell, full_rank_cell, length_cell


def picture_cells(studies: dict[str, core.Study], main: core.Study) -> None:
    answered = st.session_state["answered"]
    pair = pair_of(main, answered)
    full_rank_cell(1, studies, main, answered, pair)
    length_cell(2, main, answered, pair)
    norms_cell(3, main, answered, pair)
    ranks_cell(4, studies, main, answered, pair)
    cosine_cell(5, main, answered, pair)
    claims_cell(6, main, answered)
