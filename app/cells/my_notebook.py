"""My notebook on the page: its title, its entries, and what can be done with each."""

from __future__ import annotations

import streamlit as st

import core
from app.charts.plain import with_arrow
from app.charts.token_table import OPENS_AT_END
from app.notebook.about import about, edits_line, summary
from app.notebook.cell import is_dark
from app.notebook.csv import as_csv
from app.notebook.kept import Entry, KeptCell, KeptChart, KeptText, frame
from app.notebook.live import can_open, open_live
from app.notebook.markdown import as_html, line_as_html
from app.notebook.mine import (
    MOST_CELLS,
    TEXT_CHARACTERS,
    TITLE_CHARACTERS,
    Notebook,
    notebook,
)
from app.words import count, plain
from app.workshop.visit import page_is_open

TITLE = "notebook_title"
WRITING = "notebook_text_in_hand"  # in the session: the id of the text that is being written
PROBLEM = "notebook_problem"
NO_PICTURE = (
    "This picture is not shown: the notebook's file holds more in it than a chart of ours has."
)


def title_field(mine: Notebook) -> None:
    st.session_state[TITLE] = mine.pages.title
    st.text_input(
        "Title of your notebook",
        key=TITLE,
        max_chars=TITLE_CHARACTERS,
        placeholder="For example: What do French cities share?",
        on_change=lambda: notebook().set_title(st.session_state[TITLE]),
    )


def entries(mine: Notebook) -> None:
    """Every entry from top to bottom, with places to write between them."""
    look()
    if problem := st.session_state.pop(PROBLEM, ""):
        st.error(plain(problem))
    pages = mine.pages
    row = st.container(horizontal=True, vertical_alignment="center", key="notebook_tools")
    cells = count(len(pages.cells), "cell")
    row.caption(
        f"{cells} of at most {MOST_CELLS}. Kept on this server until you close the browser "
        "or it restarts: save it as a file to have it longer.",
        width="stretch",
    )
    if mine.before is not None:
        row.button(
            "Undo",
            on_click=change,
            args=("undo",),
            key="notebook_undo",
            help="Brings back what was removed or replaced last.",
        )
    row.button("Write text at the top", on_click=write, args=(None,), key="write_top")
    for place, entry in enumerate(pages.entries):
        ends = (place == 0, place == len(pages.entries) - 1)
        with st.container(border=True, key=f"kept_{entry.id}"):
            if isinstance(entry, KeptText):
                text_entry(entry, ends)
            else:
                cell_entry(mine, entry, ends)


def shown(text: str) -> None:
    """HTML of ours, in the page's own look."""
    st.html(f'<div class="kept">{text}</div>')


def look() -> None:
    """How the text of entries looks, as text elsewhere on the pages does."""
    colour = st.get_option(f"theme.{'dark' if is_dark() else 'light'}.codeTextColor") or "inherit"
    st.html(
        "<style>.kept h3 { padding: 0 0 .3rem; } .kept p { margin: 0 0 .4rem; }"
        f".kept code {{ font-size: .8em; color: {colour}; background: rgba(128,128,128,.12);"
        " padding: .1em .3em; border-radius: .25rem; }"
        ".kept th, .kept td { padding: .1rem .7rem .1rem 0; text-align: left; }</style>"
    )


def nothing_yet(mine: Notebook) -> None:
    st.info(
        "Nothing is kept yet. Press **Keep** under any picture: it comes here with its finding, "
        "its numbers and what you asked. Write your own words between, then save it all as one "
        "page for others, or as a Jupyter notebook."
    )
    row = st.container(horizontal=True)
    if page_is_open("backward_lens"):
        row.page_link("../pages/backward_lens.py", label="Go to Backward lens", width="content")
    row.button("Write text first", on_click=write, args=(None,), key="write_top")
    if mine.before is not None:
        row.button("Undo", on_click=change, args=("undo",), key="notebook_undo")


