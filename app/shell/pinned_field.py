"""The model's picker in a workshop that has a model of its own."""

from __future__ import annotations

import streamlit as st

from app.shell.models import CARDS, label, short_name
from app.workshop.visit import pinned_model


def pinned_field() -> str:
    """The workshop's model, and no other; its name. A folder's path is not shown to visitors."""
    name = pinned_model()
    st.selectbox(
        "Model",
        [name],
        format_func=label if name in CARDS else short_name,
        help="The model of this workshop.",
    )
    if name in CARDS:
        if st.query_params.get("model") != name:
            st.query_params["model"] = name
    else:
        st.query_params.pop("model", None)
    return name
