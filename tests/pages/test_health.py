"""The ledger's health meter: measured beside the page, begun anew when the edits change."""

import threading
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.shell.health_field import HEALTH
from app.shell.ledger import LEDGER, Entry
from app.work.job import Job
from app.work.sessions import ASIDE, AT_ONCE
from tests.core.edited_models import random_edit
from tests.pages.test_pages import open_page, texts

MODEL = "tiny-gpt2"


@pytest.fixture(scope="module")
def model():
    return core.load_model(MODEL)


def good(model, seed: int = 0) -> Entry:
    made = random_edit(model, seed)
    change = made.changes[0]
    return Entry(replace(made, changes=(replace(change, u=0 * change.u),)), f"good {seed}")


def bad(model, seed: int, name: str = "") -> Entry:
    made = random_edit(model, seed)
    change = made.changes[0]
    changes = (replace(change, u=100 * change.u),)
    return Entry(replace(made, changes=changes), name or f"bad {seed}")


def page_with(*entries: Entry, page: str = "ask") -> AppTest:
    at = open_page(page)
    at.session_state[LEDGER] = list(entries)
    return at.run()


def job(at: AppTest) -> Job:
    return at.session_state[ASIDE][HEALTH]


def measured(at: AppTest) -> AppTest:
    """The page once the measurement has ended."""
    running = at.session_state[ASIDE].get(HEALTH)
    if running is not None:
        running.thread.join(60)
        assert running.over
    at.run()
    assert HEALTH not in at.session_state[ASIDE]  # nothing holds the model and the edits any more
    return at


def shown(at: AppTest) -> str:
    return "\n".join([*(h.proto.body for h in at.get("html")), texts(at)])


def button(at: AppTest, key: str):
    return next((b for b in at.button if b.key == key), None)


class Gate:
    """core.health, which waits for the test and can be cancelled meanwhile."""

    def __init__(self, monkeypatch):
        self.free, self.asked, self.real = threading.Event(), [], core.health
        monkeypatch.setattr("core.health", self)

    def __call__(self, model, edits, *, on_step, on_measured):
        self.asked.append(tuple(edit.name for edit in edits))
        while not self.free.wait(0.01):
            on_step(0, 1)
        return self.real(model, edits, on_step=on_step, on_measured=on_measured)


def test_no_edit_no_meter(model):
    assert "Health" not in shown(open_page("ask"))
    at = measured(page_with(good(model)))
    assert "Health: ✓ good" in shown(at)
    at.checkbox(key=f"edit_on_{at.session_state[LEDGER][0].id}").uncheck().run()
    assert not at.exception
    assert "Health" not in shown(at)


@pytest.mark.parametrize("page", ["start", "edit", "ask"])
def test_the_meter_says_what_was_measured(model, page):
    at = measured(page_with(good(model), page=page))
    assert not at.exception
    found = core.health(model, [at.session_state[LEDGER][0].edit])
    assert f"Perplexity {found.perplexity:.2f} → {found.perplexity:.2f}" in shown(at)
    assert f"{found.stay} of 30 other answers stay." in shown(at)
    assert button(at, "health_act") is None


def test_one_click_switches_the_harmful_ones_off_and_one_on_again(model):
    at = measured(page_with(good(model), bad(model, 1), good(model, 2), bad(model, 3)))
    assert "Health: ✗ bad" in shown(at)
    assert button(at, "health_act").label == "Switch off the last three"
    button(at, "health_act").click().run()
    at = measured(at)
    assert [entry.on for entry in at.session_state[LEDGER]] == [True, False, False, False]
    assert "Health: ✓ good" in shown(at)
    assert button(at, "switch_on_again").label == "Switch 3 edits on again"
    button(at, "switch_on_again").click().run()
    assert [entry.on for entry in at.session_state[LEDGER]] == [True] * 4
    assert "Health: ✗ bad" in shown(at)  # known already
    assert button(at, "switch_on_again") is None


def test_the_one_that_does_the_damage_is_named_as_text(model):
    at = measured(page_with(bad(model, 1, "**Obama** <b>→</b> Paris"), good(model, 2)))
    assert not at.exception
    assert button(at, "health_act").label.replace("\\", "") == (
        "Switch off “**Obama** <b>→</b> Paris”"
    )
    button(at, "health_act").click().run()
    assert [entry.on for entry in at.session_state[LEDGER]] == [False, True]


def test_the_page_is_not_held_up_and_a_change_begins_it_anew(model, monkeypatch):
    gate = Gate(monkeypatch)
    at = page_with(good(model, 1), good(model, 2))
    assert "Health: measuring …" in texts(at)
    first = job(at)
    at.run()
    assert job(at) is first  # the same edits are measured once
    at.checkbox(key=f"edit_on_{at.session_state[LEDGER][1].id}").uncheck().run()
    assert first.cancelled.is_set()
    first.thread.join(60)
    assert first.ended_early
    at.checkbox(key=f"edit_on_{at.session_state[LEDGER][1].id}").check().run()
    gate.free.set()
    at = measured(at)
    assert "Health: ✓ good" in shown(at)
    assert gate.asked == [("random 1", "random 2"), ("random 1",), ("random 1", "random 2")]
    button(at, "undo_edit").click().run()
    button(at, "undo_edit").click().run()
    assert HEALTH not in at.session_state[ASIDE]


def test_it_counts_as_no_work_of_the_visitors(model, monkeypatch):
    Gate(monkeypatch)
    at = page_with(good(model), page="edit")
    at.session_state[AT_ONCE] = 1
    at.button(key="make_edit").click().run()
    assert not at.exception
    assert "work running" not in texts(at)
    job(at).cancelled.set()


def test_the_colour_is_there_while_the_advice_is_looked_for(model, monkeypatch):
    known, free, real = threading.Event(), threading.Event(), core.health

    def slow(*args, on_step, on_measured):
        def keep(found):
            on_measured(found)
            known.set()
            free.wait(60)

        return real(*args, on_step=on_step, on_measured=keep)

    monkeypatch.setattr("core.health", slow)
    at = page_with(bad(model, 1), good(model, 2))
    assert known.wait(60)
    at.run()
    assert "Health: ✗ bad" in shown(at)
    assert "Finding out which edits to switch off …" in texts(at)
    assert button(at, "health_act") is None
    free.set()
    assert button(measured(at), "health_act")


def test_a_measurement_that_fails_is_a_sentence_and_is_not_tried_again(model, monkeypatch):
    asked = []

    def fail(*_, **__):
        asked.append(1)
        raise core.ModelError("The model gives *no* numbers. Choose another.")

    monkeypatch.setattr("core.health", fail)
    at = measured(page_with(good(model))).run()
    assert not at.exception
    assert "Health: The model gives *no* numbers" in texts(at).replace("\\", "")
    assert len(asked) == 1
