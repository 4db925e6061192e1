"""Navigation, sidebar, page: the frame around every page."""

from __future__ import annotations

import streamlit as st

import core
from app.cells.lesson_bar import lesson_bar
from app.shell.history import record
from app.shell.history_field import history_field
from app.shell.menu import closed_page, is_open, menu
from app.shell.navigation import WORKSHOP_PAGE
from app.shell.sidebar import sidebar
from app.shell.state import PROMPT, SUBJECT, TARGET
from app.shell.tour import tour, tour_button
from app.words import plain
from app.work.sessions import AT_ONCE, attend, session_jobs, this_person
from app.work.turnstile import admitted
from app.workshop import limits
from app.workshop.door import door
from app.workshop.gate import come_in, keep_code
from app.workshop.notice import notices
from app.workshop.room import be_here
from core.model.locks import person

# A picture wider than the page scrolls inside its cell. It opens at its left end, where its rows
# are named; a token table whose layers stand at the right opens there. The menu's groups show below
# each page's title what it answers, which Streamlit keeps for a tooltip.
STYLE = """<style>
.stVegaLiteChart { max-width: 100%; overflow-x: auto; }
[class*="st-key-opens_at_end_"] .stVegaLiteChart { direction: rtl; }
[class*="st-key-opens_at_end_"] .stVegaLiteChart > * { direction: ltr; margin-right: auto; }
/* The mark under the finding takes little of the picture's place. */
.st-key-backward_under_finding { margin: -1rem 0 -0.5rem; }
.st-key-backward_under_finding p { font-size: 0.8rem; }
/* A token in small print is as dark as the print around it. */
[data-testid="stCaptionContainer"] code { color: inherit; background: none; }
/* The dark theme's accent is light: what stands on it is dark. */
[data-testid^="stBaseButton-primary"] p, [data-testid="stMultiSelect"] span[title] {
  color: light-dark(#ffffff, #14161a); }
/* The toolbar shows itself to the keyboard too; a picture in full screen grows. */
[data-testid="stElementToolbar"]:focus-within { opacity: 1; }
[data-testid="stFullScreenFrame"]:has(button[aria-label^="Close fullscreen"])
  .stVegaLiteChart { width: 100%; }
[data-testid="stFullScreenFrame"]:has(button[aria-label^="Close fullscreen"])
  .stVegaLiteChart > svg { width: 100%; height: auto; max-height: calc(100vh - 6rem); }
[data-testid="stHeader"] { height: 2.5rem; min-height: 2.5rem; }
[data-testid="stMainBlockContainer"] { padding-top: 2.7rem; }
[data-testid="stTopNavPopoverBody"] [data-testid="stTopNavLinkContainer"] { position: relative; }
[data-testid="stTopNavDropdownLink"]::after { content: ""; position: absolute; inset: 0; }
[data-testid="stTopNavPopoverBody"] [data-testid="stTopNavLinkContainer"] > [aria-hidden="true"] {
  position: static; width: auto; height: auto; max-width: 22rem; margin: 0; clip: auto;
  clip-path: none; overflow: visible; white-space: normal; padding: 0 0.5rem 0.45rem; }
[data-testid="stTopNavPopoverBody"] [data-testid="stTopNavLinkContainer"] > [aria-hidden="true"] p {
  font-size: 0.8rem; line-height: 1.2; opacity: 0.8; }
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
    person.set(this_person())
    with admitted():
        draw()


def draw() -> None:
    st.set_page_config(page_title="Backward Lens", page_icon="🔎", layout="wide")
    let_in = come_in()
    page = menu(let_in)
    st.html(STYLE)
    if not let_in:
        door({PROMPT: "Prompt", SUBJECT: "Subject", TARGET: "Target"})
        return
    keep_code(page.url_path == WORKSHOP_PAGE.path)
    attend()
    st.session_state[AT_ONCE] = limits.jobs_at_once()
    be_here(session_jobs())
    if not is_open(page.url_path):
        closed_page(page.url_path)
        return
    tour(page.url_path)
    sidebar(page.url_path)
    record(page.url_path)
    with st.sidebar:
        history_field()
        tour_button()
    notices()
    lesson_bar(page.url_path)
    try:
        page.run()
    except core.BackwardLensError as error:  # a model that fails while it runs
        st.error(plain(str(error)))


main()
