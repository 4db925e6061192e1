"""Navigation, sidebar, page: the frame around every page."""

from __future__ import annotations

import streamlit as st

import core
from app.shell.navigation import PAGES
from app.shell.sidebar import sidebar
from app.words import plain
from app.work.door import admitted
from app.work.sessions import attend

# A picture wider than the page scrolls inside its cell. It opens at its left end, where its rows
# are named; a token table whose layers stand at the right opens there. The menu is kept low, so
# that a laptop shows prompt and target below.
STYLE = """<style>
.stVegaLiteChart { max-width: 100%; overflow-x: auto; }
[class*="st-key-opens_at_end_"] .stVegaLiteChart { direction: rtl; }
[class*="st-key-opens_at_end_"] .stVegaLiteChart > * { direction: ltr; margin-right: auto; }
/* The mark under the finding takes little of the picture's place. */
.st-key-backward_under_finding { margin: -1rem 0 -0.5rem; }
.st-key-backward_under_finding p { font-size: 0.8rem; }
/* The toolbar shows itself to the keyboard too; a picture in full screen grows. */
[data-testid="stElementToolbar"]:focus-within { opacity: 1; }
[data-testid="stFullScreenFrame"]:has(button[aria-label^="Close fullscreen"])
  .stVegaLiteChart { width: 100%; }
[data-testid="stFullScreenFrame"]:has(button[aria-label^="Close fullscreen"])
  .stVegaLiteChart > svg { width: 100%; height: auto; max-height: calc(100vh - 6rem); }
[data-testid="stSidebarHeader"] { height: 2rem; padding-bottom: 0; margin-bottom: 0; }
[data-testid="stSidebarNavLink"] { min-height: 24px; line-height: 24px; margin: 0; }
[data-testid="stSidebarNavLink"] * { line-height: 24px; }
[data-testid="stSidebarNavItems"] li { margin: 0; }
[data-testid="stSidebarNavItems"] { padding-bottom: 0; }
[data-testid="stSidebarNavSeparator"] { padding-top: 8px; }
[data-testid="stSidebarUserContent"] { padding-top: 10px; }
[data-testid="stSidebarUserContent"] [data-testid="stVerticalBlock"] { gap: 0.55rem; }
</style>"""


def main() -> None:
    attend()
    with admitted():
        draw()


def draw() -> None:
    st.set_page_config(page_title="Backward Lens", page_icon="🔎", layout="wide")
    pages = [
        st.Page(f"../pages/{file}", title=title, url_path=path, default=not path)
        for file, title, path in PAGES
    ]
    page = st.navigation(pages, expanded=True)
    st.html(STYLE)
    sidebar(page.url_path)
    try:
        page.run()
    except core.BackwardLensError as error:  # a model that fails while it runs
        st.error(plain(str(error)))


main()
