"""The notebook cell: title, plain words, finding, picture, controls, code and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.charts.export import picture
from app.charts.spec import specification
from app.charts.token_table import OPENS_AT_END
from app.notebook.csv import as_csv
from app.notebook.files import file_buttons
from app.notebook.keep import Drawn, begin_page, finished, keep_button
from app.shell.compare_field import compare_field
from app.shell.state import PAGE


@dataclass(frozen=True)
class Cell:
    """The places of a cell, from top to bottom; fill them in any order."""

    picture: DeltaGenerator
    controls: DeltaGenerator
    footer: DeltaGenerator
    key: str
    edits: int = 0  # how many edits the model of this cell has
    title: str = ""
    words: str = ""
    drawn: dict[str, Drawn] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)  # the findings

    def say(self, finding: str, where: DeltaGenerator | None = None) -> None:
        """A finding, by default where the picture is."""
        self.said.append(finding)
        (where or self.picture).markdown(finding)

    def show(self, finding: str, chart: alt.TopLevelMixin, alt_text: str, *, fit: bool) -> None:
        """The finding in one sentence, and the picture; `fit` stretches it to the page."""
        self.say(finding)
        self.draw(chart, alt_text, fit=fit)

    def draw(
        self,
        chart: alt.TopLevelMixin,
        alt_text: str,
        *,
        name: str = "chart",
        fit: bool = False,
        where: DeltaGenerator | None = None,
        on_select: str | Callable[[], None] = "ignore",
    ) -> None:
        """A picture, by default below what the cell shows already; `name` tells several apart."""
        title = edits_title(self.edits) if self.edits else ""
        if title:
            chart.title = title  # .properties would copy it with its data
        self.drawn[name] = Drawn(chart, fit, alt_text, is_dark(), title)
        where = where or self.picture
        if chart.usermeta == OPENS_AT_END:
            where = where.container(key=f"opens_at_end_{self.key}_{name}")
        where.vega_lite_chart(
            None,
            specification(chart),
            width="stretch" if fit else "content",
            key=f"{self.key}_{name}",
            alt=alt_text,
            on_select=on_select,
        )

    def finish(self, code: str, table: pd.DataFrame) -> None:
        """The code that made the picture, its numbers as CSV, and the picture as a file."""
        row = self.footer.container(horizontal=True, vertical_alignment="top")
        with row.expander("Show code"):
            st.code(code, language="python")
        row.download_button(
            "Download CSV",
            data=lambda: as_csv(table),
            file_name=f"{self.key}.csv",
            mime="text/csv",
            on_click="ignore",
            key=f"{self.key}_csv",
        )
        if self.drawn:
            with row.popover("Picture", width="content"):
                for name, drawn in self.drawn.items():
                    self.picture_buttons(name, drawn)
        keep_button(
            row,
            finished(self.key, self.title, self.words, self.said, self.drawn, code, table),
        )

    def picture_buttons(self, name: str, drawn: Drawn) -> None:
        file = self.key if name == "chart" else f"{self.key}-{name}"
        for form, mime in (("png", "image/png"), ("svg", "image/svg+xml")):
            st.download_button(
                f"{file}.{form}",
                data=partial(picture, drawn.chart, form, dark=drawn.dark, stretched=drawn.fit),
                file_name=f"{file}.{form}",
                mime=mime,
                on_click="ignore",
                key=f"{self.key}_{name}_{form}",
            )


def is_dark() -> bool:
    """Whether the visitor sees the dark theme."""
    return st.context.theme.type == "dark"


def page_title(question: str, technical: str = "", *, whole: bool = True) -> DeltaGenerator:
    """The page's question, and its name in the paper, small; the row beside the question, for what
    can be done with the `whole` page: it can be downloaded, unless the page has its own way."""
    drawn = begin_page(question, technical)
    head = st.container(horizontal=True, vertical_alignment="center", key="page_head")
    head.header(question, anchor=False)
    with head:
        compare_field()
    if whole:
        with head.popover("Download this page"):
            name = st.session_state.get(PAGE) or "start"
            file_buttons(drawn.pages, name, dark=is_dark(), key="page")
    if technical:
        st.caption(technical)
    return head


def edits_title(edits: int) -> str:
    return f"The model with {edits} of your edits" if edits > 1 else "The model with your edit"


def cell(number: int, title: str, words: str, *, key: str, original: bool = False) -> Cell:
    """A numbered cell with two sentences: what you see, and how to read it.

    Its charts say how many of the session's edits are active, unless they are of the `original`
    model.
    """
    request = st.session_state.get("request")
    edits = 0 if original or request is None else len(request.entries)
    box = st.container(border=True, key=f"cell_{key}")
    box.markdown(f"**{number} · {title}**  \n{words}")
    places = box.container(), box.container(), box.container()
    return Cell(*places, key, edits, title, words)
