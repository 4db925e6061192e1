"""Compare: this request beside another, and what differs."""

import streamlit as st

from app.cells.compare_curves import gradient_rank_comparison, target_rank_comparison
from app.cells.compare_norms import norms_comparison
from app.cells.compare_sides import alignment_of, other_side
from app.cells.compare_tables import backward_comparison, forward_comparison
from app.notebook.cell import page_title
from app.shell.state import stop_with

page_title(
    "What differs?",
    "Two requests side by side, and their difference: right less left.",
)
sides = other_side(st.session_state.get("request"))
if sides.left is None and sides.right is None:
    stop_with("Choose a model, a prompt and a target.")
if sides.left is None:
    st.info("The left side is missing; what is wrong with it stands on the left.")
if sides.same:
    st.info(
        "Both sides are the same, so that nothing differs. Type another prompt or target above, or "
        "take one of “Compare with …”."
    )
how = alignment_of(sides)
forward_comparison(1, sides, how)
backward_comparison(2, sides, how)
norms_comparison(3, sides, how)
target_rank_comparison(4, sides)
gradient_rank_comparison(5, sides)
