"""Several facts in one edit: the table, what cannot be used, the edit, and what it says then."""

import threading

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.cells.several_facts import BASE, KEPT, MOST_FACTS, ROWS
from app.shell.ledger import LEDGER
from app.shell.models import load
from app.shell.navigation import EDIT
from tests.pages.test_pages import after, charts, job_of, open_page
from tests.pages.test_pages import texts as escaped

PAGE = "edit"
DORSEY = ("Jack Dorsey founded", "Jack Dorsey", "IBM")
OBAMA = ("Obama grew up in", "Obama", "Paris")
PIKACHU = ("Pikachu is a type of", "", "music")
NAMES = ("Prompt", "Subject", "Target")


def texts(at: AppTest) -> str:
    shown = [*(w.value for w in at.warning), escaped(at)]
    return "\n".join(shown).replace("\\", "")


def several(*rows: tuple[str, ...], **query: str) -> AppTest:
    """The page with these rows in its table, after the first one, which it begins with."""
    at = open_page(PAGE, edit_how_many="Several facts", **query)
    return typed(at, *rows) if rows else at


def typed(at: AppTest, *rows: tuple[str, ...]) -> AppTest:
    """Rows written below those with which the table began."""
    added = [dict(zip(NAMES, row, strict=False)) for row in rows]
    at.session_state[ROWS] = {"edited_rows": {}, "added_rows": added, "deleted_rows": []}
    return at.run()


def teach(at: AppTest) -> AppTest:
    at.button(key="make_edits").click().run()
    return after(at, EDIT)


def label(at: AppTest) -> str:
    return next((b.label for b in at.button if b.key == "make_edits"), "")


def test_the_table_begins_with_the_request_and_examples_come_below_it():
    at = several()
    assert not at.exception
    assert at.session_state[KEPT].rows == [list(OBAMA)]
    assert label(at) == "Teach it 1 fact"
    at.button(key="add_facts").click().run()
    assert [row[0] for row in at.session_state[KEPT].rows] == [
        OBAMA[0],
        DORSEY[0],
        "Lionel Messi plays for",
        "Ipod Nano, developed by",
    ]
    assert label(at) == "Teach it 4 facts"
    for _ in range(3):
        at.button(key="add_facts").click().run()
    prompts = [row[0] for row in at.session_state[KEPT].rows]
    assert len(set(prompts)) == len(prompts) == 13
    assert label(at) == "Teach it 13 facts"


@pytest.mark.parametrize("model", ["tiny-gpt2", "tiny-llama2"])
def test_several_facts_become_one_edit_of_the_ledger(model):
    at = teach(several(DORSEY, PIKACHU, model=model))
    assert not at.exception
    assert not at.error
    (entry,) = at.session_state[LEDGER]
    assert [fact.prompt for fact in entry.edit.facts] == [OBAMA[0], DORSEY[0], PIKACHU[0]]
    assert [fact.subject for fact in entry.edit.facts] == ["Obama", "Jack Dorsey", "Pikachu"]
    assert "Your edits: 1 of 1 on" in texts(at)
    assert "With your edits the model says 3 of 3 facts; the original says none of them." in texts(
        at
    )
    table = next(shown.value for shown in at.dataframe if "Now" in shown.value)
    assert list(table[""]) == ["✓ yes"] * 3
    assert list(table["Now"]) == ["·Paris", "·IBM", "·music"]
    assert list(table["Before"])[:2] == ["·Hawaii", "·Twitter"]
    assert len(charts(at)) == 3  # the other cells show the edit of several facts
    numbers = [m.value[2] for m in at.markdown if m.value.startswith("**") and "·" in m.value[:7]]
    assert numbers == list("1234567")


def test_the_code_makes_the_same_edit_and_the_same_table():
    at = several(DORSEY)
    shown = next(block.value for block in at.code if "edit_many" in block.value)
    scope: dict = {}
    exec(shown, scope)
    assert scope["table"]["said"].all()
    assert scope["new"].facts[1].target == "IBM"
    at = teach(at)
    kept = [block.value for block in at.code if "fact_answers(model, edits)" in block.value]
    assert len(kept) == 1
    made = at.session_state[LEDGER][0].edit
    assert made.facts == scope["new"].facts
    on_top = next(block.value for block in at.code if "edit_many" in block.value)
    assert 'method="memit", edits=edits)' in on_top
    assert "fact_answers(model, [*edits, new])" in on_top


