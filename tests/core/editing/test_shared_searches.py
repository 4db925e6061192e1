"""A search that two methods make is made once; one that differs in anything is made anew."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from core import ModelError, edit
from core.editing import shift_search as module
from core.editing.search_parts import Asked, Search
from core.editing.shift_search import find_shift, owed_seconds, search_ahead, shared_searches
from core.editing.subject_edits import templates_of
from core.model.edits import Fact
from tests.core.edited_models import PROMPT, SUBJECT, TARGET, random_edit

FREE = {"lr": 0.2, "kl": 0.0, "decay": 0.0, "clamp": "auto", "steps": 4}


@pytest.fixture
def made(monkeypatch):
    """The layers of the searches that were really made."""
    layers, search = [], module.lockstep

    def noting(model, asked, **others):
        layers.extend(one.layer for one in asked)
        return search(model, asked, **others)

    monkeypatch.setattr(module, "lockstep", noting)
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
        with shared_searches():  # a part of the outer one
            found(model)
        found(model)
    assert len(made) == 1
    found(model)
    assert len(made) == 2


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


TARGETS = (TARGET, "Rome", "Paris and Rome", "IBM", TARGET)


def asked_for(model, target, layer=1, **search):
    templates = templates_of(model, Fact(PROMPT, SUBJECT, target), 2)
    return Asked(templates, layer, torch.ones(model.d_model), Search(**FREE | search))


def test_searches_made_ahead_are_found_again(model, made):
    """One asked for twice is made once; five go in two groups; a sixth is made when it comes."""
    alone = {target: found(model, target=target) for target in TARGETS}
    made.clear()
    steps = []
    with shared_searches():
        search_ahead(
            model,
            [asked_for(model, target) for target in (*TARGETS, "Obama")],
            edits=[],
            on_step=lambda *step: steps.append(step),
        )
        assert len(made) == 5
        assert steps[-1][0] <= steps[-1][1] == 5 * FREE["steps"]
        assert steps == sorted(steps)
        for target in TARGETS:
            got = found(model, target=target)
            torch.testing.assert_close(got.shift, alone[target].shift, rtol=1e-3, atol=1e-4)
        assert len(made) == 5
        found(model, target="Merkel")
    assert len(made) == 6


def test_an_edit_costs_what_its_search_took_though_it_was_made_before(model, monkeypatch):
    search, clock = module.lockstep, [0.0]

    def slow(*given, **named):
        clock[0] += 100
        return search(*given, **named)

    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(module, "lockstep", slow)
    with shared_searches():
        search_ahead(
            model,
            [asked_for(model, target) for target in (TARGET, "Rome")],
            edits=[],
            on_step=lambda *_: None,
        )
        assert owed_seconds() == 0
        found(model)
        found(model, target="Rome")
        assert owed_seconds() == 100  # two searches of 50 each
        assert owed_seconds() == 0
        found(model)  # of nobody: the edit that follows does not pay for it
        asked = {"subject": SUBJECT, "layer": 1, "contexts": 2, "adapt": False, **FREE}
        made = [edit(model, PROMPT, TARGET, method="emmet", **asked) for _ in range(2)]
    assert made[0].seconds < 50  # a new search, on the real clock
    assert made[1].seconds > 100  # the same one again
    assert owed_seconds() == 0


def test_where_one_fails_none_is_kept(model, made):
    """Weights that are no numbers: each search says so when its turn comes."""
    asked = [asked_for(model, target) for target in (TARGET, "Rome")]
    with torch.no_grad():
        model.final_norm.weight[0] = float("nan")
    with shared_searches():
        search_ahead(model, asked, edits=[], on_step=lambda *_: None)
        with pytest.raises(ModelError):
            found(model)


def test_a_search_in_place_is_left_to_itself(model, made):
    asked = [asked_for(model, target) for target in (TARGET, "Rome")]
    asked = [replace(one, direction=torch.ones(model.d_mlp)) for one in asked]
    with shared_searches():
        search_ahead(model, asked, edits=[], on_step=lambda *_: None)
    assert not made
