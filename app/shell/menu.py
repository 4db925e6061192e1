"""The menu of this session: all pages, or those of its workshop."""

from __future__ import annotations

import streamlit as st

from app.shell.navigation import PAGES, WORKSHOP_PAGE
from app.workshop.visit import leads, page_is_open


def menu(shown: bool) -> st.Page:
    """Draw the menu where it is `shown`; the page that the URL names.

    All pages are known to Streamlit, so that a link to one that is not open here leads to a
    sentence (`closed_page`) and not to a page of Streamlit's own.
    """
    entries = [(*page, page_is_open(page[2])) for page in PAGES] + [(*WORKSHOP_PAGE, leads())]
    pages = [
        st.Page(
            f"../pages/{file}",
            title=title,
            url_path=path,
            default=not path,
            visibility="visible" if is_open else "hidden",
        )
        for file, title, path, is_open in entries
    ]
    return st.navigation(pages, position="sidebar" if shown else "hidden", expanded=True)


def is_open(path: str) -> bool:
    """Whether this session may see the page with this path."""
    return leads() if path == WORKSHOP_PAGE[2] else page_is_open(path)


def first_open() -> str:
    """The file of the first page that this session may see."""
    file = next(file for file, _, path in PAGES if page_is_open(path))
    return f"../pages/{file}"


def closed_page(path: str) -> None:
    """Instead of a page that is not open to this session: why, and the way to one that is.

    A workshop without Start begins with its first page.
    """
    if not path:
        st.switch_page(first_open(), query_params=st.query_params.to_dict())
    if path == WORKSHOP_PAGE[2]:
        st.info("This page is for the person who runs a workshop, by the facilitator's link.")
    else:
        st.info("This page is not a part of the workshop.")
    title = next(title for file, title, _ in PAGES if first_open().endswith(f"/{file}"))
    st.page_link(first_open(), label=f"Go to {title}")
