"""Variants that share what lies below their first edit are the variants by themselves."""

import pytest
import torch

from core.benchmarking.branches import branched, first_layer, with_lines
from core.model.capture import exclusive
from core.model.edited import turn
from core.model.forcing import padded
from tests.core.edited_models import random_edit

ROWS = [(1, 2, 3, 4), (5, 6), (7, 8, 9)]


def alone(model, rows, edits):
    with turn(model, edits, gradients=False):
        return model.read(padded(model, rows))


def variants_of(model):
    """In no order, of all matrices, two edits of one variant, one twice; the last layer too."""
    low, high = random_edit(model, 1, "ff2", 2), random_edit(model, 2, "ff1", 0)
    top = random_edit(model, 3, "ff1", model.n_layers - 1, dense=True)
    return [[low], [], [top], [high, low], [low], [], [top, low]]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]])
def test_each_variant_is_as_alone(model, rows, attention):
    model.network.config._attn_implementation = attention
    variants = variants_of(model)
    with exclusive(model, gradients=False):
        found = branched(model, padded(model, rows), variants)
    assert len(found) == len(variants)
    for states, edits in zip(found, variants, strict=True):
        torch.testing.assert_close(states, alone(model, rows, edits), rtol=1e-4, atol=1e-4)
    assert (found[0] - found[1]).abs().max() > 1e-2


def test_a_layer_is_run_once_for_all_that_have_not_changed(model):
    seen = []
    hooks = [
        block.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
        for block in model.blocks
    ]
    with exclusive(model, gradients=False):
        branched(model, padded(model, ROWS), variants_of(model))
    for hook in hooks:
        hook.remove()
    assert seen == [6, 6, 15, 18]  # the unedited model's 3, and 3 of each variant that has begun


def test_the_model_is_left_as_it_was(model):
    before = alone(model, ROWS, [])
    with exclusive(model, gradients=False):
        branched(model, padded(model, ROWS), variants_of(model))
        with pytest.raises(RuntimeError):
            branched(model, torch.zeros(1, 2, 3), variants_of(model))
    assert torch.equal(alone(model, ROWS, []), before)
    assert not any(block._forward_pre_hooks for block in model.blocks)


def test_only_unedited_variants_are_one_pass(model):
    with exclusive(model, gradients=False):
        first, second = branched(model, padded(model, ROWS), [[], []])
        assert branched(model, padded(model, ROWS), []) == []
    assert torch.equal(first, second)
    assert len(first) == 3


def test_the_first_layer(model):
    low, high = random_edit(model, 1, "ff2", 2), random_edit(model, 2, "ff1", 1)
    assert first_layer([]) is None
    assert first_layer([low, high]) == 1


def test_what_has_no_row_a_line_stays():
    lines = torch.arange(4) % 2
    mask, positions, one = torch.arange(6).reshape(2, 3), torch.arange(2), torch.zeros(1, 3)
    got = with_lines((mask, positions, one, None, "x"), 2, lines)
    assert got[0].tolist() == [[0, 1, 2], [3, 4, 5]] * 2
    assert got[1] is positions
    assert got[2] is one
    assert got[3:] == (None, "x")
