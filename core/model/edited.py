"""A model with edits on it, for one call.

The weights of the shared model are never touched. An edit is added to what its module puts out,
z + x U V^T, by a hook that lives as long as one locked call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

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
            added = [added_by(rows, group, columns, module) for rows, group in parts]
            hooks.append((module, adding(side_by_side(added))))
            first = last
    return hooks


Rows = slice | Tensor  # of a batch: a slice, or the rows' numbers, group by group


@dataclass(frozen=True)
class Added:
    """What is added to some rows of a module's output, in float32 at least.

    With `rows` a slice, u is (d_in, r) and v (d_out, r); with numbers there is a group in front of
    each: group g's rows get x u[g] v[g]^T.
    """

    rows: Rows
    u: Tensor | None  # None: no change has factors
    v: Tensor | None
    dense: tuple[Tensor, ...] = ()  # (d_in, d_out) each; for a slice of rows alone

    def of(self, x: Tensor) -> Tensor:
        """(row, token, d_in) -> (row, token, d_out); the rows are those of `rows`."""
        x = x.to((self.dense[0] if self.u is None else self.u).dtype)
        if isinstance(self.rows, slice):
            parts = [x @ change for change in self.dense]
            return sum(parts if self.u is None else [*parts, (x @ self.u) @ self.v.mT])
        apart = x.reshape(len(self.u), -1, x.shape[-1])  # (group, row and token, d_in)
        return (apart @ self.u @ self.v.mT).reshape(*x.shape[:-1], self.v.shape[1])


def added_by(rows: slice, changes: Sequence[Change], columns: slice, module: nn.Module) -> Added:
    """Factors of several changes are set side by side, so that ten edits cost two products."""
    weight = next(module.parameters())
    place = {"device": weight.device, "dtype": torch.promote_types(weight.dtype, torch.float32)}
    low_rank = [change for change in changes if change.dense is None]
    dense = [change.dense for change in changes if change.dense is not None]
    return Added(
        rows,
        torch.cat([change.u.to(**place) for change in low_rank], 1) if low_rank else None,
        torch.cat([change.v[columns].to(**place) for change in low_rank], 1) if low_rank else None,
        tuple(part[:, columns].to(**place) for part in dense),
    )


def side_by_side(added: Sequence[Added]) -> list[Added]:
    """Groups with factors, of as many rows and of like rank, become one: two products for all."""
    alike: dict[tuple[int, int], list[Added]] = {}
    others = []
    for one in added:
        if one.dense or one.rows == slice(None):
            others.append(one)
        else:
            rank = (one.u.shape[1] - 1).bit_length()  # up to twice as many columns
            alike.setdefault((one.rows.stop - one.rows.start, rank), []).append(one)
    return [*others, *(stacked(group) if len(group) > 1 else group[0] for group in alike.values())]


def stacked(group: Sequence[Added]) -> Added:
    """Factors get columns of zeros up to the highest rank."""
    rank = max(one.u.shape[1] for one in group)

    def whole(factors: list[Tensor]) -> Tensor:
        return torch.stack([pad(part, (0, rank - part.shape[1])) for part in factors])

    rows = torch.tensor([list(range(one.rows.start, one.rows.stop)) for one in group])
    u, v = whole([one.u for one in group]), whole([one.v for one in group])
    return Added(rows.flatten().to(u.device), u, v)


def adding(added: Sequence[Added]) -> Callable:
    """A forward hook that adds to each group's rows of the output what it makes of the input."""

    def add(_: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        if len(added) == 1 and isinstance(added[0].rows, slice) and added[0].rows == slice(None):
            return output + added[0].of(inputs[0]).to(output.dtype)
        output = output.clone()
        for one in added:
            output[one.rows] += one.of(inputs[0][one.rows]).to(output.dtype)
        return output

    return add
