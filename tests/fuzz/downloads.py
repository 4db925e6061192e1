"""The files that a page offers: made as if each were clicked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock
from xml.etree import ElementTree

import nbformat
from streamlit.elements.widgets.button import ButtonMixin

from tests.fuzz.shown import TAGS, html_problems

Files = dict[str, Callable[[], bytes]]  # by the name that the browser is told
PROGRAMS = re.compile(r"<!doctype html>|<script.*?</script>|<style.*?</style>", re.DOTALL)
WHOLE_PAGE = TAGS | {"html", "head", "meta", "body", "header", "main", "section", "noscript"}
WHOLE_PAGE |= {"fieldset", "legend", "label", "input", "figure", "dl", "dt", "dd", "details"}
WHOLE_PAGE |= {"summary"}
NAME = re.compile(r"[\w-]{1,100}\.[a-z]+")


@contextmanager
def offered() -> Iterator[Files]:
    """What the pages' download buttons offer, for as long as the context lasts."""
    files: Files = {}
    real = ButtonMixin._download_button

    def noted(self: ButtonMixin, label: str, data: object, *rest: object, **options: object):
        name = str(options.get("file_name") or (rest[0] if rest else ""))
        files[name] = data if callable(data) else lambda: data
        return real(self, label, data, *rest, **options)

    with mock.patch.object(ButtonMixin, "_download_button", noted):
        yield files


def download_problems(files: Files, picture: int | None) -> Iterator[str]:
    """What is wrong with the files and their names; of the pictures only this one is drawn."""
    pictures = [name for name in files if name.endswith(".svg")]
    drawn = pictures[picture % len(pictures)] if pictures and picture is not None else None
    for name, make in files.items():
        if not NAME.fullmatch(name):
            yield f"a file is named {name[:80]!r}"
        if name == drawn:
            yield from picture_problems(name, make())
        elif name.endswith(".csv"):
            make().decode("utf-8-sig")
        elif name.endswith((".html", ".ipynb")):
            yield from whole_page_problems(name, make()) if picture is not None else ()
        elif not name.endswith((".svg", ".png")) and not make():
            yield f"{name} is empty"


def whole_page_problems(name: str, content: bytes) -> Iterator[str]:
    """A page or notebook that was made of the page: nothing in it is more than text."""
    if name.endswith(".ipynb"):
        cells = nbformat.reads(content.decode(), 4).cells
        pages = [cell.source for cell in cells if cell.cell_type == "markdown"]
        yield from (f"{name}: Markdown in {page[:80]!r}" for page in pages if "\n" in page)
    else:
        pages = [PROGRAMS.sub("", content.decode())]
    for page in pages:
        yield from (f"{name}: {problem}" for problem in html_problems(page, WHOLE_PAGE))


def picture_problems(name: str, content: bytes) -> Iterator[str]:
    parts = {part.tag.rpartition("}")[2] for part in ElementTree.fromstring(content).iter()}
    if parts & {"script", "foreignObject", "image", "a"}:
        yield f"{name} holds more than a picture"
