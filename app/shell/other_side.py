"""What stands on the right of a comparison: its fields, in the session and in the link.

An empty field means: as on the left, in the sidebar.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.shell.history import Asked
from app.shell.navigation import page_at
from app.shell.state import PAGE

PATH = "compare"
# Widget keys. They stand in the URL by these names, put there by hand: a bound widget would rather
# be as it was on the page's last visit than empty, as a link says.
RIGHT_PROMPT, RIGHT_TARGET, RIGHT_SUBJECT = "right_prompt", "right_target", "right_subject"
RIGHT_MODEL, RIGHT_EDITS = "right_model", "right_edits"
AS_LEFT, NO_EDITS, ALL_EDITS = "", "none", "all"  # of edits; else their ids
BETWEEN_IDS = "."


@dataclass(frozen=True)
class OtherSide:
    """The fields of the right side."""

    model_name: str = ""
    prompt: str = ""
    subject: str = ""
    target: str = ""
    edits: str = AS_LEFT

    @classmethod
    def of(cls, asked: Asked) -> OtherSide:
        """A whole request, so that nothing is taken from the left."""
        edits = BETWEEN_IDS.join(asked.edit_ids) or NO_EDITS
        return cls(asked.model_name, asked.prompt, asked.subject or "", asked.target, edits)

    @property
    def fields(self) -> dict[str, str]:
        return {
            RIGHT_MODEL: self.model_name,
            RIGHT_PROMPT: self.prompt,
            RIGHT_SUBJECT: self.subject,
            RIGHT_TARGET: self.target,
            RIGHT_EDITS: self.edits,
        }


def use_other(side: OtherSide) -> None:
    """Fill the fields of the right side; for callbacks."""
    for key, value in side.fields.items():
        st.session_state[key] = value


def compare_button(label: str, side: OtherSide, key: str) -> None:
    """A way to the comparison of the sidebar's request with this; `label` is Markdown.

    From another page it is a link with both sides in it; on the page itself it fills the fields.
    """
    if st.session_state[PAGE] == PATH:
        st.button(label, key=key, type="tertiary", on_click=use_other, args=(side,))
        return
    # The browser itself keeps the fields that are bound to the address, as the sidebar's are.
    kept = {k: text for k in ("model", "precision") if (text := st.query_params.get(k))}
    st.page_link(page_at(PATH).script, label=label, query_params=kept | side.fields)


def linked(key: str) -> str:
    """A field of the right side: what a link says that was followed since, else what the
    session says."""
    said = st.query_params.get(key)
    if said is not None and said != st.session_state.get(f"{key}_link"):
        st.session_state[key] = st.session_state[f"{key}_link"] = said
    return st.session_state.setdefault(key, "") or ""


def write_link(key: str, value: str) -> None:
    """Put a field into the link; an empty one is left out."""
    st.session_state[f"{key}_link"] = value
    if value:
        st.query_params[key] = value
    else:
        st.query_params.pop(key, None)


def edit_ids(edits: str) -> tuple[str, ...]:
    """The ids that the field of edits names; none for the three other choices."""
    return () if edits in (AS_LEFT, NO_EDITS, ALL_EDITS) else tuple(edits.split(BETWEEN_IDS))
