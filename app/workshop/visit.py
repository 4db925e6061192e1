"""The workshop that this session came to, and what it pins for it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from app.workshop.codes import shared_part
from app.workshop.plan import Workshop

VISIT = "workshop_visit"  # in the session


@dataclass(frozen=True)
class Visit:
    """A session in a workshop, by the code that it came with."""

    workshop: Workshop
    code: str
    lead: bool = False  # whether it is the facilitator's

    @property
    def shared(self) -> str:
        """The participants' code, which may be passed on."""
        return shared_part(self.code)


def visit() -> Visit | None:
    """Nothing in a session that came without a workshop's link."""
    return st.session_state.get(VISIT)


def workshop() -> Workshop | None:
    here = visit()
    return here.workshop if here else None


def leads() -> bool:
    """Whether this session is the facilitator's."""
    here = visit()
    return here is not None and here.lead


def pinned_model() -> str:
    """The one model of this session's workshop; empty where visitors choose."""
    here = workshop()
    return here.model if here else ""


def starter() -> tuple[str, str] | None:
    """The prompt and target that this session's workshop begins with."""
    here = workshop()
    return (here.prompt, here.target) if here and here.prompt else None


def page_is_open(path: str) -> bool:
    """Whether this session may see a page, by its path in the URL."""
    here = workshop()
    return here is None or here.has_page(path)