def cell_entry(mine: Notebook, cell: KeptCell, ends: tuple[bool, bool]) -> None:
    shown(f"<h3>{line_as_html(cell.title)}</h3>{as_html(cell.words)}")
    st.caption(plain(summary(cell)))
    edits = edits_line(cell, mine.pages.edits)
    if edits:
        st.caption(plain(f"With the edits {edits}" if len(cell.edits) > 1 else f"With {edits}"))
    for finding in cell.findings:
        shown(as_html(finding))
    for chart in cell.charts:
        show_chart(cell, chart)
    footer = st.container(horizontal=True, vertical_alignment="top")
    with footer.expander("Show code and what was asked"):
        st.code(cell.code, language="python")
        for name, text in about(cell, mine.pages.edits):
            st.caption(plain(f"{name}: {text}"))
    footer.download_button(
        "Download CSV",
        data=lambda: as_csv(frame(cell.columns)),
        file_name=f"{cell.key}.csv",
        mime="text/csv",
        on_click="ignore",
        key=f"kept_csv_{cell.id}",
    )
    if can_open(cell):
        footer.button(
            "Open it live",
            on_click=open_live,
            args=(cell, mine.pages),
            key=f"kept_live_{cell.id}",
            help="Sets the model, the prompt, the target, the controls and the edits as they were, "
            "and leads to the page.",
        )
    tools(cell, ends)


def show_chart(cell: KeptCell, chart: KeptChart) -> None:
    if not chart.size:
        st.caption(NO_PICTURE)
        return
    spec, _ = chart.spec(dark=is_dark())
    place = st.container()
    if spec.get("usermeta") == OPENS_AT_END:
        place = st.container(key=f"opens_at_end_kept_{cell.id}_{chart.name}")
    place.vega_lite_chart(
        None,
        with_arrow(spec),
        width="stretch" if chart.fit else "content",
        key=f"kept_chart_{cell.id}_{chart.name}",
        alt=chart.alt,
    )


def text_entry(entry: KeptText, ends: tuple[bool, bool]) -> None:
    writing = st.session_state.get(WRITING) == entry.id or not entry.text
    key = f"kept_text_{entry.id}"
    if writing:
        st.session_state.setdefault(key, entry.text)  # what could not be taken stays in the field
        st.text_area(
            "Your text",
            key=key,
            max_chars=TEXT_CHARACTERS,
            on_change=set_text,
            args=(entry.id, key),
            placeholder="What you expected, what you see, what follows. Markdown: # Heading, "
            "**bold**, - list",
        )
    else:
        shown(as_html(entry.text))
    row = st.container(horizontal=True)
    if writing:
        row.button("Done", on_click=write_done, key=f"kept_done_{entry.id}", type="primary")
    else:
        row.button("Change the text", on_click=rewrite, args=(entry.id,), key=f"rewrite_{entry.id}")
    tools(entry, ends, row)


def tools(entry: Entry, ends: tuple[bool, bool], row: object = None) -> None:
    """Move, write below, remove."""
    row = row or st.container(horizontal=True)
    first, last = ends
    for name, label, by, off in (("up", "Move up", -1, first), ("down", "Move down", 1, last)):
        row.button(
            label,
            on_click=change,
            args=("move", entry.id, by),
            disabled=off,
            key=f"kept_{name}_{entry.id}",
            type="tertiary",
        )
    row.button(
        "Write text below",
        on_click=write,
        args=(entry.id,),
        key=f"write_{entry.id}",
        type="tertiary",
    )
    row.button(
        "Remove",
        on_click=change,
        args=("remove", entry.id),
        key=f"kept_remove_{entry.id}",
        type="tertiary",
    )


def change(what: str, *given: object) -> None:
    """A change of the notebook by the name of its method; for callbacks."""
    try:
        getattr(notebook(), what)(*given)
    except core.BackwardLensError as error:
        st.session_state[PROBLEM] = str(error)


def write(after: str | None) -> None:
    try:
        st.session_state[WRITING] = notebook().write(after)
    except core.BackwardLensError as error:
        st.session_state[PROBLEM] = str(error)


def rewrite(entry_id: str) -> None:
    st.session_state[WRITING] = entry_id


def write_done() -> None:
    """An empty text is taken away again."""
    st.session_state[WRITING] = None
    notebook().drop_empty()


def set_text(entry_id: str, key: str) -> None:
    change("set_text", entry_id, st.session_state[key])
