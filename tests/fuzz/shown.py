"""What a page shows, and whether anything in it is more than text that was typed."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

from tests.fuzz.texts import MARK

# Fields that a browser shows as they are, or not at all. All others are taken for Markdown.
TEXT_FIELDS = {
    "ChatInput.default",
    "ChatInput.value",
    "Code.code_text",
    "MultiSelect.options",
    "Radio.raw_value",
    "Selectbox.options",
    "Selectbox.raw_value",
    "Text.body",
    "TextArea.default",
    "TextArea.value",
    "TextInput.default",
    "TextInput.value",
    "VegaLiteChart.alt",
}
ID_FIELDS = {"id", "query_param_key", "query_string", "placeholder", "form_id"}
ESCAPED = "\ue000"
PUNCTUATION = r"[!-/:-@\[-`{-~]"
CODE_OR_ESCAPE = re.compile(rf"\\({PUNCTUATION})|(?<!`)(`+)(?!`)(.*?)(?<!`)\2(?!`)", re.DOTALL)
LIVE = re.compile(rf"{PUNCTUATION}{MARK}|{MARK}{PUNCTUATION}")
# What Streamlit replaces in text that Markdown has left as text (app.words.REPLACED).
REPLACED = re.compile(
    r":material_\w+:|:[\w+-]+:|(?i:https?://|www\.)\w|[-.\w+]@[-\w]+\.\w"
    r"|(?<!\S)(?:<->|->|<-|--|>=|<=|~=)(?!\S)"
)
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
TAGS = {"div", "p", "span", "style", "svg", "g", "rect", "text", "title", "desc", "path", "br"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
TAGS |= {"h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "hr", "pre", "code"}
TAGS |= {"em", "strong", "s", "b"}
JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
EXPRESSIONS = {"labelExpr", "expr", "signal", "test", "calculate", "filter", "formatExpr"}


def strings(message: Message) -> Iterator[tuple[str, str]]:
    """Every text of an element, by the names of its message and field."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.message_type is not None:
            if not field.message_type.GetOptions().map_entry:
                for part in values:
                    yield from strings(part)
        elif field.type == field.TYPE_STRING and field.name not in ID_FIELDS:
            for text in values:
                yield f"{message.DESCRIPTOR.name}.{field.name}", text


def elements(block: object) -> Iterator[Message]:
    if getattr(block, "proto", None) is not None:
        yield block.proto
    for child in getattr(block, "children", {}).values():
        yield from elements(child)


def problems(at: AppTest, prompt: str | None = None) -> Iterator[str]:
    """What is wrong with what a page shows; the prompt must stand in its code as it was typed."""
    for message in elements(at._tree):
        for name, text in strings(message):
            for problem in problems_of(name, text):
                yield f"{name}: {problem}"
    for code in at.code:
        yield from code_problems(code.value, prompt)


def problems_of(name: str, text: str) -> Iterator[str]:
    if name in TEXT_FIELDS:
        return
    if name == "VegaLiteChart.spec":
        yield from specification_problems(json.loads(text))
    elif name == "Html.body":
        yield from html_problems(text)
    else:
        yield from markdown_problems(text)


def markdown_problems(text: str) -> Iterator[str]:
    """Typed mark-up that is neither escaped nor inside a code span."""
    live = CODE_OR_ESCAPE.sub(lambda found: ESCAPED, text)
    if found := LIVE.search(live):
        yield f"mark-up is alive at {around(live, found)}"
    read = CODE_OR_ESCAPE.sub(lambda found: found[1] or ESCAPED, text)
    if found := REPLACED.search(read):
        yield f"Streamlit would replace {around(read, found)}"
    if found := TURNING.search(text):
        yield f"the direction is turned at {around(text, found)}"
    if ":material/" in text:
        yield "an icon is named"


def around(text: str, found: re.Match) -> str:
    return repr(text[max(0, found.start() - 20) : found.end() + 20])


class Tags(HTMLParser):
    """Collects what is no text of ours."""

    def __init__(self, known: set[str]) -> None:
        super().__init__()
        self.known = known
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.known:
            self.found.append(f"<{tag}>")
        for name, value in attributes:
            labels = name in ("aria-label", "title")
            if name.startswith("on") or (MARK in f"{name}{value}" and not labels):
                self.found.append(f"{name}={value!r} in <{tag}>")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"<!--{data}-->")

    handle_decl = unknown_decl = handle_pi = handle_comment


def html_problems(text: str, known: set[str] = TAGS) -> Iterator[str]:
    tags = Tags(known)
    tags.feed(text)
    tags.close()
    yield from (f"{found} in HTML" for found in tags.found)


def specification_problems(part: object, key: str = "") -> Iterator[str]:
    """Typed text in a chart is data or a label: in an expression it is a text within quotes."""
    if isinstance(part, dict):
        for name, value in part.items():
            if MARK in name:
                yield f"a key of the chart is {name!r}"
            yield from specification_problems(value, name)
    elif isinstance(part, list):
        for value in part:
            yield from specification_problems(value, key)
    elif isinstance(part, str) and MARK in part:
        if key in EXPRESSIONS and MARK in JSON_STRING.sub("", part):
            yield f"an expression of the chart is {part[:80]!r}"
        if key in ("field", "href", "url", "format", "name"):
            yield f"{key} of the chart is {part[:80]!r}"


def code_problems(code: str, prompt: str | None) -> Iterator[str]:
    """The code below a picture is Python, and its prompt is what was typed."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:
        yield f"the code is no Python ({error}): {code[:200]!r}"
        return
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    named = re.search(r"(?m)^prompt\b", code)
    if prompt is not None and named and prompt not in texts:
        yield f"the code's prompt is another: {code[:200]!r}"
