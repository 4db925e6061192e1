"""Checks against tables of a known model: right, not yet, and a sentence that says why."""

import numpy as np
import pytest

import core
from app.lessons.checks import bare, bounds, judge, solution
from app.lessons.facts import NUMBERS, WORDS
from app.lessons.unit import Check, Option, Wanted
from app.shell.models import load
from tests.app.lessons.conftest import edited

MODEL = "tiny-gpt2"


@pytest.mark.parametrize(
    "typed", ["Hawaii", " hawaii ", "·Hawaii", "▁HAWAII", "␣Hawaii", "_hawaii"]
)
def test_signs_for_spaces_and_capitals_do_not_matter(typed, asked):
    check = Check("answer_is", "?", of="answer")
    assert judge(check, asked(MODEL), typed).right


def test_a_word_of_signs_alone_is_still_one():
    assert bare(" _ ") == "_"
    assert bare("·") == "·"
    assert bare("") == ""


@pytest.mark.parametrize("typed", ["", "Haw", "Paris", "x" * 400, "`<b>**a**</b>", "\u202eab"])
def test_another_word_is_not_yet(typed, asked):
    verdict = judge(Check("answer_is", "?", of="answer"), asked(MODEL), typed)
    assert not verdict.right
    assert "wanted is the model's answer" in verdict.why


def test_a_wrong_word_is_told_its_own_chance(asked):
    why = judge(Check("answer_is", "?", of="answer"), asked(MODEL), "Paris").why
    assert "number 1,319 of its list" in why  # as the finding of the forward lens says
    assert "\\<0\\.1\\% probable" in why


def test_numbers_are_those_of_core(asked):
    request, model = asked(MODEL), load(MODEL)
    run = core.trace(model, request.prompt, request.target)
    probabilities = run.logits.softmax(-1)
    delta = run.factors["ff2"].delta  # (layer, token, d_model)
    norms = np.linalg.norm(delta.numpy(), axis=-1)
    values = {name: fact.read(request) for name, fact in NUMBERS.items()}
    assert values["answer_probability"] == pytest.approx(float(probabilities.max()), abs=1e-5)
    assert values["target_probability"] == pytest.approx(
        float(probabilities[run.target.id]), abs=1e-6
    )
    assert values["target_place"] == 1319
    assert values["surprise"] == pytest.approx(-np.log(probabilities[run.target.id].item()), 1e-4)
    assert values["prompt_tokens"] == len(model.encode(request.prompt)) == 4
    assert values["layers"] == len(norms) == 8
    assert values["strongest_layer"] == np.unravel_index(norms.argmax(), norms.shape)[0]
    assert values["signal_share_of_the_end"] == pytest.approx(
        norms[:, -1].sum() / norms.sum(), rel=1e-4
    )
    assert values["gradient_rank"] == 4
    assert values["last_layer_rank"] == 1
    assert WORDS["answer"].read(request) == " Hawaii"
    assert WORDS["target"].read(request) == " Paris"
    assert WORDS["strongest_token"].read(request) == " in"


def test_the_update_that_subtracts_delta_is_counted_towards_the_target(asked):
    """The least probable token of delta at the last prompt token, through the final norm."""
    request, model = asked(MODEL), load(MODEL)
    run = core.trace(model, request.prompt, request.target)
    logits = model.unembedding(model.normalize_final(run.factors["ff2"].delta[:, -1]))
    expected = int((logits.argmin(-1) == run.target.id).sum())
    assert NUMBERS["layers_to_target"].read(request) == expected == 8


def test_a_number_within_its_tolerance(asked):
    check = Check("number", "?", of="prompt_tokens", tolerance=1)
    assert [judge(check, asked(MODEL), n).right for n in ("2", "3", "4", "5", "6")] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert judge(check, asked(MODEL), "9").why.endswith("is lower.")
    assert judge(check, asked(MODEL), "1").why.endswith("is higher.")
    for nonsense in ("", "four", "nan", "inf", "1e999", "--1"):
        assert not judge(check, asked(MODEL), nonsense).right
    assert solution(check, asked(MODEL)) == "4"


def test_a_tiny_probability_can_be_shown_too(asked):
    check = Check("number", "?", of="target_probability", tolerance=1e-7)
    shown = solution(check, asked(MODEL))
    assert 0 < float(shown) < 1e-5
    assert judge(check, asked(MODEL), shown).right


def test_a_choice_follows_what_is_on_the_screen(asked):
    short = Option("It is short", (Wanted("prompt_tokens", at_most=4),))
    long = Option("It is long", (Wanted("prompt_tokens", at_least=5),))
    check = Check("choice", "?", options=(long, short))
    assert solution(check, asked(MODEL)) == "It is short"
    assert judge(check, asked(MODEL), "It is short").right
    wrong = judge(check, asked(MODEL), "It is long")
    assert not wrong.right
    assert wrong.why == "The number of prompt tokens is 4."
    longer = asked(MODEL, "Jack Dorsey founded", "IBM")
    assert solution(check, longer) == "It is long"
    assert not judge(check, longer, "").right


def test_a_request_must_fit_all_conditions(asked):
    conditions = (Wanted("target_place", at_least=2), Wanted("prompt_tokens", 5, 5))
    check = Check("request", "?", wanted=conditions)
    assert judge(check, asked(MODEL, "Jack Dorsey founded", "IBM")).right
    known = judge(check, asked(MODEL, "Jack Dorsey founded", "Twitter"))
    assert not known.right
    assert known.why == "Your target's place among the model's answers is 1; wanted is 2 or more."
    assert judge(check, asked(MODEL)).why.endswith("is 4; wanted is exactly 5.")
    assert bounds(Wanted("answer_probability", at_least=0.5)) == "50\\.0\\% or more"
    assert bounds(Wanted("prompt_tokens", at_most=3)) == "3 or less"
    assert bounds(Wanted("prompt_tokens", 3, 5)) == "3 to 5"


def test_an_edit_that_is_on(asked):
    check = Check("edited", "?")
    request = edited(asked(MODEL, "Jack Dorsey founded", "IBM", "Jack Dorsey"))
    verdict = judge(check, request)
    assert verdict.right
    assert verdict.why == "With your edit the model says `·IBM` instead of `·Twitter`."
    other = asked(MODEL, "Jack Dorsey founded", "Apple", "Jack Dorsey", request.entries)
    assert judge(check, other).why.endswith("wanted is your target, `·Apple`.")
    known = asked(MODEL, "Jack Dorsey founded", "Twitter", "Jack Dorsey", request.entries)
    assert "even without your edit" in judge(check, known).why


def test_what_an_edit_broke_is_about_something_else(asked):
    check = Check("broke", "?", candidates=("Biz Stone founded",))
    start = asked(MODEL, "Jack Dorsey founded", "IBM", "Jack Dorsey")
    request = edited(start, "fixed")
    verdict = judge(check, request, "Biz Stone founded")
    assert verdict.right
    assert verdict.why == "There it said `·Twitter`; with your edit it says `·IBM`."
    assert solution(check, request) == "Biz Stone founded"
    kept = judge(check, request, "Ferrari Mondial, created by")
    assert not kept.right
    assert "still says" in kept.why
    for own in ("Jack Dorsey founded", "Everybody knows that JACK DORSEY founded"):
        assert "and so is this prompt" in judge(check, request, own).why
    assert "limit is" in judge(check, request, "word " * 3000).why
    assert not judge(check, request, "").right
    assert solution(check, start) is None
