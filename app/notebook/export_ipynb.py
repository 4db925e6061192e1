"""A page or a notebook as a Jupyter notebook: each cell's code, with what it gave as its output.

It runs where Backward Lens is: from its folder, in a fresh environment. The edits travel inside.
"""

from __future__ import annotations

import base64
import json

import altair as alt
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from app.charts.export import drawn
from app.charts.plain import with_rows
from app.notebook.about import about
from app.notebook.asked import EDIT_LOADED
from app.notebook.kept import KeptCell, KeptChart, KeptText, frame
from app.notebook.markdown import as_html, escaped, line_as_html
from app.notebook.mine import Pages
from app.notebook.our_code import is_ours
from app.notebook.table_html import table_html

UNTITLED = "My notebook"
CHART = f"application/vnd.vegalite.{alt.SCHEMA_VERSION.split('.')[0]}+json"
SHOWN_ROWS = 60  # of a table below its code
HOW_TO = (
    "Made with Backward Lens. To run it again, start Jupyter in the folder of Backward Lens, with "
    "the packages of its requirements.txt. What stands below each cell is what was kept."
)
NOT_RUN = "This code is shown and not run: it is not as Backward Lens writes it."
EDITS_HEAD = """from base64 import b64decode

from core import edit_from_bytes

# The files of the edits that the cells below had on, by the ids of their contents.
"""
EDITS_END = """

def kept_edit(name, model):
    return edit_from_bytes(b64decode(EDITS[name]), model)
"""


def as_ipynb(pages: Pages, *, dark: bool) -> bytes:
    """Its pictures as they are in this theme."""
    title = f"<h1>{escaped(pages.title or UNTITLED)}</h1><p>{HOW_TO}</p>"
    cells = [new_markdown_cell(in_markdown(title))]
    if pages.edits:
        cells.append(new_code_cell(edits_code(pages)))
    for entry in pages.entries:
        if isinstance(entry, KeptText):
            cells.append(new_markdown_cell(in_markdown(as_html(entry.text))))
        else:
            cells += kept_cells(entry, pages, dark)
    for place, cell in enumerate(cells):
        cell["id"] = f"cell-{place}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    made = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.validate(made)
    return nbformat.writes(made).encode("utf-8")


def kept_cells(cell: KeptCell, pages: Pages, dark: bool) -> list[NotebookNode]:
    """What it says, and its code with its outputs."""
    words = new_markdown_cell(in_markdown(words_html(cell, pages)))
    outputs = [output_of(chart, dark) for chart in cell.charts if chart.size]
    if is_ours(cell.code):
        return [words, new_code_cell(run_code(cell, pages), outputs=[*outputs, table_of(cell)])]
    shown = f"<p>{NOT_RUN}</p><pre>{escaped(cell.code)}</pre>"
    return [
        words,
        new_markdown_cell(in_markdown(shown)),
        new_code_cell("", outputs=[*outputs, table_of(cell)]),
    ]


def words_html(cell: KeptCell, pages: Pages) -> str:
    lines = [f"<h2>{line_as_html(cell.title)}</h2>", as_html(cell.words)]
    lines += [f"<p><b>Finding.</b></p>{as_html(finding)}" for finding in cell.findings]
    items = "".join(
        f"<li>{escaped(name)}: {escaped(text)}</li>" for name, text in about(cell, pages.edits)
    )
    return "".join([*lines, f"<ul>{items}</ul>"])


def in_markdown(html: str) -> str:
    """HTML in which Markdown and formulas find nothing: without line breaks and dollar signs."""
    html = html.replace("\r", "").replace("$", "&#36;")
    before, *blocks = html.split("<pre>")
    parts = [before.replace("\n", " ")]
    for block in blocks:
        code, _, after = block.partition("</pre>")
        parts.append("<pre>" + code.replace("\n", "&#10;") + "</pre>" + after.replace("\n", " "))
    return f"<div>{''.join(parts)}</div>"


def edits_code(pages: Pages) -> str:
    names = {edit.id: edit.name for cell in pages.cells for edit in cell.edits}
    lines = []
    for name, content in pages.edits.items():
        text = base64.b64encode(content).decode()
        lines.append(f"    # {json.dumps(names.get(name, ''), ensure_ascii=True)}")
        lines.append(f'    "{name}": "{text}",')
    return EDITS_HEAD + "\n".join(["EDITS = {", *lines, "}"]) + EDITS_END.rstrip("\n")


def run_code(cell: KeptCell, pages: Pages) -> str:
    """The cell's code, with the edits that travel inside in place of files; it shows the table."""
    here = [edit.id for edit in cell.edits if edit.id in pages.edits]
    code = cell.code
    if here and len(here) == len(cell.edits) == len(EDIT_LOADED.findall(code)):
        ids = iter(here)
        code = EDIT_LOADED.sub(lambda _: f'kept_edit("{next(ids)}"', code)
        code = code.replace("  # downloaded from “Your edits”", "")
    return f"{code}\ntable"


def output_of(chart: KeptChart, dark: bool) -> NotebookNode:
    """The interactive picture for those who can show it, and an image for all others."""
    spec, seen_dark = chart.spec(dark=dark)
    rows = with_rows(spec) | {"description": chart.alt}
    data = {CHART: rows, "text/plain": chart.alt}
    try:
        image = drawn(rows, "png", dark=seen_dark, stretched=chart.fit)
        data["image/png"] = base64.b64encode(image).decode()
    except ValueError:  # what cannot be drawn here may be drawn there
        pass
    return new_output("display_data", data=data)


def table_of(cell: KeptCell) -> NotebookNode:
    columns = cell.columns
    text = frame(columns).to_string(max_rows=SHOWN_ROWS, max_colwidth=60)
    return new_output(
        "display_data",
        data={"text/html": table_html(columns, SHOWN_ROWS), "text/plain": text},
    )
