"""Signing in with OpenID Connect, which Streamlit does where the operator has set it up."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit.errors import StreamlitAuthError

from app.settings import LOGIN

NOT_SET_UP = (
    "Signing in is switched on, but this server's .streamlit/secrets.toml has no [auth]. Tell the "
    "person who runs the server."
)


def signed_in() -> bool:
    """Whether the operator lets people sign in, and this visitor has."""
    return LOGIN.value and bool(providers()) and bool(st.user.get("is_logged_in", False))


def providers() -> list[str | None]:
    """Whom visitors can sign in with: the names in [auth], or None for a single one without."""
    if not st.secrets.load_if_toml_exists():
        return []
    auth = st.secrets.get("auth", {})
    named: list[str | None] = [
        name for name in auth if isinstance(auth[name], Mapping) and "client_id" in auth[name]
    ]
    return [None, *named] if "client_id" in auth else named


def sign_in_buttons() -> None:
    known = providers()
    if not known:
        st.error(NOT_SET_UP)
    for name in known:
        label = f"Sign in with {name}" if name else "Sign in"
        if st.button(label, key=f"sign_in_{name or ''}", type="primary"):
            try:
                st.login(name)
            except StreamlitAuthError:  # without Authlib, or an entry of [auth]
                st.error(
                    "Signing in is not set up completely on this server. Tell the person who runs "
                    "the server."
                )


def sign_out_button() -> None:
    """For the sidebar of those who have signed in."""
    if signed_in():
        st.button("Sign out", on_click=st.logout, key="sign_out")
