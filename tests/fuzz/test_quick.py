"""The quick part: 300 hostile texts through all pages, 100 damaged files of each kind."""

import pytest

from app.shell.models import preload_default
from app.words import code_span, plain
from tests.fuzz.damage import READERS
from tests.fuzz.reading import read
from tests.fuzz.shown import markdown_problems, problems_of
from tests.fuzz.steps import FILES
from tests.fuzz.texts import DIRECTIVES, HTML, INJECTIONS, LATEX, MARKUP, PATHS
from tests.fuzz.visits import Visitor, all_visits

SEED, INPUTS, DAMAGED, AT_ONCE = 1, 300, 100, 25


@pytest.fixture(scope="module")
def visitor() -> Visitor:
    preload_default()
    return Visitor(drawn=5)


@pytest.mark.parametrize("file", FILES)
def test_a_page_keeps_and_shows_any_text_or_says_a_sentence(visitor, file):
    visits = [visit for visit in all_visits(SEED, INPUTS) if visit.file == file]
    assert len(visits) >= 8
    outcomes = [visitor.make(visit) for visit in visits]
    assert [(str(one.visit), one.problems) for one in outcomes if one.problems] == []


@pytest.mark.parametrize("first", range(0, DAMAGED, AT_ONCE))
@pytest.mark.parametrize("kind", READERS)
def test_a_damaged_file_is_read_or_refused_with_a_sentence(kind, first):
    readings = [read(kind, SEED, number) for number in range(first, first + AT_ONCE)]
    assert [(str(one), one.problem) for one in readings if one.problem] == []


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("Markdown.body", "The subject **kanari** is"),
        ("Button.label", "Use <b>kanari</b>"),
        ("Alert.body", "no `x` but [kanari](http\\://a)"),
        ("Alert.body", "see www.a.com"),
        ("Alert.body", "a -> b"),
        ("Alert.body", "`:material/home:`"),
        ("Alert.body", "\u202eturned"),
        ("Html.body", "<div><script>x</script></div>"),
        ("Html.body", '<div onload="x">'),
        ("Html.body", '<div class="<kanari>">'),
        ("VegaLiteChart.spec", '{"axis": {"labelExpr": "datum[kanari]"}}'),
        ("VegaLiteChart.spec", '{"href": "kanari"}'),
    ],
)
def test_what_is_more_than_text_is_noticed(field, text):
    """The tests above can fail."""
    assert list(problems_of(field, text))


def test_what_is_shown_as_text_is_no_problem():
    for text in (*DIRECTIVES, *HTML, *INJECTIONS, *LATEX, *MARKUP, *PATHS):
        for shown in (plain(text), f"It is {code_span(text)}: no."):
            assert list(markdown_problems(shown)) == [], shown
