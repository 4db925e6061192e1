"""EMMET: ROME's change for one fact, the goals themselves for several, a rank for each."""

import pytest
import torch

from core import EditError, edit, edit_many
from core.editing import emmet as emmet_file
from core.editing.emmet import defaults, layer_change
from core.editing.memit import layer_change as memit_change
from core.editing.penalty import Penalty
from core.editing.rome import direction
from core.editing.subject_edits import observe, templates_of
from core.model.edited import turn
from core.model.edits import Fact
from tests.core.edited_models import PROMPT, SUBJECT, TARGET, assert_untouched, weights

FACTS = [
    (PROMPT, SUBJECT, TARGET),
    ("Jack Dorsey founded", "Jack Dorsey", "IBM"),
    ("Pikachu is a type of", "Pikachu", "Paris and Rome"),
]
LAYER = 1
# A search that does not depend on whose norm its limits are measured in.
FREE = {"lr": 0.2, "decay": 0.0, "clamp": 1e4, "margin": None, "contexts": 3, "steps": 5}
ASKED = FREE | {"layer": LAYER, "adapt": False}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def moment_of(width):
    root = drawn(width, width, seed=1)
    return root @ root.mT + torch.eye(width)


def penalty(moment, weight=1.0, earlier=None):
    return Penalty(torch.linalg.cholesky(moment), weight, earlier)


def test_one_fact_by_hand():
    """C' = diag(1, 2), k = (1, 2), rho = 1: C'^-1 k = (1, 1), k^T C'^-1 k = 3, u = (1, 1) / 4."""
    moment = torch.diag(torch.tensor([1.0, 2.0])).double()
    key, residual = torch.tensor([[1.0], [2.0]]).double(), torch.tensor([[8.0]]).double()
    change = layer_change(0, key, residual, penalty(moment), rho=1.0)
    assert change.weight_change[:, 0].tolist() == pytest.approx([2, 2])


def test_one_fact_without_slack_is_romes_direction():
    key, moment = drawn(12, 1), moment_of(12)
    change = layer_change(0, key, drawn(5, 1), penalty(moment, 3.0), rho=1e-12)
    factor = torch.linalg.cholesky(moment)
    torch.testing.assert_close(change.u[:, 0], direction(factor, key[:, 0].float()))
    torch.testing.assert_close(
        direction(factor, key[:, 0].float()).double(),
        torch.linalg.solve(moment, key)[:, 0] / (key * torch.linalg.solve(moment, key)).sum(),
        check_dtype=False,
        rtol=1e-5,
        atol=1e-6,
    )


def test_it_is_memits_change_with_rho_of_the_penalty():
    """Earlier keys count as much in both, whatever rho."""
    keys, residual, earlier = drawn(12, 3), drawn(5, 3, seed=2), drawn(12, 2, seed=3)
    for rho in (0.1, 1.0, 3.0):
        given = penalty(moment_of(12), 1.0, earlier)
        emmet = layer_change(0, keys, residual, given, rho=rho).weight_change
        given = penalty(moment_of(12), rho, earlier)
        memit = memit_change(0, keys, residual, given).weight_change
        torch.testing.assert_close(emmet, memit)


def test_it_is_the_published_form():
    """C'^-1 K (K^T C'^-1 K + rho I)^-1 R^T, written down; C' = C + K_p K_p^T / rho."""
    keys, residual, earlier = drawn(12, 3), drawn(5, 3, seed=2), drawn(12, 2, seed=3)
    for rho in (0.01, 0.1, 1.0):
        whole = moment_of(12) + earlier @ earlier.mT / rho
        free = torch.linalg.solve(whole, keys)
        wanted = free @ torch.linalg.inv(keys.mT @ free + rho * torch.eye(3)) @ residual.mT
        got = layer_change(0, keys, residual, penalty(moment_of(12), 1.0, earlier), rho=rho)
        torch.testing.assert_close(got.weight_change, wanted.float(), rtol=1e-4, atol=1e-5)


def test_edits_in_a_row_equal_the_joint_one():
    """At any slack: what the first edit asked for is held as what the second asks for."""
    keys, goals, rho = drawn(12, 7), drawn(5, 7, seed=2), 0.3
    joint = layer_change(0, keys, goals, penalty(moment_of(12)), rho=rho).weight_change
    total = torch.zeros(12, 5, dtype=torch.float64)
    for start, end in ((0, 2), (2, 3), (3, 7)):
        new, earlier = keys[:, start:end], keys[:, :start] if start else None
        left = goals[:, start:end] - (new.mT @ total).mT
        given = penalty(moment_of(12), 1.0, earlier)
        total += layer_change(0, new, left, given, rho=rho).weight_change
    torch.testing.assert_close(total.float(), joint, rtol=1e-4, atol=1e-5)


