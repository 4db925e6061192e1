"""What stands on the right of a comparison: its fields, in the session and in the link.

An empty field means: as on the left, in the sidebar.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.shell.history import Asked
from app.shell.menu import is_open
from app.shell.navigation import page_at

PATH = "compare"
# Widget keys, bound to the URL by their name; the model and the edits are put there by hand.
RIGHT_PROMPT, RIGHT_TARGET, RIGHT_SUBJECT = "right_prompt", "right_target", "right_subject"
RIGHT_MODEL, RIGHT_EDITS = "right_model", "right_edits"
ON_THE_WAY = "to_compare"  # in the session: whether the visitor has asked for the page
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


def compare_with(side: OtherSide) -> None:
    """Ask for the comparison of the sidebar's request with this; for callbacks."""
    use_other(side)
    st.session_state[ON_THE_WAY] = True


def go_to_compare(page: str) -> None:
    """Go to the page that was asked for, if one was; for the frame, after the sidebar."""
    if st.session_state.pop(ON_THE_WAY, False) and page != PATH and is_open(PATH):
        sides = {key: st.session_state.get(key, "") for key in OtherSide().fields}
        query = st.query_params.to_dict() | {key: text for key, text in sides.items() if text}
        st.switch_page(page_at(PATH).script, query_params=query)


def linked(key: str) -> str:
    """A field that no widget is bound to: what the session says, else the link."""
    if key not in st.session_state:
        st.session_state[key] = st.query_params.get(key, "")
    return st.session_state[key]


def write_link(key: str, value: str) -> None:
    """Put such a field into the link; an empty one is left out."""
    if value:
        st.query_params[key] = value
    else:
        st.query_params.pop(key, None)


def edit_ids(edits: str) -> tuple[str, ...]:
    """The ids that the field of edits names; none for the three other choices."""
    return () if edits in (AS_LEFT, NO_EDITS, ALL_EDITS) else tuple(edits.split(BETWEEN_IDS))
