"""The files that can be made of a page or a notebook, each by a button, when it is clicked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from app.notebook.export_html import as_page
from app.notebook.export_ipynb import as_ipynb
from app.notebook.file import ENDING, as_file
from app.notebook.mine import Pages

FORMS: tuple[tuple[str, str, str, str], ...] = (
    ("html", "One web page (.html)", "text/html",
     "For everybody: opens in any browser, without a network, with the pictures to point at."),
    ("ipynb", "Jupyter notebook (.ipynb)", "application/x-ipynb+json",
     "For those who program: its cells run with Backward Lens, from the folder it lies in."),
    (ENDING, f"Backward Lens (.{ENDING})", "application/zip",
     "To go on with: open it again in My notebook, here or elsewhere."),
)  # fmt: skip


def file_buttons(pages: Callable[[], Pages], name: str, *, dark: bool, key: str) -> None:
    """A download button for each form; `pages` is asked when one is clicked."""
    for ending, label, kind, words in FORMS:
        st.download_button(
            label,
            data=partial(content, ending, pages, dark=dark),
            file_name=f"{name}.{ending}",
            mime=kind,
            on_click="ignore",
            key=f"{key}_{ending}",
            help=words,
            width="stretch",
        )


def content(ending: str, pages: Callable[[], Pages], *, dark: bool) -> bytes:
    """The file's content; what is drawn in one theme only is `dark` or not."""
    if ending == "html":
        return as_page(pages())
    return as_ipynb(pages(), dark=dark) if ending == "ipynb" else as_file(pages())
