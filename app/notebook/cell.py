"""The notebook cell: title, plain words, finding, picture, controls, code and table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.charts.export import picture
from app.words import file_name

LIST_SEPARATOR = " | "


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
            chart = chart.properties(title=edits_title(self.edits))
        self.drawn[name] = (chart, fit)
        (where or self.picture).altair_chart(
            chart,
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
        dark = st.context.theme.type == "dark"
        file = self.key if name == "chart" else f"{self.key}-{name}"
        for form, mime in (("png", "image/png"), ("svg", "image/svg+xml")):
            st.download_button(
                f"{file}.{form}",
                data=partial(picture, chart, form, dark=dark, stretched=fit),
                file_name=f"{file}.{form}",
                mime=mime,
                on_click="ignore",
                key=f"{self.key}_{name}_{form}",
            )


def page_title(question: str, technical: str) -> None:
    """The page's question, and its name in the paper, small."""
    st.header(question, anchor=False)
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


def as_csv(table: pd.DataFrame) -> bytes:
    """UTF-8 with a mark, so that spreadsheets read accents; lists are joined with " | "."""
    flat = table.copy()
    for column in flat.columns:
        if flat[column].map(lambda value: isinstance(value, list)).any():
            flat[column] = flat[column].map(
                lambda values: LIST_SEPARATOR.join(
                    value if isinstance(value, str) else f"{value:.6g}" for value in values
                )
            )
    return flat.to_csv(index=False, lineterminator="\r\n").encode("utf-8-sig")


def code_lines(request: object, *lines: str) -> str:
    """Python that reproduces a cell through core, with the current inputs filled in.

    Lines use `model`, `prompt` and `target`, and `subject` if they name it; the last one is the
    table.
    """
    names = [name for name in CORE_NAMES if re.search(rf"\b{name}\(", "\n".join(lines))]
    head = [
        f"from core import {', '.join(sorted(['load_model', *names]))}",
        "",
        f"model = load_model({literal(request.model_name)})",
        f"prompt, target = {literal(request.prompt)}, {literal(request.target)}",
    ]
    if request.entries:
        names.append("Edit")
        files = [literal(f"{file_name(entry.name)}.safetensors") for entry in request.entries]
        loads = ", ".join(f"Edit.load({file}, model)" for file in files)
        head[0] = f"from core import {', '.join(sorted(['load_model', *names]))}"
        head.append(f"edits = [{loads}]  # downloaded from “Your edits”")
        lines = [EDITABLE_CALL.sub(r"\1, edits=edits)", line) for line in lines]
    if any("subject" in line for line in lines):
        head.append(f"subject = {literal(request.subject)}")
    return "\n".join([*head, *lines])


# Calls whose result depends on the active edits.
EDITABLE_CALL = re.compile(r"(\b(?:trace|forward_lens|rank_curve)\((?!.*edits=)[^()]*)\)")

CORE_NAMES = (
    "trace",
    "forward_lens",
    "backward_lens",
    "gradient_rank",
    "rank_curve",
    "vjp_norms",
    "segments",
    "segment_means",
    "imprint_and_shift",
    "imprint_copies",
    "gradient_neurons",
    "gradient_span",
    "neuron_overlap",
    "layer_similarity",
    "load_counterfact",
    "study",
    "side_by_side",
    "answers",
    "change_sizes",
    "side_effects",
    "compare_methods",
)


def literal(text: str) -> str:
    """A Python string literal with double quotes; JSON's escapes mean the same in Python."""
    return json.dumps(text, ensure_ascii=False)
