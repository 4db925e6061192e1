"""Start: what this is, findings to start from, three examples, and the first picture."""

import streamlit as st

from app.cells.backward import backward_cell
from app.cells.gallery import gallery, gallery_is_open
from app.notebook.cell import page_title
from app.shell.examples import examples_for
from app.shell.model_offers import real_model_button, real_model_progress
from app.shell.state import chosen_model, require_request, use_example

page_title("What would the model learn?")
if gallery_is_open():
    gallery()
    real_model_progress()
    st.stop()
st.markdown(
    "A language model learns by small corrections. Type the beginning of a sentence and the word "
    "that should come next: Backward Lens shows, layer by layer and token by token, which words "
    "that correction would push the model towards, how strongly, and where. Nothing is changed; "
    "you only look."
)
with st.container(horizontal=True, key="examples"):
    for i, example in enumerate(examples_for(chosen_model())[:3]):
        st.button(
            f"{example.prompt} … {example.target}", on_click=use_example, args=(i,), key=f"try_{i}"
        )
    real_model_button()
real_model_progress()
backward_cell(1, require_request(), key="start")
