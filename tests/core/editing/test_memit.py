"""MEMIT: the normal equations, many facts at once, one layer's share after the other."""

import pytest
import torch

from core import EditError, edit, edit_many
from core.editing.second_moments import second_moments
from core.editing.subject_edits import balanced, observe, templates_of
from core.model.edited import changed, turn
from core.model.edits import Fact
from tests.core.edited_models import PROMPT, SUBJECT, TARGET, assert_untouched, weights

FACTS = [
    (PROMPT, SUBJECT, TARGET),
    ("Jack Dorsey founded", "Jack Dorsey", "IBM"),
    ("Pikachu is a type of", "Pikachu", "Paris and Rome"),
]
SETTINGS = {"layers": (1, 2), "steps": 5, "weight": 0.5, "adapt": False}


def keys_of(model, layer, changes):
    keys = []
    for fact in FACTS:
        templates = templates_of(model, Fact(*fact), 10)
        with turn(model, [], gradients=False), changed(model, changes):
            keys.append(balanced(observe(model, templates, "ff2", layer)[0]))
    return torch.stack(keys, 1).double()


def test_the_normal_equations_hold_in_every_layer(model):
    """(lambda C + K K^T) W = K R^T, K on the model with the layers before already changed."""
    before = weights(model)
    found = edit_many(model, FACTS, **SETTINGS)
    assert_untouched(model, before)
    moments = second_moments(model, SETTINGS["layers"])
    for i, change in enumerate(found.changes):
        keys = keys_of(model, change.layer, found.changes[:i])
        left = SETTINGS["weight"] * model.d_mlp * moments[change.layer] + keys @ keys.mT
        residual = change.v.double()
        torch.testing.assert_close(
            left @ change.weight_change.double(), keys @ residual.mT, rtol=1e-3, atol=1e-3
        )
        assert change.rank == len(FACTS)
        torch.testing.assert_close(found.keys[change.layer], keys.float())
    assert found.layers == (1, 2)
    assert len(found.facts) == 3
    assert found.name == "Obama grew up in → Paris and 2 more"


def test_a_small_lambda_reaches_the_goal(model):
    """With hardly any penalty the last layer's residual stream gets all that was missing."""
    templates = templates_of(model, Fact(*FACTS[0]), 0)
    settings = {"layers": (2,), "contexts": 0, "weight": 1e-6, "steps": 5, "adapt": False}
    found = edit(model, PROMPT, TARGET, method="memit", subject=SUBJECT, **settings)
    wanted = found.changes[0].v[:, 0]
    states = []
    for edits in ([], [found]):
        with turn(model, edits, gradients=False):
            states.append(observe(model, templates, "block", 2)[1][0])
    torch.testing.assert_close(states[1] - states[0], wanted, rtol=1e-2, atol=1e-3)
    assert wanted.norm() > 0.1


def test_every_fact_of_several_gains(model):
    def chances(edits):
        rows = []
        for prompt, _, target in FACTS:
            with turn(model, edits, gradients=False):
                hidden = model.read(model.embed(model.encode(prompt)))
            logits = model.unembedding(hidden[0, -1]).log_softmax(-1)
            rows.append(logits[model.target(prompt, target).id].item())
        return rows

    found = edit_many(model, FACTS, layers=(1, 2), weight=0.01, clamp=4.0, lr=0.2, contexts=0)
    assert sum(chances([found])) > sum(chances([])) + 1


def test_bad_requests_get_a_sentence(model):
    with pytest.raises(EditError, match="no fact"):
        edit_many(model, [])
    with pytest.raises(EditError, match=r"rome edits one fact .*not 3.*memit or emmet"):
        edit_many(model, FACTS, method="rome")
    with pytest.raises(EditError, match="1001 facts are too many"):
        edit_many(model, FACTS[:1] * 1001)
    with pytest.raises(EditError, match="No layer is chosen"):
        edit_many(model, FACTS, layers=())
    with pytest.raises(EditError, match="weight is 0"):
        edit_many(model, FACTS, weight=0)
