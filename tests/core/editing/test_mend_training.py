"""Training MEND's network on random models: it learns, the same each time, and can be stopped."""

from dataclasses import replace

import pytest
import torch

from core import Cancelled, EditError, PromptError, Record
from core.editing import mend_training
from core.editing.gradient_step import scaled
from core.editing.mend_facts import CONTEXTS
from core.editing.mend_lessons import PLACES, gradient_steps, outcome, school_of
from core.editing.mend_network import mend_network, usual_sites
from core.editing.mend_training import facts_used, train_mend, training_estimate, training_facts
from core.editing.upper_layers import upper_layers
from core.model.edited import changed, turn
from core.model.forcing import padded
from tests.conftest import PROMPT
from tests.core.edited_models import assert_untouched, weights
from tests.core.mend_networks import random_mend

pytestmark = pytest.mark.usefixtures("own_cache")

SUBJECTS = ("Obama", "France", "Lionel Messi", "Pikachu", "Jack Dorsey", "Germany")
TARGETS = ("Paris", "IBM", "Rome", "Berlin", "Hawaii", "Madrid")


def records():
    return [
        Record(
            i,
            f"{subject} grew up in",
            subject,
            target,
            "Spain",
            (f"The home town of {subject} is",),
            (f"{SUBJECTS[i - 1]} was born in",),
        )
        for i, (subject, target) in enumerate(zip(SUBJECTS, TARGETS, strict=True))
    ]


def mean_loss(model, facts, network):
    school = school_of(model, facts, network.sites, lambda done, total: None)
    total = 0.0
    for lesson in school.lessons:
        with turn(model, (), gradients=True):
            changes = network.edit(list(gradient_steps(school, lesson).values()))
            told, kept = outcome(school, lesson.rows, lesson.goals, lesson.unrelated, changes)
        total += float(0.1 * told.mean() + kept.mean())
    return total / len(facts)


def test_training_lowers_its_loss_and_leaves_the_model(model, monkeypatch):
    monkeypatch.setattr(mend_training, "LEARNING_RATE", 1e-2)
    facts, before, steps = training_facts(model, records()), weights(model), []
    first = train_mend(model, facts, steps=1, rank=4)
    network = train_mend(model, facts, steps=40, rank=4, on_step=lambda *s: steps.append(s))
    assert_untouched(model, before)
    assert mean_loss(model, facts, network) < 0.97 * mean_loss(model, facts, first)
    assert (network.tensors["alpha"] < 0).all()  # descent
    assert network.sites == usual_sites(model)
    assert network.made["facts"] == len(facts)
    assert [done for done, _ in steps] == list(range(1, len(steps) + 1))
    assert {total for _, total in steps} == {len(steps)}
    assert mend_network(model) is None  # only `keep_mend_network` keeps it


def test_the_same_seed_trains_the_same_network(model):
    facts = training_facts(model, records())
    networks = [train_mend(model, facts, steps=8, rank=4, seed=seed) for seed in (3, 3, 4)]
    same, other = (
        all(torch.equal(networks[0].tensors[n], t) for n, t in network.tensors.items())
        for network in networks[1:]
    )
    assert same
    assert not other


@pytest.mark.parametrize("at", [1, 2, 5])
def test_it_can_be_cancelled_at_any_step(model, at):
    before = weights(model)

    def cancel(done, total):
        if done == at:
            raise Cancelled

    with pytest.raises(Cancelled):
        train_mend(model, training_facts(model, records()), steps=8, on_step=cancel)
    assert_untouched(model, before)
    assert mend_network(model) is None


def test_upper_layers_alone_give_what_whole_passes_give(model):
    rows = [model.encode(prompt) for prompt in (PROMPT, "France", "Pikachu is a type of animal")]
    upper = upper_layers(model, rows, 2)
    with turn(model, (), gradients=False):
        whole, part = model.read(padded(model, rows)), upper.run(rows)
    for i, row in enumerate(rows):
        torch.testing.assert_close(part[i, : len(row)], whole[i, : len(row)])


def test_outcomes_are_those_of_the_edited_model(model):
    """NLL and KL of a lesson against plain passes of the edited model."""
    (fact, *_) = training_facts(model, records())
    network = random_mend(model)
    school = school_of(model, [fact], network.sites, lambda done, total: None)
    (lesson,) = school.lessons
    with turn(model, (), gradients=True):
        changes = scaled(network.edit(list(gradient_steps(school, lesson).values())), 3e-3)
        told, kept = outcome(school, lesson.rows, lesson.goals, lesson.unrelated, changes)
    rows = (*lesson.rows, *lesson.unrelated)
    before = whole_pass(model, rows, [])
    after = whole_pass(model, rows, changes)
    for i, (row, goal) in enumerate(zip(lesson.rows, lesson.goals, strict=True)):
        places = range(len(row) - len(goal), len(row))
        own = [after[i, place, token] for place, token in zip(places, goal, strict=True)]
        torch.testing.assert_close(told[i], -torch.stack(own).mean(), rtol=1e-3, atol=1e-4)
    for i, row in enumerate(lesson.unrelated):
        old, new = (logs[len(lesson.rows) + i, : len(row)][-PLACES:] for logs in (before, after))
        expected = (old.exp() * (old - new)).sum(-1).mean()
        assert expected > 1e-5
        torch.testing.assert_close(kept[i], expected, rtol=1e-2, atol=1e-5)


def whole_pass(model, rows, changes):
    """log p of every next token, (row, token, vocabulary)."""
    with turn(model, (), gradients=False), changed(model, changes):
        return model.unembedding(model.read(padded(model, rows))).log_softmax(-1)


def test_what_a_fact_asks_for(model):
    first, *rest = training_facts(model, records())
    assert (first.prompt, first.target) == ("Obama grew up in", "Paris")
    assert first.outer == ("The home town of Obama is",)
    assert first.unrelated[0] == "Germany was born in"
    assert all(text.endswith(" Spain") and "Obama" not in text for text in first.unrelated[1:])
    assert len(rest) == len(SUBJECTS) - 1
    bare = [replace(record, paraphrases=()) for record in records()]
    for fact, record in zip(training_facts(model, bare), bare, strict=True):
        assert fact.outer[0] in {f"{context} {record.prompt}" for context in CONTEXTS}
    long = [replace(record, prompt="word " * 500) for record in records()]
    assert len(training_facts(model, [*bare, long[0]])) == len(bare)
    with pytest.raises(PromptError, match="None of the 6 records"):
        training_facts(model, long)


def test_what_cannot_be_trained_is_a_sentence(model):
    with pytest.raises(EditError, match="no fact"):
        train_mend(model, [], steps=5)
    with pytest.raises(EditError, match="steps is 0"):
        train_mend(model, training_facts(model, records()), steps=0)


def test_the_estimate_grows_with_the_work(model):
    facts = training_facts(model, records())
    assert (
        0
        < training_estimate(model, facts, steps=1)
        < training_estimate(model, facts, steps=100_000)
    )
    assert facts_used(10, 3000) == 10
    assert facts_used(9000, 3000) == 1000
