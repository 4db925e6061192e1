"""Passes that begin above a layer and at a token give what plain passes give."""

import pytest
import torch

from core.editing.search_parts import CONTEXTS_A_STEP, Search, in_turns
from core.editing.shift_search import find_shift
from core.editing.subject_edits import at_last_token, templates_of
from core.editing.suffix_pass import keep, run_all, run_on
from core.model.edited import turn
from core.model.edits import Fact
from tests.core.edited_models import PROMPT, SUBJECT, TARGET, random_edit

FREE = {"kl": 0.0, "decay": 0.0, "clamp": 100.0}
STEP = {"kl": 0.0625, "decay": 0.0, "clamp": 100.0}


@pytest.mark.parametrize("starts", [(1, 8, 7, 0), (0, 0, 0, 0), (2, 11, 5, 2)])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_rest_of_a_pass_equals_the_whole(model, starts, attention):
    """Rows of several lengths, an edit above the layer active; values and gradients."""
    model.network.set_attn_implementation(attention)
    generator = torch.Generator().manual_seed(0)
    rows = [
        tuple(torch.randint(0, model.vocabulary_size, (n,), generator=generator).tolist())
        for n in (5, 12, 9, 3)
    ]
    real = torch.tensor(
        [
            [start + token < len(row) for token in range(longest(rows, starts))]
            for row, start in zip(rows, starts, strict=True)
        ]
    )
    edits = [random_edit(model, 2, "ff2", 2)]
    for layer in (0, 3):
        with turn(model, edits, gradients=True):
            kept = keep(model, rows, starts, layer)
            added = 0.5 * torch.randn(kept.residual.shape, generator=generator)
            added.requires_grad_()
            states = [passes(model, kept, rows, added)[real] for passes in (run_on, run_all)]
            slopes = [torch.autograd.grad(state[:, 0].sum(), added)[0] for state in states]
        torch.testing.assert_close(states[0], states[1], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(slopes[0][real], slopes[1][real], rtol=1e-4, atol=1e-5)


def longest(rows, starts):
    return max(len(row) - start for row, start in zip(rows, starts, strict=True))


@pytest.mark.parametrize("target", [TARGET, "Paris and Rome"])
def test_the_search_finds_the_same_with_plain_passes(model, target):
    found = [
        found_with(model, target, Search(steps=5, lr=0.1, **STEP), passes)
        for passes in (run_on, run_all)
    ]
    torch.testing.assert_close(found[0].shift, found[1].shift, rtol=1e-3, atol=1e-4)
    assert found[0].shift.norm() > 0.1


def test_the_search_stops_as_soon_as_the_target_leads(model):
    seen = []
    for margin in (0.0, 0.3):
        found = found_with(
            model,
            TARGET,
            Search(steps=100, lr=0.1, margin=margin, **FREE),
            run_on,
            seen.append,
            True,
        )
        assert found.lead > margin
        assert 0 < len(seen) < 99
        seen.clear()
    with_loss = found_with(
        model, TARGET, Search(steps=2, lr=0.1, margin=0.0, **FREE), run_on, last=True
    )
    assert with_loss.lead < 0


def found_with(model, target, search, passes, on_step=lambda done: None, last=False):
    templates = templates_of(model, Fact(PROMPT, SUBJECT, target), 4)
    templates = at_last_token(templates) if last else templates
    return find_shift(
        model,
        templates,
        3 if last else 1,
        torch.ones(model.d_model),
        search,
        edits=[],
        on_step=lambda done, total: on_step(done),
        passes=passes,
    )


def test_contexts_take_turns_and_the_bare_prompt_is_in_every_step(model):
    group = templates_of(model, Fact(PROMPT, SUBJECT, TARGET), 10)
    parts = in_turns(group)
    assert len(parts) == -(-(len(group.rows) - 1) // CONTEXTS_A_STEP) > 1
    assert all(part.rows[0] == group.rows[0] for part in parts)
    others = [pair for part in parts for pair in zip(part.rows[1:], part.places[1:], strict=True)]
    assert sorted(others) == sorted(zip(group.rows[1:], group.places[1:], strict=True))
