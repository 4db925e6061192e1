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
from app.shell.compare_field import compare_field


@dataclass(frozen=True)
class Cell:
    """The places of a cell, from top to bottom; fill them in any order."""

    picture: DeltaGenerator
    controls: DeltaGenerator
    footer: DeltaGenerator
    key: str
    edits: int = 0  # how many edits the model of this cell has
    drawn: dict[str, tuple[alt.TopLevelMixin, bool]] = field(default_factory=dict)

    def show(self, finding: str, chart: alt.TopLevelMixin, alt_text: str, *, fit: bool) -> None:
        """The finding in one sentence, and the picture; `fit` stretches it to the page."""
        self.picture.markdown(finding)
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
        if self.edits:
            chart.title = edits_title(self.edits)  # .properties would copy it with its data
        self.drawn[name] = (chart, fit)
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
        if not self.drawn:
            return
        with row.popover("Picture", width="content"):
            for name, (chart, fit) in self.drawn.items():
                self.picture_buttons(name, chart, fit)

    def picture_buttons(self, name: str, chart: alt.TopLevelMixin, fit: bool) -> None:
        file = self.key if name == "chart" else f"{self.key}-{name}"
        for form, mime in (("png", "image/png"), ("svg", "image/svg+xml")):
            st.download_button(
                f"{file}.{form}",
                data=partial(picture, chart, form, dark=is_dark(), stretched=fit),
                file_name=f"{file}.{form}",
                mime=mime,
                on_click="ignore",
                key=f"{self.key}_{name}_{form}",
            )


def is_dark() -> bool:
    """Whether the visitor sees the dark theme."""
    return st.context.theme.type == "dark"


def page_title(question: str, technical: str = "") -> None:
    """The page's question with what can be done with the whole page, and its name in the paper,
    small."""
    head = st.container(horizontal=True, vertical_alignment="center", key="page_head")
    head.header(question, anchor=False)
    with head:
        compare_field()
    if technical:
        st.caption(technical)


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
    return Cell(box.container(), box.container(), box.container(), key, edits)
