"""The menu of this session: all pages, or those of its workshop."""

from __future__ import annotations

import streamlit as st

from app.shell.navigation import GROUPS, PAGES, WORKSHOP_PAGE, Page
from app.workshop.visit import leads, page_is_open


def menu(shown: bool) -> st.Page:
    """Draw the menu where it is `shown`; the page that the URL names.

    All pages are known to Streamlit, so that a link to one that is not open here leads to a
    sentence (`closed_page`) and not to a page of Streamlit's own.
    """
    sections: dict[str, list[st.Page]] = {name: [] for name in ("", *GROUPS)}
    for page in (*PAGES, WORKSHOP_PAGE):
        sections[page.group].append(entry(page))
    position = "top" if shown else "hidden"
    return st.navigation({k: v for k, v in sections.items() if v}, position=position, expanded=True)


def entry(page: Page) -> st.Page:
    return st.Page(
        page.script,
        title=page.title,
        url_path=page.path,
        default=not page.path,
        visibility="visible" if is_open(page.path) else "hidden",
        help=page.answers,
    )


def is_open(path: str) -> bool:
    """Whether this session may see the page with this path."""
    return leads() if path == WORKSHOP_PAGE.path else page_is_open(path)


def first_open() -> Page:
    """The first page that this session may see."""
    return next(page for page in PAGES if page_is_open(page.path))


def closed_page(path: str) -> None:
    """Instead of a page that is not open to this session: why, and the way to one that is.

    A workshop without Start begins with its first page.
    """
    first = first_open()
    if not path:
        st.switch_page(first.script, query_params=st.query_params.to_dict())
    if path == WORKSHOP_PAGE.path:
        st.info("This page is for the person who runs a workshop, by the facilitator's link.")
    else:
        st.info("This page is not a part of the workshop.")
    st.page_link(first.script, label=f"Go to {first.title}")
