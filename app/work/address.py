"""The page's address, in which the fields stand."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st
from streamlit.runtime.state import get_session_state


def write_fields(keys: Iterable[str]) -> None:
    """Put into the address what stands in text fields that are bound to it, after they are drawn.

    The browser writes a field into the address itself, but may send the run off with the address
    from before. Whatever the run then writes there (all parameters at once) would bring the old
    text back, and a reload would lose what was typed.
    """
    texts = {key: st.session_state.get(key) for key in keys}
    with get_session_state().query_params() as params:
        for key, text in texts.items():
            if isinstance(text, str) and params.is_bound(key) and params.get(key, text) != text:
                # A bound parameter can be written only as Streamlit itself corrects one.
                params.set_corrected_value(key, text, "string_value")
