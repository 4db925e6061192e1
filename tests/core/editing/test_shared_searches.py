"""A search that two methods make is made once; one that differs in anything is made anew."""

import pytest
import torch

from core import edit
from core.editing import shift_search as module
from core.editing.shift_search import Search, find_shift, shared_searches
from core.editing.subject_edits import templates_of
from core.model.edits import Fact
from tests.core.edited_models import PROMPT, SUBJECT, TARGET, random_edit

FREE = {"lr": 0.2, "kl": 0.0, "decay": 0.0, "clamp": "auto", "steps": 4}


@pytest.fixture
def made(monkeypatch):
    """The layers of the searches that were really made."""
    layers, search = [], module.search_anew

    def noting(model, templates, layer, *others):
        layers.append(layer)
        return search(model, templates, layer, *others)

    monkeypatch.setattr(module, "search_anew", noting)
    return layers


def found(model, layer=1, edits=(), value=1.0, target=TARGET, **search):
    templates = templates_of(model, Fact(PROMPT, SUBJECT, target), 2)
    return find_shift(
        model,
        templates,
        layer,
        torch.full((model.d_model,), value),
        Search(**FREE | search),
        edits=edits,
        on_step=lambda done, total: None,
    )


def test_the_second_search_is_the_first_ones(model, made):
    alone = found(model, value=2.0)
    with shared_searches():
        first, second = found(model, value=1.0), found(model, value=2.0)
    assert made == [1, 1]
    assert torch.equal(first.shift, second.shift)
    torch.testing.assert_close(second.shift, alone.shift, rtol=1e-4, atol=1e-5)
    assert second.search.clamp == pytest.approx(alone.search.clamp)
    assert first.search.clamp == pytest.approx(2 * second.search.clamp)
    assert second.lead == first.lead


@pytest.mark.parametrize("number", range(6))
def test_what_differs_is_searched_anew(model, made, number):
    other = [
        {"layer": 2},
        {"edits": [random_edit(model, 1)]},
        {"target": "Rome"},
        {"steps": 3},
        {"value": 2.0, "clamp": 4.0},
        {"value": 2.0, "decay": 0.5},
    ][number]
    same = {name: part for name, part in other.items() if name in ("clamp", "decay")}
    with shared_searches():
        found(model, **same)
        found(model, **other)
    assert len(made) == 2


def test_nothing_is_kept_after_the_block_or_without_it(model, made):
    with shared_searches():
        found(model)
        with shared_searches():
            found(model)
        found(model)
    found(model)
    assert len(made) == 3


def test_rome_and_emmet_search_once(model, made):
    asked = {"subject": SUBJECT, "layer": 1, "contexts": 2, "adapt": False, **FREE}
    alone = edit(model, PROMPT, TARGET, method="emmet", **asked).changes[0].weight_change
    steps = []
    with shared_searches():
        edit(model, PROMPT, TARGET, method="rome", in_place=False, **asked)
        shared = edit(
            model, PROMPT, TARGET, method="emmet", on_step=lambda *s: steps.append(s), **asked
        )
    assert len(made) == 2
    assert steps[-1] == (FREE["steps"], FREE["steps"])  # a chance to cancel all the same
    got = shared.changes[0].weight_change
    torch.testing.assert_close(got, alone, rtol=1e-3, atol=1e-4 * float(alone.abs().max()))
