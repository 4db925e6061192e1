"""Edits that live together: earlier keys in the penalty make one after the other all at once."""

from dataclasses import replace

import pytest
import torch

from core import edit_many
from core.editing import memit as memit_file
from core.editing.memit import earlier_keys, layer_change
from core.editing.penalty import Penalty, factors
from core.model.edits import Fact
from tests.core.edited_models import PROMPT, SUBJECT, TARGET, random_edit

FIRST = [(PROMPT, SUBJECT, TARGET), ("Jack Dorsey founded", "Jack Dorsey", "IBM")]
SECOND = [("Pikachu is a type of", "Pikachu", "Rome"), ("Merkel was born in", "Merkel", "Paris")]
LAYER = 1
SETTINGS = {"layers": (LAYER,), "weight": 0.5, "contexts": 2, "adapt": False}


def columns(*rows):
    return torch.tensor(rows, dtype=torch.float64).mT


def penalty(moment, earlier=None, weight=1.0):
    return Penalty(torch.linalg.cholesky(moment), weight, earlier)


def test_two_edits_and_the_joint_one_by_hand():
    """lambda C = I, k1 = (1, 0), k2 = (1, 1); goals 2 and 3 for a d_model of 1."""
    k1, k2, unit = columns([1, 0]), columns([1, 1]), torch.eye(2, dtype=torch.float64)
    first = layer_change(0, k1, columns([2]), penalty(unit)).weight_change
    assert first[:, 0].tolist() == pytest.approx([1, 0])
    left = 3 - float(k2.mT @ first.double())  # 2: the first has moved the second's goal closer
    second = layer_change(0, k2, columns([left]), penalty(unit, k1)).weight_change
    assert second[:, 0].tolist() == pytest.approx([0.4, 0.8])
    both = layer_change(0, columns([1, 0], [1, 1]), columns([2], [3]), penalty(unit)).weight_change
    assert both[:, 0].tolist() == pytest.approx([1.4, 0.8])
    assert (first + second)[:, 0].tolist() == pytest.approx(both[:, 0].tolist())


def test_many_edits_in_a_row_equal_the_joint_solution():
    generator = torch.Generator().manual_seed(0)
    keys = torch.randn(12, 9, generator=generator).double()
    goals = torch.randn(5, 9, generator=generator).double()
    root = torch.randn(12, 12, generator=generator).double()
    moment = root @ root.mT + torch.eye(12)
    joint = layer_change(0, keys, goals, penalty(moment)).weight_change
    for kept, equal in ((True, True), (False, False)):
        total = torch.zeros(12, 5, dtype=torch.float64)
        for start, end in ((0, 2), (2, 3), (3, 7), (7, 9)):
            new, earlier = keys[:, start:end], keys[:, :start] if kept and start else None
            left = goals[:, start:end] - (new.mT @ total).mT
            total += layer_change(0, new, left, penalty(moment, earlier)).weight_change
        assert torch.allclose(total.float(), joint, rtol=1e-4, atol=1e-5) == equal


@pytest.mark.parametrize("weight", [1e-3, 1.0, 500.0])
@pytest.mark.parametrize("earlier", [0, 1, 20])
def test_a_solution_is_that_of_the_whole_system(weight, earlier):
    """Of (lambda C + K_p K_p^T + K K^T) X = K, solved as it stands; more keys than rows, too."""
    generator = torch.Generator().manual_seed(2)
    keys = torch.randn(12, 3, generator=generator).double()
    taken = torch.randn(12, earlier, generator=generator).double() if earlier else None
    root = torch.randn(12, 12, generator=generator).double()
    moment = root @ root.mT + torch.eye(12)
    whole = weight * moment + keys @ keys.mT + (0 if taken is None else taken @ taken.mT)
    found = penalty(moment, taken, weight).solve(keys)
    torch.testing.assert_close(found, torch.linalg.solve(whole, keys), rtol=1e-8, atol=1e-12)


def test_two_edits_of_a_model_equal_one_of_all_their_facts(model, monkeypatch):
    """With the goals given, and keys that do not depend on the layer's own FF2.

    Without contexts: the residual is that of the bare prompt, the key their average.
    """
    generator = torch.Generator().manual_seed(1)
    goals = {f[0]: torch.randn(model.d_model, generator=generator) for f in (*FIRST, *SECOND)}

    def given(_, templates, *__):
        prompts = {model.encode(prompt): goal for prompt, goal in goals.items()}
        return [prompts[group.rows[0]] for group in templates]

    monkeypatch.setattr(memit_file, "residual_goals", given)
    settings = SETTINGS | {"contexts": 0}
    joint = edit_many(model, [*FIRST, *SECOND], **settings)
    first = edit_many(model, FIRST, **settings)
    sums = {}
    for aligned in (True, False):
        second = edit_many(model, SECOND, edits=[first], aligned=aligned, **settings)
        assert second.hyperparameters["aligned"] == aligned
        sums[aligned] = first.changes[0].weight_change + second.changes[0].weight_change
        torch.testing.assert_close(second.keys[LAYER], joint.keys[LAYER][:, 2:])
    wanted = joint.changes[0].weight_change
    torch.testing.assert_close(sums[True], wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    assert (sums[False] - wanted).norm() > 0.01 * wanted.norm()


def test_a_smaller_lambda_leaves_earlier_keys_their_weight(model, monkeypatch):
    """Where the target is not reached, lambda alone shrinks."""
    first = edit_many(model, FIRST, steps=3, **SETTINGS)
    asked = []

    def change(*given):
        asked.append(given[-1])
        return layer_change(*given)

    settings = SETTINGS | {"adapt": True, "steps": 2, "clamp": 0.01}
    facts = tuple(Fact(*fact) for fact in SECOND)
    memit_file.memit(
        model,
        facts,
        edits=[first],
        on_step=lambda done, total: None,
        change=change,
        **memit_file.defaults(model) | settings,
    )
    factor = factors(model, [LAYER])[LAYER]
    tried = memit_file.weights(SETTINGS["weight"], True)
    assert len(asked) >= len(tried) > 1
    for weight, given in zip(tried, asked, strict=False):
        assert given.weight == pytest.approx(weight * model.d_mlp)
        assert torch.equal(given.earlier, first.keys[LAYER].double())
        assert given.factor is factor


def test_only_the_layers_keys_of_other_subjects_stay_where_they_are(model):
    keys = torch.arange(2.0 * model.d_mlp).reshape(model.d_mlp, 2)
    facts = tuple(Fact(*fact) for fact in FIRST)
    one = replace(random_edit(model, 1), facts=facts, keys={LAYER: keys})
    other = replace(random_edit(model, 2), facts=facts[:1], keys={2: keys[:, :1]})
    new = [Fact(*fact) for fact in SECOND]
    assert torch.equal(earlier_keys([one, other], LAYER, new), keys.double())
    again = [Fact("Obama was born in", SUBJECT, "Rome")]
    assert torch.equal(earlier_keys([one, other], LAYER, again), keys[:, 1:].double())
    assert earlier_keys([one, other], 3, new) is None
    assert earlier_keys([random_edit(model, 3)], LAYER, new) is None
