"""How far somebody is: bounded, and what a verdict was about."""

from dataclasses import replace

import pytest

from app.lessons import progress as place
from app.lessons.progress import Progress, request_key
from app.lessons.reader import lessons


@pytest.fixture
def unit():
    return lessons().units[0]


def test_marks(unit):
    mine = Progress()
    assert mine.mark(unit) == "○"
    mine.take_up(unit)
    assert mine.mark(unit) == "…"
    assert mine.active == unit.id
    mine.step(unit).right = True
    assert mine.mark(unit) == "✓"


def test_another_lessons_task_is_unfolded(unit):
    mine, second = Progress(), lessons().units[1]
    mine.take_up(unit)
    mine.small = True
    mine.take_up(unit)
    assert mine.small
    mine.take_up(second)
    assert not mine.small


def test_it_is_bounded(unit, monkeypatch):
    monkeypatch.setattr(place, "MOST_STEPS", 5)
    mine = Progress()
    for i in range(20):
        step = mine.step(replace(unit, id=f"u{i}"))
        step.thought, step.answer = "x" * place.THOUGHT_LETTERS, "y" * place.ANSWER_LETTERS
    assert len(mine.steps) == 5
    assert mine.size >= 5 * (place.THOUGHT_LETTERS + place.ANSWER_LETTERS)
    assert mine.size < 50_000


def test_two_visitors_have_two_names():
    assert Progress().who != Progress().who


def test_a_verdict_is_about_one_request(asked):
    request = asked("tiny-gpt2")
    assert request_key(request) == request_key(asked("tiny-gpt2"))
    assert request_key(request) != request_key(asked("tiny-gpt2", target="Rome"))
