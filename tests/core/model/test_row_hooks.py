"""Edits on rows of a batch, side by side: each row is as on the model with its edits alone."""

import pytest
import torch

from core.model.edited import added_by, hooked, row_hooks, side_by_side, turn
from core.model.edits import Change, Edit
from core.model.forcing import padded
from tests.core.edited_models import random_edit

ROWS = [(1, 2, 3, 4), (5, 6, 7, 8), (9, 1, 5, 2)]


def edit_of_rank(model, rank, seed):
    """An edit of FF1 and FF2 of layer 1."""
    generator = torch.Generator().manual_seed(seed)
    changes = []
    for matrix, d_in, d_out in (
        ("ff1", model.d_model, model.d_mlp),
        ("ff2", model.d_mlp, model.d_model),
    ):
        u, v = (0.1 * torch.randn(d, rank, generator=generator) for d in (d_in, d_out))
        changes.append(Change(matrix, 1, u=u, v=v))
    made = random_edit(model, seed)
    return Edit(**{**vars(made), "changes": tuple(changes)})


def alone(model, rows, edits):
    with turn(model, edits, gradients=False):
        return model.read(padded(model, rows))


@pytest.mark.parametrize("order", ["sizes", "ranks", "dense"])
def test_each_group_is_as_alone(model, order):
    """Groups of two sizes, ranks from 1 to 9, several edits and none, dense changes among them."""
    one, two, nine = (edit_of_rank(model, rank, rank) for rank in (1, 2, 9))
    dense = random_edit(model, 5, "ff2", 1, dense=True)
    groups = {
        "sizes": [(2, [one]), (1, [two]), (1, [one]), (2, [nine]), (2, [])],
        "ranks": [(1, [one]), (1, [two]), (1, [nine]), (1, [one, two]), (1, [nine])],
        "dense": [(1, [dense]), (1, [one]), (1, [dense, nine]), (1, [two]), (2, [one])],
    }[order]
    batch, slices, start = [], [], 0
    for size, edits in groups:
        slices.append((slice(start, start + size), edits))
        batch += ROWS[:size]
        start += size
    with turn(model, (), gradients=False), hooked(row_hooks(model, slices)):
        found = model.read(padded(model, batch))
    for rows, edits in slices:
        wanted = alone(model, batch[rows], edits)
        torch.testing.assert_close(found[rows], wanted, rtol=1e-4, atol=1e-4)


def test_like_groups_are_one(model):
    (module,) = model.modules("ff2", 1)
    columns = slice(0, model.d_model)

    def group(start, size, rank):
        changes = edit_of_rank(model, rank, start).changes[1:]
        return added_by(slice(start, start + size), changes, columns, module)

    together = side_by_side([group(0, 2, 3), group(2, 2, 4), group(4, 1, 3), group(5, 2, 9)])
    assert [tuple(one.u.shape) for one in together] == [
        (2, model.d_mlp, 4),
        (model.d_mlp, 3),
        (model.d_mlp, 9),
    ]
    assert together[0].rows.tolist() == [0, 1, 2, 3]


def test_gradients_go_through_groups(model):
    """As the searches need them: with respect to what goes in."""
    one, two = edit_of_rank(model, 2, 1), edit_of_rank(model, 2, 2)
    start = padded(model, ROWS[:2]).detach().clone().requires_grad_()
    hooks = row_hooks(model, [(slice(0, 1), [one]), (slice(1, 2), [two])])
    with turn(model, (), gradients=True), hooked(hooks):
        (got,) = torch.autograd.grad(model.read(start).square().sum(), start)
    for i, edit in enumerate((one, two)):
        with turn(model, [edit], gradients=True):
            own = start[i : i + 1].detach().clone().requires_grad_()
            (wanted,) = torch.autograd.grad(model.read(own).square().sum(), own)
        torch.testing.assert_close(got[i : i + 1], wanted, rtol=1e-3, atol=1e-3)
