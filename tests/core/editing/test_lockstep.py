"""Searches side by side find what each finds alone."""

import pytest
import torch

from core import edit_many
from core.editing import shift_search
from core.editing.lockstep import lockstep
from core.editing.search_parts import Asked, Search
from core.editing.subject_edits import templates_of
from core.editing.suffix_pass import joined, keep, run_all, run_on
from core.model.edited import turn
from core.model.edits import Fact
from tests.core.edited_models import PROMPT, SUBJECT, TARGET, random_edit

FACTS = [
    Fact(PROMPT, SUBJECT, TARGET),
    Fact("Jack Dorsey founded", "Jack Dorsey", "Paris and Rome"),
    Fact("The capital of France is", "France", "Rome"),
]
LAYER = 1
SEARCH = {"steps": 8, "lr": 0.2, "kl": 0.05, "decay": 0.1, "clamp": 40.0}


def asked_for(model, fact, contexts=6, **search):
    templates = templates_of(model, fact, contexts)
    return Asked(templates, LAYER, torch.ones(model.d_model), Search(**SEARCH | search))


def run(model, asked, edits=(), **more):
    steps = []
    found = lockstep(model, asked, edits=edits, on_step=lambda *s: steps.append(s), **more)
    return found, steps


@pytest.mark.parametrize("edits", [0, 1])
@pytest.mark.parametrize("kl", [0.0, 0.05])
def test_together_as_alone(model, kl, edits):
    """Prompts and targets of other lengths, other numbers of contexts, an active edit or none."""
    active = [random_edit(model, 3, "ff2", 3)][:edits]
    asked = [asked_for(model, f, n, kl=kl) for f, n in zip(FACTS, (6, 0, 10), strict=True)]
    together, _ = run(model, asked, active)
    for one, found in zip(asked, together, strict=True):
        (alone,), _ = run(model, [one], active)
        torch.testing.assert_close(found.shift, alone.shift, rtol=1e-3, atol=1e-3)
        assert found.lead == pytest.approx(alone.lead, abs=1e-2)
        assert found.search.lr == pytest.approx(alone.search.lr)
        assert found.shift.norm() > 0.1


def test_one_that_has_ended_rests_while_others_go_on(model):
    """A search that has all it wants after its first steps moves no further."""
    easy = asked_for(model, FACTS[0], margin=-1e6)
    hard = [asked_for(model, fact) for fact in FACTS[1:]]
    together, steps = run(model, [easy, *hard])
    (alone,), own = run(model, [easy])
    assert len(own) < len(steps) == SEARCH["steps"] - 1
    torch.testing.assert_close(together[0].shift, alone.shift, rtol=1e-3, atol=1e-3)
    for one, found in zip(hard, together[1:], strict=True):
        torch.testing.assert_close(found.shift, run(model, [one])[0][0].shift, rtol=1e-3, atol=1e-3)


def test_limits_are_each_searchs_own(model):
    asked = [
        asked_for(model, fact, clamp=clamp)
        for fact, clamp in zip(FACTS, (0.01, 1, 50), strict=True)
    ]
    together, _ = run(model, asked)
    norms = [float(found.shift.norm()) for found in together]
    unit = model.d_model**0.5
    assert norms[0] == pytest.approx(0.01 * unit, rel=1e-3)
    assert norms[0] < norms[1] <= unit * 1.001
    assert norms[1] < norms[2]


def test_joined_rows_are_run_as_whole_passes_run_them(model):
    """Rows of two parts, with earlier tokens or none, against passes over whole rows."""
    groups = [
        ([(1, 2, 3, 4, 5), (6, 7)], (2, 1)),
        ([(9, 8, 7, 6, 5, 4, 3)], (0,)),
        ([(3, 4)], (1,)),
    ]
    with turn(model, (), gradients=False):
        parts = [keep(model, rows, starts, LAYER) for rows, starts in groups]
        whole = joined(parts)
        rows = [row for group, _ in groups for row in group]
        added = torch.zeros(*whole.positions.shape, model.d_model)
        added[:, 0] = 1.0
        found = run_on(model, whole, rows, added)
        first = 0
        for (group, starts), part in zip(groups, parts, strict=True):
            own = torch.zeros(*part.positions.shape, model.d_model)
            own[:, 0] = 1.0
            wanted = run_all(model, part, group, own)
            for i, (row, start) in enumerate(zip(group, starts, strict=True)):
                n = len(row) - start
                got = found[first + i, :n]
                torch.testing.assert_close(got, wanted[i, :n], rtol=1e-4, atol=1e-4)
            first += len(group)


def test_one_part_alone_is_itself(model):
    with turn(model, (), gradients=False):
        part = keep(model, [(1, 2, 3)], (1,), LAYER)
    assert joined([part]) is part


def test_several_facts_are_one_turn_a_step(model, monkeypatch):
    """MEMIT's facts search side by side; their edit is that of searches one by one."""
    facts = [(fact.prompt, fact.subject, fact.target) for fact in FACTS]
    settings = {"layers": (1, 2), "steps": 6, "contexts": 2, "adapt": False, "weight": 0.5}
    edit_many(model, facts, **settings)  # second moments and contexts take passes of their own
    passes, steps = [], []
    hook = model.final_norm.register_forward_hook(lambda *_: passes.append(1))
    together = edit_many(model, facts, on_step=lambda *s: steps.append(s), **settings)
    side_by_side = len(passes)
    monkeypatch.setattr(shift_search, "AT_ONCE", 1)
    passes.clear()
    alone = edit_many(model, facts, **settings)
    hook.remove()
    for ours, other in zip(together.changes, alone.changes, strict=True):
        torch.testing.assert_close(ours.weight_change, other.weight_change, rtol=1e-2, atol=1e-3)
    assert side_by_side < 0.75 * len(passes)
    assert steps[-1] == (3 * 6, 3 * 6)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
