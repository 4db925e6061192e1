"""The alarm of the ledger, against plain loops, and its advice, against what it leads to."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from core import Cancelled, Change, EditError, Fact, load_model
from core.editing.edit_strength import text_ids
from core.editing.health import (
    ASKED,
    Health,
    ground_of,
    health,
    learned_facts,
    learned_text,
    prompts_beside,
)
from core.model.catalog import BUILTIN
from tests.conftest import random_model
from tests.core.edited_models import assert_untouched, logits_of, merged, random_edit, weights


def harmless(model, seed=0):
    """An edit of size zero, about another subject each time."""
    made = random_edit(model, seed)
    change = replace(made.changes[0], u=torch.zeros_like(made.changes[0].u))
    return replace(made, name=f"zero {seed}", changes=(change,))


def harmful(model, seed=0):
    made = random_edit(model, seed)
    change = made.changes[0]
    return replace(made, name=f"huge {seed}", changes=(replace(change, u=1e3 * change.u),))


def perplexity_by_hand(network, ids, width) -> float:
    losses = []
    for start in range(0, len(ids) - 1, width - 1):
        window = ids[start : start + width]
        logits = logits_of(network, window[:-1]).double()
        for i, following in enumerate(window[1:]):
            losses.append(float(logits[i].logsumexp(-1) - logits[i, following]))
    assert len(losses) == len(ids) - 1
    return math.exp(sum(losses) / len(losses))


def test_an_edit_of_no_size_leaves_a_healthy_model(model):
    before = weights(model)
    found = health(model, [harmless(model)])
    assert (found.colour, found.ratio, found.stay, found.asked) == ("green", 1, ASKED, ASKED)
    assert (found.alone, found.last_to_switch_off) == (None, 0)
    assert health(model, []).colour == "green"
    assert_untouched(model, before)


def test_perplexity_and_answers_are_those_of_the_merged_weights(model):
    edits = [random_edit(model, 1), random_edit(model, 2, layer=2)]
    found, ids = health(model, edits), text_ids(model, None)
    dense = merged(model, edits)
    expected = perplexity_by_hand(dense, ids, model.context_length)
    original = perplexity_by_hand(model.network, ids, model.context_length)
    assert found.perplexity == pytest.approx(expected, rel=1e-3)
    assert found.original_perplexity == pytest.approx(original, rel=1e-3)
    ground = ground_of(model)
    rows = [ground.rows[i] for i in prompts_beside(ground, edits)]
    old, new = (
        [int(logits_of(network, row)[-1].argmax()) for row in rows]
        for network in (model.network, dense)
    )
    assert found.stay == sum(a == b for a, b in zip(old, new, strict=True))
    assert 0 < found.stay < found.asked == ASKED  # else this would show nothing


def test_the_one_edit_that_does_the_damage_is_named(model):
    edits = [harmless(model, 1), harmful(model, 2), harmless(model, 3)]
    found = health(model, edits)
    assert (found.colour, found.alone, found.last_to_switch_off) == ("red", 1, 0)
    assert health(model, [edits[0], edits[2]]).colour == "green"
    newest = health(model, [edits[0], edits[2], edits[1]])
    assert (newest.alone, newest.last_to_switch_off) == (2, 1)
    single = health(model, [edits[1]])
    assert (single.alone, single.last_to_switch_off) == (0, 1)


def test_the_advice_is_as_few_of_the_last_edits_as_are_needed(model):
    edits = [harmless(model), harmful(model, 1), harmless(model, 2), harmful(model, 3)]
    found = health(model, edits)
    assert (found.colour, found.alone, found.last_to_switch_off) == ("red", None, 3)
    assert health(model, edits[:-3]).colour == "green"
    assert all(health(model, edits[:-off]).colour != "green" for off in (1, 2))
    assert health(model, edits[1:]).last_to_switch_off == 3  # all of them


def test_a_model_that_gives_no_numbers_any_more_is_red(model):
    made = harmless(model)
    shape = made.changes[0].shape
    broken = replace(made, changes=(Change("ff2", 1, dense=torch.full(shape, 3e38)),))
    found = health(model, [broken])
    assert (found.colour, found.perplexity, found.stay) == ("red", math.inf, 0)


@pytest.mark.parametrize(
    ("perplexity", "stay", "colour"),
    [
        (110, 27, "green"),
        (110, 26, "amber"),
        (111, 30, "amber"),
        (150, 21, "amber"),
        (150, 20, "red"),
        (151, 30, "red"),
        (50, 30, "green"),
        (math.inf, 30, "red"),
    ],
)
def test_the_limits(perplexity, stay, colour):
    assert Health(perplexity, 100, stay, 30).colour == colour


def test_without_a_prompt_to_ask_the_perplexity_decides():
    assert Health(105, 100, 0, 0).colour == "green"
    assert Health(200, 100, 0, 0).colour == "red"


def test_prompts_about_an_edits_subject_are_not_asked(model):
    ground = ground_of(model)
    first = ground.prompts[0]
    made = replace(harmless(model), facts=(Fact(first, None, "x"), Fact("Snow is", "Bees", "x")))
    asked = [ground.prompts[i] for i in prompts_beside(ground, [made])]
    assert len(asked) == ASKED
    assert first not in asked
    assert not [prompt for prompt in asked if "Bees" in prompt or prompt == "Snow is"]


def test_the_original_is_measured_once_for_a_model(model, monkeypatch):
    ground = ground_of(model)
    health(model, [harmless(model)])
    assert ground_of(model) is ground
    chances = [logits_of(model.network, row)[-1].softmax(-1).max() for row in ground.rows]
    assert all(a >= b - 1e-5 for a, b in pairwise(chances))


def test_it_can_be_cancelled_between_two_measurements_and_lets_others_in(model):
    edits, steps, early = [harmful(model, 1), harmful(model, 2)], [], []

    def step(done, total):
        assert not model.lock.held
        steps.append((done, total))
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        health(model, edits, on_step=step, on_measured=early.append)
    assert steps == [(1, 3), (2, 3)]
    assert [(found.colour, found.alone) for found in early] == [("red", None)]


def test_all_measurements_are_announced(model):
    steps = []
    edits = [harmful(model, seed) for seed in range(4)]
    health(model, edits, on_step=lambda done, total: steps.append((done, total)))
    assert steps == [(i, 7) for i in range(1, 8)]


def test_edits_of_another_model_are_refused(model):
    with pytest.raises(EditError, match="other weights"):
        health(random_model("gpt2", seed=5, layers=2), [harmless(model)])


@pytest.mark.parametrize("name", BUILTIN)
def test_a_built_in_model_is_asked_what_it_knows(name):
    built_in = load_model(name)
    ground, facts = ground_of(built_in), dict(learned_facts())
    answers = [built_in.token_text(token) for token in ground.answers[:ASKED]]
    assert answers == [f" {facts[prompt]}" for prompt in ground.prompts[:ASKED]]
    assert 1 < ground.perplexity < 10
    assert not any(f"{prompt} " in learned_text() for prompt in ground.prompts)
