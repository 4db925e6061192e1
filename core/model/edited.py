"""A model with edits on it, for one call.

The weights of the shared model are never touched. An edit is added to what its module puts out,
z + x U V^T, by a hook that lives as long as one locked call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from core.model.architectures import shape_in_out
from core.model.capture import exclusive
from core.model.edits import Change, Edit, check_fits
from core.model.language_model import LanguageModel


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
    by_site: dict[tuple[str, int], list[Change]] = {}
    for change in changes:
        by_site.setdefault((change.matrix, change.layer), []).append(change)
    with ExitStack() as stack:
        for (matrix, layer), group in by_site.items():
            first = 0
            for module in model.modules(matrix, layer):
                last = first + shape_in_out(module)[1]
                hook = module.register_forward_hook(adding(group, slice(first, last), module))
                stack.callback(hook.remove)
                first = last
        yield


def adding(changes: Sequence[Change], columns: slice, module: nn.Module):
    """A forward hook that adds x U V^T of all changes, in float32 at least, to the output.

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

    def add(_: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        x = inputs[0].to(place["dtype"])
        for u, v in pairs:
            change = x @ u if v is None else (x @ u) @ v.mT
            output = output + change.to(output.dtype)
        return output

    return add
