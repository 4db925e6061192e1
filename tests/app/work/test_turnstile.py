"""The turnstile: one page at a time; who waits elsewhere lets others in, and is told how long."""

import threading

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.work import turnstile
from app.work.turnstile import waiting_text
from core.model.locks import FairLock

WAIT = 10


@pytest.fixture(autouse=True)
def own_turnstile(monkeypatch):
    monkeypatch.setattr(turnstile, "_turns", FairLock())


class Place:
    """In the page's stead: keeps what it would show."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def info(self, text: str, icon: str) -> None:
        self.shown.append(text)

    def empty(self) -> None:
        self.shown.append("")


@pytest.fixture
def place(monkeypatch):
    made = Place()
    monkeypatch.setattr(st, "empty", lambda: made)
    return made


def test_one_page_at_a_time(place):
    inside, worst = [0], [0]

    def page() -> None:
        for _ in range(50):
            with turnstile.admitted():
                inside[0] += 1
                worst[0] = max(worst[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=page) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert worst == [1]
    assert turnstile.people_waiting() == 0


def test_a_page_that_waits_for_a_model_lets_the_others_in_and_says_how_long(place, monkeypatch):
    monkeypatch.setattr(turnstile, "PATIENCE", 0.0)
    model, others = FairLock(), threading.Event()

    def waiting_page() -> None:
        with turnstile.admitted(), model:
            assert others.is_set(), "the other page was let in meanwhile"

    with model:
        thread = threading.Thread(target=waiting_page)
        thread.start()
        while not model.waiting:
            pass
        other = threading.Thread(target=lambda: enter(others))
        other.start()
        other.join(WAIT)
        assert others.is_set()
    thread.join(WAIT)
    assert not thread.is_alive()
    assert any("1 person is before you" in text for text in place.shown)
    assert place.shown[-1] == "", "it is taken away at the end"


def enter(done: threading.Event) -> None:
    with turnstile.admitted():
        done.set()


def test_it_is_free_after_an_error(place):
    with pytest.raises(KeyError), turnstile.admitted():
        raise KeyError
    done = threading.Event()
    enter(done)
    assert done.is_set()


def test_leaving_twice_lets_only_one_in(place):
    with turnstile.admitted():
        turnstile.leave()
        turnstile.leave()
        assert not turnstile._turns.held
    assert not turnstile._turns.held


@pytest.mark.parametrize(
    ("people", "seconds", "text"),
    [
        (1, 0.3, "1 person is before you, less than a second."),
        (3, 6.2, "3 people are before you, about 6 seconds."),
        (30, 240, "30 people are before you, about 4 minutes."),
    ],
)
def test_words(people, seconds, text):
    assert waiting_text(people, seconds) == text


def test_on_the_page_itself(monkeypatch):
    """Somebody else holds the model for as long as the page has to be told."""
    monkeypatch.setattr(turnstile, "PATIENCE", 0.0)
    from app.shell.models import load

    shown = []
    model = load("tiny-gpt2")
    real = turnstile.Visit.tell

    def tell(visit, people, seconds):
        real(visit, people, seconds)
        shown.append(people)

    monkeypatch.setattr(turnstile.Visit, "tell", tell)
    hold, held = threading.Event(), threading.Event()

    def holder() -> None:
        with model.lock:
            held.set()
            hold.wait(WAIT)

    thread = threading.Thread(target=holder)
    thread.start()
    assert held.wait(WAIT)
    at = AppTest.from_file("../../../app/main.py", default_timeout=60)
    at.query_params["prompt"] = "Nobody asked this yet in"
    threading.Timer(1.0, hold.set).start()
    at.run()
    thread.join(WAIT)
    assert not at.exception
    assert 1 in shown
    assert not any("before you" in box.value for box in at.info)