def test_an_edit_of_one_fact_is_romes_edit(model):
    asked = {"subject": SUBJECT, **ASKED}
    rome = edit(model, PROMPT, TARGET, method="rome", in_place=False, **asked)
    emmet = edit(model, PROMPT, TARGET, method="emmet", rho=1e-9, **asked)
    wanted, got = (found.changes[0].weight_change for found in (rome, emmet))
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    torch.testing.assert_close(emmet.keys[LAYER], rome.keys[LAYER])
    assert wanted.norm() > 0.01


def test_several_facts_are_said_as_asked_and_rho_gives_way():
    """K^T dW = R^T as rho goes to 0, with a column of earlier keys in the penalty or not."""
    keys, residual, earlier = drawn(12, 3), drawn(5, 3, seed=2), drawn(12, 1, seed=3)
    for given in (penalty(moment_of(12)), penalty(moment_of(12), 1.0, earlier)):
        off = []
        for rho in (1e-12, 0.1, 1.0):
            change = layer_change(0, keys, residual, given, rho=rho)
            assert change.rank == 3
            off.append(float((keys.mT @ change.weight_change.double() - residual.mT).norm()))
        assert off[0] < 1e-4 < off[1] < off[2]


def test_among_such_changes_it_is_the_one_that_moves_other_keys_least():
    """Any other change with the same K^T dW has a larger tr(dW^T C' dW)."""
    keys, moment = drawn(12, 3), moment_of(12)
    change = layer_change(0, keys, drawn(5, 3, seed=2), penalty(moment), rho=1e-12)
    found = change.weight_change.double()
    free = torch.eye(12) - keys @ torch.linalg.pinv(keys)  # what no key reads

    def cost(change):
        return float((change * (moment @ change)).sum())

    for seed in range(20):
        assert cost(found) < cost(found + 0.1 * free @ drawn(12, 5, seed=seed))


def test_every_fact_reaches_its_goal(model):
    """After the layer the residual stream has moved by exactly what was asked of each fact."""
    before = weights(model)
    settings = ASKED | {"contexts": 0, "rho": 1e-9}
    found = edit_many(model, FACTS, method="emmet", **settings)
    assert_untouched(model, before)
    assert (found.layers, found.rank, len(found.facts)) == ((LAYER,), 3, 3)
    assert found.keys[LAYER].shape == (model.d_mlp, 3)
    for i, fact in enumerate(FACTS):
        templates = templates_of(model, Fact(*fact), 0)
        states = []
        for edits in ([], [found]):
            with turn(model, edits, gradients=False):
                states.append(observe(model, templates, "block", LAYER)[1][0])
        moved = states[1] - states[0]
        torch.testing.assert_close(moved, found.changes[0].v[:, i], rtol=1e-2, atol=1e-3)
        assert moved.norm() > 0.1


def test_earlier_keys_move_less(model):
    first = edit_many(model, FACTS[:1], method="emmet", **ASKED)
    moved = {}
    for aligned in (True, False):
        second = edit_many(
            model, FACTS[1:], method="emmet", edits=[first], aligned=aligned, **ASKED, weight=0.01
        )
        moved[aligned] = float((first.keys[LAYER].mT @ second.changes[0].weight_change).norm())
    assert moved[True] < 0.9 * moved[False]


def test_it_costs_no_more_searches_than_rome(model, monkeypatch):
    """The same steps for the same settings: what an edit takes is its search."""
    steps = {}
    for method in ("rome", "emmet"):
        seen = []
        asked = {"method": method, "subject": SUBJECT, **ASKED}
        edit(model, PROMPT, TARGET, **asked, on_step=lambda *step, seen=seen: seen.append(step))
        steps[method] = [step for step in seen if step[1] == ASKED["steps"]]
    assert len(steps["emmet"]) == len(steps["rome"]) > 0


def test_the_published_settings_know_their_width():
    assert emmet_file.PUBLISHED["gpt2-xl"]["weight"] * 6400 == pytest.approx(1e4)
    assert emmet_file.PUBLISHED["meta-llama/Llama-2-7b-hf"]["weight"] * 11_008 == pytest.approx(1e5)


def test_bad_requests_get_a_sentence(model):
    assert {"layer", "weight", "rho", "aligned"} < defaults(model).keys()
    asked = {"method": "emmet", "subject": SUBJECT}
    with pytest.raises(EditError, match="rho is 0"):
        edit(model, PROMPT, TARGET, **asked, rho=0)
    with pytest.raises(EditError, match="Layer 9"):
        edit(model, PROMPT, TARGET, **asked, layer=9)
    with pytest.raises(EditError, match="1001 facts are too many"):
        edit_many(model, FACTS[:1] * 1001, method="emmet")


def test_the_same_fact_twice_is_one_fact(model):
    """Its two keys are one, which a constraint without slack could not hold."""
    asked = {"method": "emmet", "rho": 1e-3, **ASKED}
    once, twice = (edit_many(model, FACTS[:1] * count, **asked) for count in (1, 2))
    wanted = once.changes[0].weight_change
    difference = (twice.changes[0].weight_change - wanted).norm()
    assert difference < 0.05 * wanted.norm()
