"""Each unit that ships can be done on each model that a class has, and is not done by itself."""

import pytest

from app.cells.lesson_pictures import DRAWN
from app.lessons.checks import judge, solution
from app.lessons.reader import lessons
from app.lessons.unit import (
    ANSWER_IS,
    BROKE,
    CHOICE,
    EDITED,
    NUMBER,
    PICTURES,
    REQUEST,
    TYPED,
    Example,
    Unit,
)
from app.shell.state import Request, prompt_problem, target_problem
from core.model.catalog import BUILTIN
from tests.app.lessons.conftest import edited
from tests.conftest import REAL

MODELS = [*BUILTIN, pytest.param(REAL, marks=pytest.mark.real)]
UNITS = lessons().units
WRONG = {ANSWER_IS: "xylophone", NUMBER: "77", CHOICE: "nothing of these"}


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    if request.param == REAL:
        request.getfixturevalue("real_model")
    return request.param


def request_for(model: str, example: Example) -> Request:
    return Request(model, example.prompt, example.target, example.subject)


def test_six_units_in_their_order_without_a_problem():
    assert lessons().problems == ()
    assert [unit.title for unit in UNITS] == [
        "What does a model expect?",
        "What would it learn?",
        "Where does it learn?",
        "How many directions?",
        "Make it believe",
        "What broke?",
    ]
    assert lessons().question == "Where does the model's answer come from?"
    assert all(len(unit.hints) == 2 for unit in UNITS), "hints in three steps, with “show me”"


def test_every_picture_of_the_files_can_be_drawn():
    assert set(DRAWN) == set(PICTURES)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.id)
@pytest.mark.parametrize("model", MODELS, indirect=True)
def test_examples_fit_the_model_and_what_is_shown_is_right(unit: Unit, model: str):
    examples = unit.examples_for(model)
    assert len(examples) >= 2
    for example in (*examples, unit.shown_example(model)):
        request = request_for(model, example)
        assert not prompt_problem(request.model, example.prompt)
        assert not target_problem(request.model, example.prompt, example.target)
        assert example.subject
    for example in examples:
        request = ready(unit, request_for(model, example))
        if unit.check.kind == REQUEST:
            assert not judge(unit.check, request).right, "there must be something to do"
            request = request_for(model, unit.shown_example(model))
        answer = solution(unit.check, request)
        assert (answer is not None) == (unit.check.kind in TYPED)
        verdict = judge(unit.check, request, answer or "")
        assert verdict.right, verdict.why


def ready(unit: Unit, request: Request) -> Request:
    """After what the unit's task asks to be done on the page Edit."""
    if unit.check.kind == EDITED:
        assert not judge(unit.check, request).right
        return edited(request)
    if unit.check.kind == BROKE:
        assert "No edit is on" in judge(unit.check, request, "Biz Stone founded").why
        return edited(edited(request), "fixed")  # on top of the edit of the unit before
    return request


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.id)
@pytest.mark.parametrize("model", MODELS, indirect=True)
def test_a_wrong_answer_is_not_yet_and_says_what_is_wanted(unit: Unit, model: str):
    request = request_for(model, unit.examples_for(model)[0])
    if unit.check.kind == BROKE:
        request = edited(request, "fixed")
    wrong = WRONG.get(unit.check.kind, "")
    if unit.check.kind == BROKE:
        wrong = f"In short, {request.prompt}"
    verdict = judge(unit.check, request, wrong)
    assert not verdict.right
    assert (
        "wanted is" in verdict.why.casefold()
        or "No edit is on" in verdict.why
        or ("lower" in verdict.why)
    )
