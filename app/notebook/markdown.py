"""Markdown as HTML that can be nothing but text: no HTML of its own, no picture, no link.

What a visitor writes, and what stands in a file from anybody, is read here, for the page and for
the files that are made of it, so that they show the same.
"""

from __future__ import annotations

import html
from functools import cache

from markdown_it import MarkdownIt

from app.words import shown_characters

LOADS_OR_LEADS = ["image", "link", "autolink", "reference"]
FIRST_HEADING = 3  # the page's title and a cell's stand above


@cache
def reader() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    return made.disable([*LOADS_OR_LEADS, "html_block", "html_inline"])


def as_html(text: str) -> str:
    """Paragraphs, headings, lists, emphasis, code and tables; never a blank line, so that the HTML
    can stand in Markdown again."""
    tokens = reader().parse(shown_characters(text))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + FIRST_HEADING - 1)}"
    return one_block(reader().renderer.render(tokens, reader().options, {}))


def line_as_html(text: str) -> str:
    """A single line, without a paragraph around it."""
    return one_block(reader().renderInline(shown_characters(text)))


def escaped(text: str) -> str:
    """Any text, to be shown as it is."""
    return html.escape(shown_characters(text))


def one_block(written: str) -> str:
    """Without blank lines, as there are in a block of code, where they mean the same."""
    while "\n\n" in written:
        written = written.replace("\n\n", "\n&#10;")
    return written.strip("\n")
