"""Who comes in: by a workshop's code, by signing in, or because the server is open to all."""

from __future__ import annotations

import time
from time import sleep

import streamlit as st

from app.settings import CODES, LOGIN
from app.work import turnstile
from app.workshop import store
from app.workshop.codes import bare
from app.workshop.guesses import Guesses
from app.workshop.login import signed_in
from app.workshop.plan import ENDED, EXPIRED
from app.workshop.visit import VISIT, Visit, visit

CODE, LEAD = "workshop", "lead"  # in the URL
PROBLEM = "workshop_problem"  # in the session: why its code does not open the door
REFUSED = "refused_codes"  # in the session: codes that were looked up in vain
MOST_REFUSED = 100

NO_CODE = (
    "This server is open to those who have a workshop's link. Ask the person who runs the "
    "workshop for it."
)
UNKNOWN = (
    "This code opens no workshop here. Compare it with the link that you were given, or ask the "
    "person who runs the workshop for it."
)


def now() -> float:
    return time.time()


@st.cache_resource(show_spinner=False)
def guesses() -> Guesses:
    return Guesses()


def come_in() -> bool:
    """Whether this run may go on; for the beginning of every run.

    A valid code in the URL brings the session into its workshop, where it stays on every page.
    Where it may not go on, the reason is left for `problem`.
    """
    st.session_state[PROBLEM] = ""
    code = st.query_params.get(LEAD) or st.query_params.get(CODE)
    here = visit()
    if code and (here is None or bare(code) not in (bare(here.code), bare(here.shared))):
        here = look_up(code)
    if here is not None:
        here = refreshed(here)
    return not problem() and (here is not None or not is_closed() or signed_in())


def is_closed() -> bool:
    """Whether this server lets nobody in without a code or a name."""
    return CODES.value or LOGIN.value


def problem() -> str:
    """Why the session's code does not let it in; empty where it has none."""
    return st.session_state.get(PROBLEM, "")


def look_up(code: str) -> Visit | None:
    """The visit that a code begins; else None, and the problem is noted."""
    refused = st.session_state.setdefault(REFUSED, [])
    known = bare(code)
    if known not in refused:
        pause = guesses().pause
        if pause:
            turnstile.leave()  # nobody else waits for it
            sleep(pause)
        found = store.find(code)
        if found is not None:
            workshop, lead = found
            return Visit(workshop, code, lead)
        guesses().note()
        refused.append(known)
        del refused[:-MOST_REFUSED]
    st.session_state[PROBLEM] = UNKNOWN
    return None


def refreshed(here: Visit) -> Visit | None:
    """The visit with its workshop as it stands now; None where that is over."""
    workshop = store.read(here.workshop.id)
    state = workshop.state(now()) if workshop else ENDED
    title = (workshop or here.workshop).title
    if state == EXPIRED:
        st.session_state[PROBLEM] = f"The workshop “{title}” is over: its time has run out."
    elif state == ENDED:
        st.session_state[PROBLEM] = f"The workshop “{title}” has been ended by its facilitator."
    if problem():
        return None
    here = Visit(workshop, here.code, here.lead)
    st.session_state[VISIT] = here
    return here


def keep_code(on_lead_page: bool) -> None:
    """Keep the code in the URL, so that the page can be loaded again.

    The facilitator's code stands there on the facilitator's own page alone: the addresses of all
    others can be passed on.
    """
    here = visit()
    if here is None:
        return
    name, other = (LEAD, CODE) if here.lead and on_lead_page else (CODE, LEAD)
    code = here.code if name == LEAD else here.shared
    if st.query_params.get(name) != code:
        st.query_params[name] = code
    if other in st.query_params:
        del st.query_params[other]


def leave() -> None:
    """Go on without the workshop, on a server that is open to all; for callbacks."""
    st.session_state.pop(VISIT, None)
    for name in (CODE, LEAD):
        st.query_params.pop(name, None)
