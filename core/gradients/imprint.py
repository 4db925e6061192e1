"""Imprint and shift: one step of learning on one matrix, predicted and measured (lemma 5.2).

After W <- W - step * x_i^T delta_i, the same input x_i gives an output that has changed by
-step * |x_i|^2 * delta_i. On FF1 that is an imprint: each neuron j gains or loses
step * |delta_i[j]| copies of x_i. On FF2 it is a shift of the MLP's output towards -delta_i.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from core.errors import PromptError
from core.gradients.lens import blank_out, silent
from core.gradients.similarity import check_layer, check_position
from core.gradients.trace import Trace
from core.model.capture import capture
from core.model.edited import turn
from core.model.projection import check_top_k, project, token_lists

STEP_MATRICES = ("ff1", "gate", "ff2")
STAGES = {
    "input": "what the MLP reads (x of FF1)",
    "mlp": "what the MLP says (FF2's output)",
    "block": "what the layer passes on (residual stream)",
    "answer": "what the model says (last layer)",
}


@dataclass(frozen=True)
class ImprintAndShift:
    """One SGD step on one matrix of one layer, seen at one token. Tensors are on the CPU."""

    layer: int
    matrix: str
    position: int
    step: float
    all_tokens: bool  # whether the step is by all prompt tokens, or by this one alone
    own: Tensor  # (d_out,) -step * |x_i|^2 * delta_i, the lemma's prediction for one token
    predicted: Tensor  # (d_out,) -step * sum_j (x_i . x_j) delta_j; `own` for a single token
    measured: Tensor  # (d_out,) the matrix's output after the step, less that before
    table: pd.DataFrame  # see imprint_and_shift

    @property
    def error(self) -> float:
        """|measured - predicted| / |predicted|, L2; 0 where both are zero."""
        gap = (self.measured - self.predicted).norm()
        return float(gap / self.predicted.norm()) if gap > 0 else 0.0

    @property
    def changes(self) -> pd.DataFrame:
        """One row per number of the matrix's output: output, own, predicted, measured."""
        return pd.DataFrame(
            {
                "output": range(len(self.measured)),
                "own": self.own.numpy(),
                "predicted": self.predicted.numpy(),
                "measured": self.measured.numpy(),
            }
        )


def imprint_and_shift(
    trace: Trace,
    layer: int,
    *,
    matrix: str = "ff2",
    position: int | None = None,
    step: float = 0.1,
    all_tokens: bool = False,
    top_k: int = 5,
) -> ImprintAndShift:
    """Take one SGD step of size `step` on a matrix of a layer and look at one token again.

    The step is by that token alone, or by all prompt tokens. The base model and the one after the
    step run side by side, in one forward pass of two rows; weights stay as they are.

    Its `table` has one row per stage (input, mlp, block, answer) and time ("before", "after"):
    top_tokens, top_probabilities (lists, most probable first), target_rank (0 is best),
    target_probability, answer_rank, answer_probability of the model's own answer before the step.
    "answer" is read at the last prompt token, the others at `position` (from 0, BOS included; the
    last prompt token if not given). A vector of zeros under a final norm without bias has no words
    and no ranks. Raises PromptError, for a step that is so large that the output
    is not a number as well.
    """
    model = trace.model
    check_top_k(top_k, model)
    check_layer(trace, layer)
    position = check_position(trace, position)
    if matrix not in STEP_MATRICES:
        names = ", ".join(name for name in STEP_MATRICES if name in trace.factors)
        raise PromptError(f"The step is taken on an MLP matrix. Choose one of: {names}.")
    if not math.isfinite(step):
        raise PromptError(f"The step is {step}. Choose a number, 0.1 for one.")
    factors = trace.matrix(matrix)
    x, delta = factors.x[layer], factors.delta[layer]  # (token, d_in), (token, d_out)
    chosen = slice(None) if all_tokens else slice(position, position + 1)
    u, v = x[chosen], -step * delta[chosen]
    (module,) = model.modules(matrix, layer)
    with turn(model, trace.edits, gradients=False):
        rows = model.embed(trace.ids).repeat(2, 1, 1)
        watched = tuple(dict.fromkeys(("ff1", "ff2", "block", matrix)))
        with second_row_plus(module, u, v) as plain, capture(model, watched) as seen:
            hidden = model.read(rows)
        if not torch.isfinite(hidden).all():
            raise PromptError(
                f"A step of {step:g} is so large that the model's output is not a number. Choose a "
                "smaller one."
            )
    output = seen[matrix, layer].outputs[0]
    stages = {
        "input": seen["ff1", layer].x[:, position],
        "mlp": seen["ff2", layer].outputs[0][:, position],
        "block": seen["block", layer].outputs[0][:, position],
        "answer": seen["block", model.n_layers - 1].outputs[0][:, -1],
    }
    # Of the same row: two rows of a batch may be rounded differently.
    before, after = (z[position].float().cpu() for z in (plain[0], output[1]))
    here = x[position].float()
    return ImprintAndShift(
        layer=layer,
        matrix=matrix,
        position=position,
        step=step,
        all_tokens=all_tokens,
        own=(-step * here.square().sum() * delta[position].float()).cpu(),
        predicted=((u.float() @ here) @ v.float()).cpu(),
        measured=after - before,
        table=stage_table(trace, stages, top_k),
    )


