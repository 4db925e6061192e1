"""Factors of second moments: right, found once, forgotten in good time."""

import gc

import pytest
import torch

from core import EditError, edit
from core.editing import penalty as module
from core.editing.penalty import factors, forget_some
from core.editing.second_moments import second_moments
from tests.conftest import random_model
from tests.core.edited_models import PROMPT, SUBJECT, TARGET


def test_a_factor_is_its_second_moments(model):
    moments = second_moments(model, [1, 2])
    for layer, factor in factors(model, [1, 2]).items():
        assert torch.equal(factor, factor.tril())
        torch.testing.assert_close(factor @ factor.mT, moments[layer], rtol=1e-9, atol=1e-12)


def test_a_layer_is_factored_once_for_all_methods(model, monkeypatch):
    made = []

    def counting(moment, device):
        made.append(device)
        return torch.linalg.cholesky(moment)

    monkeypatch.setattr(module, "factor_of", counting)
    monkeypatch.setattr(module, "OF_MODEL", 10)
    first = factors(model, [1])
    for method, where in (("rome", {"layer": 1}), ("memit", {"layers": (1, 2)})):
        edit(model, PROMPT, TARGET, method=method, subject=SUBJECT, steps=2, **where)
    edit(model, PROMPT, TARGET, method="emmet", subject=SUBJECT, steps=2, layer=2)
    assert len(made) == 2
    assert factors(model, [1])[1] is first[1]


def test_another_text_has_factors_of_its_own(model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "OF_MODEL", 10)
    text = tmp_path / "text.txt"
    text.write_text("Obama grew up in Hawaii. " * 40, encoding="utf-8")
    own, other = factors(model, [1])[1], factors(model, [1], text_file=text)[1]
    assert not torch.equal(own, other)
    assert factors(model, [1])[1] is own


def test_the_one_unused_for_longest_is_forgotten(model, monkeypatch):
    size = 8 * model.d_mlp**2
    monkeypatch.setattr(module, "OF_MODEL", 2.5 * size / module.bytes_of(model))
    first = factors(model, [0, 1])
    assert factors(model, [0])[0] is first[0]  # layer 1 waits for longer now
    factors(model, [2])
    assert factors(model, [0])[0] is first[0]
    again = factors(model, [1])[1]
    assert again is not first[1]
    assert torch.equal(again, first[1])


def test_all_that_was_asked_for_comes_though_nothing_may_stay(model, monkeypatch):
    monkeypatch.setattr(module, "OF_MODEL", 0)
    assert list(factors(model, [2, 0, 1])) == [2, 0, 1]
    assert not module._kept[model]


@pytest.mark.parametrize("free", [0, 10**12])
def test_what_the_machine_needs_is_given_back(model, monkeypatch, free):
    monkeypatch.setattr(module, "OF_MODEL", 10)
    factors(model, [0])
    own = module._kept[model]
    monkeypatch.setattr(module, "available_memory", lambda: free)
    forget_some(own, 10**12)
    assert len(own) == (free > 0)


@pytest.mark.parametrize("damage", ["zero", "indefinite"])
def test_what_cannot_be_inverted_is_said(model, monkeypatch, damage):
    moment = torch.zeros(model.d_mlp, model.d_mlp, dtype=torch.float64)
    if damage == "indefinite":
        moment += torch.diag(torch.linspace(-1, 1, model.d_mlp, dtype=torch.float64))
    monkeypatch.setattr(module, "second_moments", lambda *_, **__: {1: moment})
    with pytest.raises(EditError, match=r"layer 1 .*Delete .*moments-.*-1-.* and try again"):
        factors(model, [1])
    assert not module._kept[model]


def test_they_go_with_their_model():
    model = random_model("gpt2")
    factors(model, [0])
    assert model in module._kept
    before = len(module._kept)
    del model
    gc.collect()
    assert len(module._kept) < before
