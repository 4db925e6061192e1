"""The gallery on Start: a stored finding with its picture, its commentary, and the way to it live.

Nothing here runs a model: the picture is drawn from a table that was computed when the finding was
written.
"""

from __future__ import annotations

from typing import NoReturn

import streamlit as st
from streamlit.errors import StreamlitAPIException

import core
from app.cells.gallery_pictures import drawn
from app.gallery.finding import Finding
from app.gallery.shelf import after, shelf
from app.gallery.stored import Stored
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.models import CARDS, downloads, expected_size, refusal, short_name, start_download
from app.shell.navigation import Page, page_at
from app.shell.state import MODEL, PROMPT, SUBJECT, TARGET, Request
from app.words import plain
from app.workshop.visit import page_is_open, pinned_model

VIEW, LIVE, FINDINGS = "start_view", "live", "findings"
VIEWS = {LIVE: "Your own prompt", FINDINGS: "Findings to start from"}
CHOSEN = "finding"  # widget key, and the name in the link


def gallery_is_open() -> bool:
    """Draw the choice between the visitor's own prompt and the findings; whether these are chosen.

    A link that names a finding opens on it; the link of the page names the one that is shown.
    """
    if not shelf():
        return False
    follow_link()
    row = st.container(horizontal=True, vertical_alignment="center", key="start_row")
    view = row.segmented_control(
        "What to look at",
        list(VIEWS),
        format_func=VIEWS.get,
        default=None if VIEW in st.session_state else LIVE,
        required=True,
        key=VIEW,
        persist_state="session",
        label_visibility="collapsed",
    )
    if view == FINDINGS:
        return True
    st.query_params.pop(CHOSEN, None)
    name = chosen()
    row.button(
        f"{plain(shelf()[name][0].title)} →",
        type="tertiary",
        key="show_finding",
        on_click=show_finding,
        args=(name,),
        help="A stored finding with its picture: it opens at once.",
    )
    return False


def follow_link() -> None:
    """At a session's first look at Start: the finding that its link names."""
    if VIEW in st.session_state or CHOSEN not in st.query_params:
        return
    show_finding(st.query_params[CHOSEN])


def show_finding(name: str) -> None:
    """Open the gallery at a finding, or at its beginning where there is none of this name; for
    callbacks."""
    st.session_state[VIEW] = FINDINGS
    st.session_state[CHOSEN] = name if name in shelf() else next(iter(shelf()))


def chosen() -> str:
    name = st.session_state.get(CHOSEN)
    return name if name in shelf() else next(iter(shelf()))


def gallery() -> None:
    """The picker, the buttons, and the cell of the chosen finding."""
    names = list(shelf())
    st.session_state[CHOSEN] = chosen()
    row = st.container(horizontal=True, vertical_alignment="bottom", key="gallery_row")
    name = row.selectbox(
        "Finding",
        names,
        format_func=lambda n: f"{names.index(n) + 1} of {len(names)} · {shelf()[n][0].title}",
        key=CHOSEN,
        persist_state="session",
        label_visibility="collapsed",
    )
    st.query_params[CHOSEN] = name
    finding, stored = shelf()[name]
    row.button("Next", key="next_finding", on_click=show_finding, args=(after(name),))
    why_not = ""
    with row:
        if not pinned_elsewhere(finding) and not closed(finding):
            why_not = live_button(finding)
    finding_cell(finding, stored)
    for text in filter(None, (pinned_elsewhere(finding), closed(finding), why_not)):
        st.caption(plain(text))


def finding_cell(finding: Finding, stored: Stored) -> None:
    place = cell(
        1,
        plain(finding.title),
        plain(" ".join(finding.commentary)),
        key=f"gallery_{finding.name}",
        original=True,
    )
    picture = drawn(finding, stored, dark=is_dark())
    place.picture.caption(
        plain(
            f"Stored: {short_name(finding.model)}, “{finding.prompt} …”, target "
            f"“{finding.target}”. {picture.reading}"
        )
    )
    place.draw(picture.chart, f"{picture.alt_text}. {finding.title}", fit=picture.fit)
    request = Request(finding.model, finding.prompt, finding.target, finding.subject or None)
    place.finish(code_lines(request, *picture.code), stored.table)


def pinned_elsewhere(finding: Finding) -> str:
    """Why a workshop cannot open it: it works with another model. Empty if it can."""
    pinned = pinned_model()
    if not pinned or pinned == finding.model:
        return ""
    return (
        f"This workshop works with {short_name(pinned)}; the finding is of "
        f"{short_name(finding.model)}, and is shown as it was stored."
    )


def closed(finding: Finding) -> str:
    page = page_at(finding.page)
    if page_is_open(page.path):
        return ""
    return f"The page that this finding comes from, {page.title}, is not a part of the workshop."


def live_button(finding: Finding) -> str:
    """ "Open it live", or the way to get its model; what is missing, as a sentence."""
    model, page = finding.model, page_at(finding.page)
    if core.is_on_this_machine(model):
        pressed = st.button(
            "Open it live",
            type="primary",
            key="open_live",
            on_click=use_finding,
            args=(finding,),
            help=f"Opens {page.title} with {short_name(model)}, this prompt and this target.",
        )
        if pressed:
            go_to(page, finding)
        return ""
    if problem := refusal(model):
        return f"It cannot be opened live here. {problem}"
    job = downloads().get(model)
    if not (job and job.running):
        st.button(
            f"Fetch {short_name(model)} ({expected_size(model)})",
            type="primary",
            key="fetch_for_finding",
            on_click=start_download,
            args=(model,),
            help=f"{CARDS[model].note} Licence: {CARDS[model].licence}.",
        )
    return (
        f"To open it live, {short_name(model)} must be on this machine: fetch it with the button "
        "above, once. The stored picture needs no model."
    )


def use_finding(finding: Finding) -> None:
    """Put a finding into the fields of the sidebar and its page's controls; for callbacks.

    A link to the page would not do: what was chosen there before would stay.
    """
    st.session_state[MODEL] = finding.model
    st.session_state[PROMPT] = finding.prompt
    st.session_state[TARGET] = finding.target
    st.session_state[SUBJECT] = finding.subject
    st.session_state.update(finding.settings)


def go_to(page: Page, finding: Finding) -> NoReturn:
    """Leave for the finding's page, once `use_finding` has filled its fields."""
    link = {"model": finding.model}
    own = {key: str(finding.settings[key]) for key in finding.link}
    try:
        st.switch_page(page.script, query_params=link | own)
    except StreamlitAPIException:  # the page was seen before: its controls write the link
        st.switch_page(page.script, query_params=link)
