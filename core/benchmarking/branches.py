"""One pass for many variants of a model: they share what lies below their first edit.

A variant is a list of edits, the empty one being the unedited model. All begin as the unedited
model's rows; where a variant's first edit comes, copies of those rows branch off, and are its own
from there on (core.model.edited.row_hooks). So a layer is run once for all that have not changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from core.model.edited import hooked, row_hooks
from core.model.edits import Edit
from core.model.language_model import LanguageModel

Variant = Sequence[Edit]


def branched(model: LanguageModel, embeddings: Tensor, variants: Sequence[Variant]) -> list[Tensor]:
    """The final norm's output of each variant, (row, token, d_model), for rows of embeddings.

    Use it inside `exclusive`. Raises EditError for an edit that does not fit.
    """
    rows = len(embeddings)
    edited = [number for number, edits in enumerate(variants) if first_layer(edits) is not None]
    order = sorted(edited, key=lambda number: first_layer(variants[number]))
    places = {number: slice(rows * i, rows * (i + 1)) for i, number in enumerate(order, 1)}
    joining: dict[int, int] = {}  # layer -> how many variants branch off before it
    for number in order:
        layer = first_layer(variants[number])
        joining[layer] = joining.get(layer, 0) + 1
    groups = [(places[number], variants[number]) for number in order]
    with growing(model, rows, joining), hooked(row_hooks(model, groups)):
        hidden = model.read(embeddings)
    return [hidden[places.get(number, slice(rows))] for number in range(len(variants))]


def first_layer(edits: Variant) -> int | None:
    """The lowest layer that a variant changes; None for the unedited model."""
    return min((change.layer for edit in edits for change in edit.changes), default=None)


@contextmanager
def growing(model: LanguageModel, rows: int, joining: dict[int, int]) -> Iterator[None]:
    """Passes in the block have, before these layers, copies of their first rows added to them."""

    def before(added: int):
        def grow(_: nn.Module, inputs: tuple, named: dict) -> tuple[tuple, dict]:
            given = dict(enumerate(inputs)) | named
            name = 0 if inputs else "hidden_states"
            state = given.pop(name)
            state = torch.cat([state, *[state[:rows]] * added])
            lines = torch.arange(len(state), device=state.device) % rows
            given = {key: with_lines(part, rows, lines) for key, part in given.items()}
            given[name] = state
            return tuple(given[i] for i in range(len(inputs))), {key: given[key] for key in named}

        return grow

    hooks = [
        model.blocks[layer].register_forward_pre_hook(
            before(joining.get(layer, 0)), with_kwargs=True
        )
        for layer in range(min(joining, default=model.n_layers), model.n_layers)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def with_lines(part: object, rows: int, lines: Tensor) -> object:
    """A mask or positions, of the batch as it was, for the batch as it is; others as they are."""
    if isinstance(part, tuple):
        return tuple(with_lines(one, rows, lines) for one in part)
    if isinstance(part, Tensor) and part.dim() > 1 and len(part) == rows:
        return part[lines.to(part.device)]
    return part
