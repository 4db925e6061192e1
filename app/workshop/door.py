"""What those see who may not come in: why, a field for a code, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.settings import LOGIN
from app.words import plain
from app.work.address import write_fields
from app.workshop import gate
from app.workshop.codes import LONGEST
from app.workshop.login import sign_in_buttons, signed_in

SIGN_IN = "Sign in to use this server, or come by a workshop's link."
TYPED_CODE = "typed_code"
# Where a workshop ends while somebody works in it, an empty sidebar would stay.
NO_SIDEBAR = "<style>[data-testid=stSidebar] { display: none; }</style>"


def door(typed: Mapping[str, str]) -> None:
    """Everything on the page of a session that is not let in.

    `typed` are the fields, by their keys, whose text is shown and kept in the URL where a workshop
    ends while somebody works in it.
    """
    st.html(NO_SIDEBAR)
    st.header("Backward Lens", anchor=False)
    with st.container(width=640, key="door"):
        problem = gate.problem()
        if problem:
            st.warning(plain(problem))
        elif LOGIN.value:
            st.markdown(SIGN_IN)
        else:
            st.markdown(gate.NO_CODE)
        if LOGIN.value and not signed_in():
            sign_in_buttons()
        with st.form("door_form", border=False):
            st.text_input(
                "The workshop's code",
                key=TYPED_CODE,
                max_chars=LONGEST,
                placeholder="xxxx-xxxx-xxxx",
                help="Capitals, spaces and hyphens do not matter.",
            )
            st.form_submit_button("Come in", type="primary", on_click=try_code)
        if problem and (signed_in() or not gate.is_closed()):
            st.button("Go on without the workshop", on_click=gate.leave, key="leave_workshop")
        if problem:
            keep(typed)


def keep(typed: Mapping[str, str]) -> None:
    """Show what was typed. Streamlit takes a field's text out of the URL when the field goes."""
    found = {key: label for key, label in typed.items() if st.query_params.get(key)}
    if found:
        st.markdown("What you typed stays here, and in this page's address:")
    for key, label in found.items():
        st.text_input(label, key=key, bind="query-params")
    write_fields(found)


def try_code() -> None:
    """Put the typed code where a link would have it; for callbacks."""
    code = (st.session_state.get(TYPED_CODE) or "").strip()
    if code:
        st.query_params.pop(gate.LEAD, None)
        st.query_params[gate.CODE] = code