def imprint_copies(
    trace: Trace, layer: int, *, position: int | None = None, step: float = 0.1
) -> pd.DataFrame:
    """How many copies of x_i one SGD step writes into each neuron of FF1 (lemma 5.2, the imprint).

    One row a neuron, the most changed first: neuron, copies (-step * delta_i[j]; what the weights
    gain of x_i) and change (-step * |x_i|^2 * delta_i[j]; how the neuron answers the same input
    afterwards). Raises PromptError.
    """
    check_layer(trace, layer)
    position = check_position(trace, position)
    factors = trace.matrix("ff1")
    copies = -step * factors.delta[layer, position].float().cpu()
    size = float(factors.x[layer, position].float().square().sum())
    ranking = copies.abs().argsort(descending=True, stable=True)
    table = pd.DataFrame({"neuron": ranking.numpy(), "copies": copies[ranking].numpy()})
    table["change"] = table["copies"] * size
    table.attrs["note"] = trace.target.note
    return table


@contextmanager
def second_row_plus(module: nn.Module, u: Tensor, v: Tensor) -> Iterator[list[Tensor]]:
    """Add x u^T v to the module's output in the second row of a batch while the block runs.

    u: (rank, d_in), v: (rank, d_out). The list gets that row's output as it was without,
    (token, d_out). Use it inside `exclusive`.
    """
    plain: list[Tensor] = []

    def add(_: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        plain.append(output[1])
        change = (inputs[0][1].float() @ u.mT.float()) @ v.float()
        return torch.stack([output[0], output[1] + change.to(output.dtype)])

    hook = module.register_forward_hook(add)
    try:
        yield plain
    finally:
        hook.remove()


def stage_table(trace: Trace, stages: dict[str, Tensor], top_k: int) -> pd.DataFrame:
    """stages: name -> (2, d_model), before and after the step."""
    model = trace.model
    vectors = torch.stack([rows.to(model.device) for rows in stages.values()]).flatten(0, 1)
    wanted = (trace.target.id, trace.answer_id)
    seen = project(model, vectors, top_k=top_k, rank_of=wanted, probabilities=True)
    table = pd.DataFrame(
        [(stage, time) for stage in stages for time in ("before", "after")],
        columns=["stage", "time"],
    )
    table["top_tokens"] = token_lists(model, seen.top_ids)
    table["top_probabilities"] = seen.top_probabilities.tolist()
    for i, name in enumerate(("target", "answer")):
        table[f"{name}_rank"] = pd.array(seen.ranks[:, i].numpy(), dtype="Int64")
        table[f"{name}_probability"] = seen.probabilities[:, i].numpy()
    blank_out(
        table,
        silent(model, vectors),
        words=("top_tokens", "top_probabilities"),
        ranks=("target_rank", "answer_rank"),
    )
    table.attrs["note"] = trace.target.note
    return table