def test_bad_rows_are_named_and_skipped_and_nothing_is_lost():
    rows = (
        DORSEY,
        ("", "", "x"),
        ("The dog is", "", ""),
        ("Pikachu is a type of", "Obama", "music"),
        DORSEY,
        ("Obama grew up in", "", "Rome"),
        ("word " * 600, "word", "x"),
        ("🤖🤖", "", "x"),
        ("word " * 150, "word", "x"),
        ("**bold** <b>x</b> Bob is", "Bob", "y"),
    )
    at = several(*rows)
    assert not at.exception
    assert label(at) == "Teach it 3 facts"
    assert "8 rows cannot be used and are skipped." in texts(at)
    for reason in (
        "Row 3: its prompt is empty.",
        "Row 4: its target is empty.",
        "Row 5: The subject 'Obama' is not in the prompt.",
        "Row 6: it is the same fact as row 2.",
        "Row 7: row 1 has the same prompt with another target.",
        "Row 8: its prompt has 2,999 characters; at most 2,000.",
        "Row 9: it has no subject.",
        "Row 10: The prompt",
    ):
        assert f"- {reason}" in texts(at), reason
    assert len(at.session_state[KEPT].rows) == 11


def test_a_table_without_a_fact_says_so():
    at = several()
    at.session_state[ROWS] = {"edited_rows": {}, "added_rows": [], "deleted_rows": [0]}
    at.run()
    assert not at.exception
    assert "The table holds no row with a prompt." in texts(at)
    assert not label(at)
    at.session_state[ROWS] = {
        "edited_rows": {0: {"Target": None}},
        "added_rows": [],
        "deleted_rows": [],
    }
    at.run()
    assert not at.exception
    assert "Row 1: its target is empty." in texts(at)


def test_the_limit_is_said():
    at = several(*[(f"Obama number {i} grew up in", "Obama", "Paris") for i in range(MOST_FACTS)])
    assert f"The table has {MOST_FACTS + 1} rows; the first {MOST_FACTS} are used." in texts(at)
    assert label(at) == f"Teach it {MOST_FACTS} facts"


def test_the_time_is_that_of_one_fact_for_each(monkeypatch):
    slow = core.preflight(load("tiny-gpt2"), OBAMA[0], "memit")
    monkeypatch.setattr(
        "core.preflight", lambda *_, **__: type(slow)(*[20.0, 1000, (), 0.0][: len(vars(slow))])
    )
    at = several(DORSEY, PIKACHU, prompt="Obama grew up in ")
    line = next(c.value for c in at.caption if c.value.startswith("This edit")).replace("\\", "")
    assert line.startswith("This edit: about 60 seconds, longer where")
    assert "3 kB beside the model" in line


def test_what_is_typed_outlives_a_visit_to_another_page_and_the_work():
    at = several(DORSEY, ("The dog is", "", ""))
    at.switch_page("../pages/start.py").run()
    at.switch_page(f"../pages/{PAGE}.py").run()
    rows = [list(OBAMA), list(DORSEY), ["The dog is", "", ""]]
    assert at.session_state[BASE] == rows
    assert label(at) == "Teach it 2 facts"
    at = teach(at)
    assert at.session_state[KEPT].rows == rows
    assert label(at) == "Teach it 2 facts"


def test_an_edit_of_several_facts_can_be_cancelled(monkeypatch):
    go = threading.Event()

    def slow(*_, on_step, **__):
        while not go.wait(0.01):  # until it is cancelled
            on_step(3, 400)

    monkeypatch.setattr("core.edit_many", slow)
    at = several(DORSEY)
    at.button(key="make_edits").click().run()
    assert "MEMIT, 2 facts: 3 of 400 steps" in at.get("progress")[0].proto.text.replace("\\", "")
    at.button(key="cancel_edit").click().run()
    at = after(at, EDIT)
    assert job_of(at, EDIT).ended_early
    assert "Cancelled. Nothing has changed." in texts(at)
    assert at.session_state[LEDGER] == []


@pytest.mark.parametrize(
    "method", [name for name, known in core.METHODS.items() if known.several_facts]
)
def test_every_method_for_several_facts_learns_two(method):
    at = several(DORSEY)
    at.segmented_control(key="edit_many_method").set_value(method).run()
    at = teach(at)
    assert not at.exception
    assert at.session_state[LEDGER][0].edit.method == method
    assert "says 2 of 2 facts" in texts(at)
