"""A model with edits on it, for one call.

The weights of the shared model are never touched. An edit is added to what its module puts out,
z + x U V^T, by a hook that lives as long as one locked call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from core.model.architectures import shape_in_out
from core.model.capture import exclusive
from core.model.edits import Change, Edit, check_fits
from core.model.language_model import LanguageModel

Hook = tuple[nn.Module, Callable]  # a module and its forward hook


@contextmanager
def edited(model: LanguageModel, edits: Sequence[Edit]) -> Iterator[None]:
    """The model with these edits on it, in order, until the block ends.

    Use it inside `exclusive`: hooks change every thread's forward passes. Raises EditError, before
    anything is changed, for an edit that does not fit.
    """
    check_fits(model, edits)
    with changed(model, [change for edit in edits for change in edit.changes]):
        yield


@contextmanager
def turn(model: LanguageModel, edits: Sequence[Edit], *, gradients: bool) -> Iterator[None]:
    """One locked call on the edited model: `exclusive` and `edited` together."""
    with exclusive(model, gradients=gradients), edited(model, edits):
        yield


@contextmanager
def changed(model: LanguageModel, changes: Sequence[Change]) -> Iterator[None]:
    """Like `edited`, for changes whose shapes are known to fit."""
    with hooked(hooks_of(model, [(slice(None), changes)])):
        yield


def row_hooks(model: LanguageModel, groups: Sequence[tuple[slice, Sequence[Edit]]]) -> list[Hook]:
    """Hooks for `hooked` that put other edits on each group of a batch's rows: (rows, edits).

    The groups do not overlap; rows in none are the unedited model's. So many edits are judged in
    one pass of the shared model. Raises EditError for an edit that does not fit.
    """
    for _, edits in groups:
        check_fits(model, edits)
    parts = [
        (rows, [change for edit in edits for change in edit.changes]) for rows, edits in groups
    ]
    return hooks_of(model, parts)


@contextmanager
def hooked(hooks: Sequence[Hook]) -> Iterator[None]:
    """The hooks on their modules until the block ends; use it inside `exclusive`."""
    with ExitStack() as stack:
        for module, hook in hooks:
            stack.callback(module.register_forward_hook(hook).remove)
        yield


def hooks_of(model: LanguageModel, groups: Sequence[tuple[slice, Sequence[Change]]]) -> list[Hook]:
    """One hook for each module that a change is on."""
    by_site: dict[tuple[str, int], list[tuple[slice, list[Change]]]] = {}
    for rows, changes in groups:
        own: dict[tuple[str, int], list[Change]] = {}
        for change in changes:
            own.setdefault((change.matrix, change.layer), []).append(change)
        for site, group in own.items():
            by_site.setdefault(site, []).append((rows, group))
    hooks = []
    for (matrix, layer), parts in by_site.items():
        first = 0
        for module in model.modules(matrix, layer):
            last = first + shape_in_out(module)[1]
            columns = slice(first, last)
            added = [(rows, change_of(group, columns, module)) for rows, group in parts]
            hooks.append((module, adding(added)))
            first = last
    return hooks


def adding(added: Sequence[tuple[slice, Callable[[Tensor], Tensor]]]) -> Callable:
    """A forward hook that adds to each group's rows of the output what it makes of the input."""

    def add(_: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        if len(added) == 1 and added[0][0] == slice(None):
            return output + added[0][1](inputs[0]).to(output.dtype)
        output = output.clone()
        for rows, change in added:
            output[rows] += change(inputs[0][rows]).to(output.dtype)
        return output

    return add


def change_of(
    changes: Sequence[Change], columns: slice, module: nn.Module
) -> Callable[[Tensor], Tensor]:
    """What x U V^T of all changes adds to a module's output, in float32 at least.

    Factors of several changes are set side by side, so that ten edits cost two products.
    """
    weight = next(module.parameters())
    place = {"device": weight.device, "dtype": torch.promote_types(weight.dtype, torch.float32)}
    low_rank = [change for change in changes if change.dense is None]
    dense = [change.dense for change in changes if change.dense is not None]
    pairs = [(part[:, columns].to(**place), None) for part in dense]
    if low_rank:
        u = torch.cat([change.u.to(**place) for change in low_rank], 1)  # (d_in, r)
        v = torch.cat([change.v[columns].to(**place) for change in low_rank], 1)  # (d_out, r)
        pairs.append((u, v))

    def change(x: Tensor) -> Tensor:
        x = x.to(place["dtype"])
        return sum(x @ u if v is None else (x @ u) @ v.mT for u, v in pairs)

    return change
