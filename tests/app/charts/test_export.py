"""Pictures as files: whatever words stand in them, the program that draws is never brought down."""

import json
from xml.etree import ElementTree

import altair as alt
import pandas as pd
import pytest

from app.charts.export import drawable, picture
from tests.fuzz.texts import HTML, INJECTIONS, LATEX, MARKUP

HOSTILE = [*HTML, *INJECTIONS, *LATEX, *MARKUP, "]]>", "\u202ea", "a\x00b", "\x08\x1f", "\x0c"]
HOSTILE += ["\ufffe", "\uffff", "\x7f\x85", "🙂", "\U0001ffff"]


@pytest.fixture
def chart() -> alt.Chart:
    """Each text as data, and the last ones as a title and in an expression."""
    table = pd.DataFrame({"place": range(len(HOSTILE)), "text": HOSTILE})
    axis = alt.Axis(labelExpr='["\\uffff"][datum.value]')
    encoded = alt.Chart(table).mark_text().encode(alt.X("place:Q", axis=axis), text="text:N")
    return encoded.properties(title="a\uffff\x00")


def test_a_picture_of_any_words_is_a_picture_and_no_program(chart):
    tree = ElementTree.fromstring(picture(chart, "svg", dark=False, stretched=False))
    assert {part.tag.rpartition("}")[2] for part in tree.iter()} <= {
        "svg", "g", "path", "rect", "line", "text", "defs", "clipPath", "style"
    }  # fmt: skip
    names = {name for part in tree.iter() for name in part.attrib}
    assert not [name for name in names if name.startswith("on") or "href" in name]
    shown = [part.text for part in tree.iter() if part.tag.endswith("text")]
    assert "<b>kanari</b>" in shown
    assert "a\ufffdb" in shown
    assert picture(chart, "png", dark=True, stretched=True).startswith(b"\x89PNG")


@pytest.mark.parametrize("code", [*range(0x20), 0x7F, 0xFFFE, 0xFFFF])
def test_labels_that_stand_in_an_expression_are_drawn(code):
    labels = json.dumps([f"a{chr(code)}b", f"a{chr(code)}b"])
    in_hex = f'["a\\\\x{code % 256:02x}"]'
    for written in (labels, in_hex, json.dumps([chr(code)], ensure_ascii=False)):
        axis = alt.Axis(labelExpr=f"{written}[0]")
        table = pd.DataFrame({"place": [0, 1]})
        drawn = alt.Chart(table).mark_point().encode(alt.X("place:Q", axis=axis))
        ElementTree.fromstring(picture(drawn, "svg", dark=False, stretched=False))


def test_only_what_cannot_be_drawn_is_replaced():
    part = {"a\x00": ["b\uffff", ("c", 1.5, None)], "d": "é\t\n🙂\ue000"}
    assert drawable(part) == {"a\ufffd": ["b\ufffd", ["c", 1.5, None]], "d": "é\t\n🙂\ue000"}
    expression = {
        "labelExpr": r'["C:\\b", "\n\u00e9\u000a", "\b\u0001\uFFFF"]',
        "text": r"\b\u0001",
    }
    kept = {"labelExpr": r'["C:\\b", "\n\u00e9\u000a", "���"]', "text": r"\b\u0001"}
    assert drawable(expression) == kept
