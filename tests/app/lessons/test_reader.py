"""A teacher's files: what is written is what is shown, and a slip of the pen is a sentence."""

import pytest

from app.lessons import reader
from app.lessons.facts import NUMBERS, WORDS
from app.lessons.reader import SHIPPED, lessons
from app.lessons.unit import KINDS, PICTURES, Wanted
from app.settings import LESSONS

GOOD = """
title = "A first one"
idea = "An idea."
task = "Do this."
hints = ["One.", "Two."]
think = "Why?"
picture = "norms"

[[examples]]
prompt = "Obama grew up in"
target = "Paris"

[show_me]
say = "So."

[check]
kind = "request"
question = "Is it so?"

[[check.wanted]]
of = "target_place"
at_least = 2
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(LESSONS.name, str(tmp_path))
    reader.read_folder.cache_clear()
    return tmp_path


def problem(folder, text: str | bytes, name: str = "1-a.toml") -> str:
    """The one sentence about a file beside which a good one is still shown."""
    (folder / "2-good.toml").write_text(GOOD, encoding="utf-8")
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    found = lessons()
    assert [unit.id for unit in found.units] == ["2-good"]
    (sentence,) = found.problems
    assert sentence.endswith((".", "?"))
    assert len(sentence) < 700
    return sentence


def test_a_file_is_a_unit(folder):
    (folder / "b.toml").write_text(GOOD.replace("A first one", "Second"), encoding="utf-8")
    (folder / "a.toml").write_text("\ufeff" + GOOD, encoding="utf-8")  # as Notepad saves it
    (folder / "notes.txt").write_text("not a lesson", encoding="utf-8")
    (folder / "question.toml").write_text('question = "How so?"', encoding="utf-8")
    found = lessons()
    assert [unit.title for unit in found.units] == ["A first one", "Second"]
    assert found.question == "How so?"
    assert found.problems == ()
    (first, second) = found.units
    assert first.check.wanted == (Wanted("target_place", at_least=2),)
    assert first.picture == "norms"
    assert found.after(first) == second
    assert found.after(second) is None
    assert found.number(second) == 2


def test_a_change_of_a_file_is_seen(folder):
    (folder / "a.toml").write_text(GOOD, encoding="utf-8")
    assert lessons().units[0].title == "A first one"
    (folder / "a.toml").write_text(GOOD.replace("A first one", "Another"), encoding="utf-8")
    assert lessons().units[0].title == "Another"


def test_without_the_setting_the_shipped_ones(monkeypatch):
    monkeypatch.delenv(LESSONS.name, raising=False)
    assert len(lessons().units) == len(list(SHIPPED.glob("[0-9]*.toml"))) == 6


def test_an_empty_folder_and_one_that_is_gone(folder):
    assert lessons().units == lessons().problems == ()
    folder.rmdir()
    assert lessons().units == ()


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('title = "A first one"', 'titel = "A"', ["1-a.toml, title", "missing", "“titel”"]),
        ('title = "A first one"', "title = 3", ["1-a.toml, title", "a text in quotes"]),
        ('title = "A first one"', 'title = "  "', ["title", "empty"]),
        ('idea = "An idea."', f'idea = "{"x" * 5000}"', ["idea", "5,000 letters"]),
        ('picture = "norms"', 'picture = "norm"', ["picture", "“norm”", "Is norms meant?"]),
        ('picture = "norms"', 'page = "edits"', ["page", "Is edit meant?"]),
        ('think = "Why?"', 'think = "Why?"\nhint = "x"', ["“hint”", "Is hints meant?"]),
        ('hints = ["One.", "Two."]', "hints = []", ["hints", "empty"]),
        ('hints = ["One.", "Two."]', 'hints = "One."', ["hints", "a list of texts"]),
        ('hints = ["One.", "Two."]', 'hints = ["One.", 2]', ["hints", "a list of texts"]),
        ("[[examples]]", "[examples]", ["examples", "[[examples]]"]),
        ('prompt = "Obama grew up in"', 'promt = "x"', ["[[examples]] 1, prompt", "missing"]),
        ('target = "Paris"', 'target = "Paris"\nsubject = "Merkel"', ["part of the prompt"]),
        ("[show_me]", "[showme]", ["show_me", "is missing"]),
        ('kind = "request"', 'kind = "requests"', ["[check], kind", "Is request meant?"]),
        ('kind = "request"', 'kind = "__import__"', ["[check], kind", "is not known"]),
        ('kind = "request"', 'kind = "number"\nof = "answer"', ["[check], of", "not known"]),
        ('of = "target_place"', 'of = "target_plaice"', ["[[wanted]] 1, of", "target_place meant"]),
        ("at_least = 2", 'at_least = "two"', ["at_least", "a number"]),
        ("at_least = 2", "at_least = true", ["at_least", "a number"]),
        ("at_least = 2", "at_least = nan", ["at_least", "too large, or none"]),
        ("at_least = 2", "at_leest = 2", ["“at_leest”", "Is at_least meant?"]),
        ("at_least = 2", "", ["at_least or at_most"]),
        ("at_least = 2", "at_least = 2\nat_most = 1", ["at_most", "nothing can fit"]),
        ('say = "So."', 'say = "So."\nhighlight = "x} body {"', ["highlight"]),
        ('say = "So."', 'say = "So."\nstrength = "huge"', ["strength", "auto, fixed"]),
    ],
)
def test_a_slip_of_the_pen_names_the_file_and_the_key(folder, old, new, parts):
    assert old in GOOD
    sentence = problem(folder, GOOD.replace(old, new, 1))
    for part in parts:
        assert part in sentence
    assert sentence.startswith("1-a.toml")


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe\x00",
        "title = 'no end",
        "a = " + "[" * 5000,
        "a = " + "1" * 9000,
        "x = 1\n" * 50_000,
        "title = 1979-05-27",
        "",
        "\x00",
        "title = '</style><script>alert(1)</script>'",
    ],
    ids=range(9),
)
def test_hostile_files_are_sentences(folder, text):
    assert problem(folder, text).startswith("1-a.toml")


def test_a_fraction_needs_a_tolerance(folder):
    head = GOOD[: GOOD.index("[check]")] + '[check]\nkind = "number"\nquestion = "?"\n'
    probability = head + 'of = "answer_probability"\n'
    assert "say how near, as in 0.05." in problem(folder, probability)
    assert "0 or more" in problem(folder, probability + "tolerance = -1\n")
    (folder / "1-a.toml").write_text(probability + "tolerance = 0.05\n", encoding="utf-8")
    assert lessons().problems == ()


def test_what_is_written_about_the_files_is_so(folder):
    """The README for teachers: its example is a unit, and every name can be looked up there."""
    text = (SHIPPED / "README.md").read_text(encoding="utf-8")
    (folder / "1.toml").write_text(text.split("```toml")[1].split("```")[0], encoding="utf-8")
    assert lessons().problems == ()
    for name in (*KINDS, *PICTURES, *NUMBERS, *WORDS):
        assert f"`{name}`" in text, name


def test_names_of_files(folder):
    assert "is named with letters" in problem(folder, GOOD, "1 ä.toml")


def test_choices_need_two_texts(folder):
    option = (
        '[[check.options]]\ntext = "A"\n[[check.options.wanted]]\nof = "layers"\nat_least = 1\n'
    )
    head = GOOD[: GOOD.index("[check]")] + '[check]\nkind = "choice"\nquestion = "?"\n'
    assert "two or more" in problem(folder, head + option)
    assert "two or more" in problem(folder, head + option * 2)


def test_too_many_files(folder, monkeypatch):
    monkeypatch.setattr(reader, "MOST_UNITS", 2)
    for i in range(3):
        (folder / f"{i}.toml").write_text(GOOD, encoding="utf-8")
    assert len(lessons().units) == 2
    assert lessons().problems == ("2.toml: a folder may have 2 lessons; this is more.",)
