"""Passes through a model's upper layers alone, for rows whose lower part is known.

Where only the last layers are edited, what lies below them stays the same for every edit: one plain
pass keeps each row's residual stream, and then only the blocks above are run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from core.editing.suffix_pass import Kept, arguments, mask_of
from core.model.capture import BlockCall, block_calls, check_numbers
from core.model.edited import turn
from core.model.edits import Edit
from core.model.forcing import padded
from core.model.language_model import LanguageModel

ROWS = 32  # in one plain pass


@dataclass(frozen=True)
class UpperLayers:
    """The blocks from `first` on, and the rows that are known below them."""

    model: LanguageModel
    first: int
    calls: Mapping[int, BlockCall] = field(repr=False)  # of a pass as long as the longest row
    rows: Mapping[tuple[int, ...], Tensor] = field(repr=False)  # ids -> (token, d_model)

    def run(self, rows: Sequence[tuple[int, ...]], *, gradients: bool = False) -> Tensor:
        """The final norm's output for known rows, padded on the right: (row, token, d_model).

        With `gradients` a graph is kept from these blocks on. Use it inside `turn`, with whatever
        changes are wanted in these layers.
        """
        state = pad_sequence([self.rows[row] for row in rows], batch_first=True)
        state = state.to(self.model.device, self.model.activation_dtype)
        if gradients:
            state.requires_grad_()
        kept = self.as_kept(state)
        for i in range(self.first, self.model.n_layers):
            block = self.model.blocks[i]
            output = block(state, **arguments(block, kept, i, None))
            state = output if isinstance(output, Tensor) else output[0]
        return self.model.final_norm(state)

    def as_kept(self, state: Tensor) -> Kept:
        """Rows that begin at their first token: nothing comes earlier."""
        n, length = state.shape[:2]
        nothing = torch.zeros(n, 0, dtype=torch.bool)
        return Kept(
            layer=self.first - 1,
            starts=(0,) * n,
            inputs=state,
            residual=state,
            earlier={},
            calls=self.calls,
            positions=torch.arange(length, device=state.device).expand(n, -1),
            mask=mask_of(nothing, length, state.dtype).to(state.device),
        )


def upper_layers(
    model: LanguageModel,
    rows: Sequence[tuple[int, ...]],
    first: int,
    *,
    edits: Sequence[Edit] = (),
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> UpperLayers:
    """Run all rows of token ids once and keep what reaches block `first`, on the CPU.

    `edits` are on the model meanwhile; use the same in the turns that follow. `on_batch(batches
    done, all)` may raise Cancelled; each batch is a turn on the model. Raises ModelError if the
    model's output is not a number.
    """
    known: dict[tuple[int, ...], Tensor] = {}
    ordered = sorted(set(rows), key=lambda row: (-len(row), row))
    batches = [ordered[i : i + ROWS] for i in range(0, len(ordered), ROWS)]
    calls: dict[int, BlockCall] = {}
    for done, batch in enumerate(batches, 1):
        with (
            turn(model, edits, gradients=False),
            noted(model, first) as seen,
            block_calls(model) as now,
        ):
            check_numbers(model.read(padded(model, batch)))
        calls = calls or dict(now)  # the longest rows come first
        for row, state in zip(batch, seen[0], strict=True):
            known[row] = state[: len(row)].cpu().clone()
        on_batch(done, len(batches))
    return UpperLayers(model, first, calls, known)


@contextmanager
def noted(model: LanguageModel, layer: int) -> Iterator[list[Tensor]]:
    """What goes into a block, (row, token, d_model), for each pass in the block."""
    seen: list[Tensor] = []

    def note(_: nn.Module, inputs: tuple, named: dict) -> None:
        seen.append((inputs[0] if inputs else named["hidden_states"]).detach())

    hook = model.blocks[layer].register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()
