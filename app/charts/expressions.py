"""Whether an expression of Vega's only counts and words things, as those of our charts do."""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    r"|(?P<member>\.[A-Za-z_]\w*)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>[-+*/%<>=!&|?:,()\[\]])|(?P<space>\s+)",
    re.DOTALL,
)
NAMES = {
    "datum", "format", "floor", "ceil", "round", "abs", "log", "pow", "min", "max", "split",
    "length", "LN10", "true", "false", "null", "isValid",
}  # fmt: skip
HIDDEN = {".constructor", ".prototype"}  # and whatever begins with an underscore
LONGEST = 60_000


def is_plain_expression(text: str) -> bool:
    """Only known functions, members of `datum`, numbers, texts and signs. A place in brackets is
    that of a list and is counted, never named."""
    place, before, named = 0, "", []
    if len(text) > LONGEST:
        return False
    while place < len(text):
        found = TOKEN.match(text, place)
        if found is None:
            return False
        kind, token, place = found.lastgroup, found[0], found.end()
        if kind == "space":
            continue
        if kind == "name" and token not in NAMES:
            return False
        if kind == "member" and (before != "datum" or token in HIDDEN or token[1] == "_"):
            return False
        if token == "[":
            if before and (before[-1].isalnum() or before[-1] in "_\"'"):
                return False  # a member by its name
            named.append(before in (")", "]"))
        elif token == "]":
            if not named:
                return False
            named.pop()
        elif kind == "text" and any(named):
            return False
        before = token
    return not named
