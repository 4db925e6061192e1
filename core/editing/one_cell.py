"""What if only one matrix learned, from one token alone? A causal check of the backward lens.

The gradient of a matrix is a sum over the prompt's tokens, dL/dW = sum_j x_j^T delta_j (eq. 8).
Here one term of it is taken as a step, W <- W - step * x_i^T delta_i, kept as an edit of rank 1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd
import torch
from torch import Tensor

from core.editing.comparison import change_sizes
from core.editing.hyperparameters import check_number
from core.errors import EditError
from core.gradients.similarity import check_layer, check_position
from core.gradients.swap import answer_table, chances
from core.gradients.trace import Trace
from core.model.edited import turn
from core.model.edits import Change, Edit, Fact, matrix_shape
from core.model.fingerprint import fingerprint
from core.model.projection import check_top_k
from core.model.tokens import Target

METHOD = "one token"
USUAL_SHARE = 0.01  # of the matrix's own norm
STEP_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class BeforeAfter:
    """What an edit does to the prompt of a trace, predicted to first order and measured."""

    table: pd.DataFrame  # see compare_before_after
    answers: pd.DataFrame  # run ("before", "after"), token, probability, logit
    loss_before: float  # -log p(target) in nats
    loss_after: float
    predicted: float  # change of the loss, nats

    @property
    def measured(self) -> float:
        """Change of the loss, in nats."""
        return self.loss_after - self.loss_before


def learn_at(
    trace: Trace,
    *,
    matrix: str = "ff2",
    layer: int,
    position: int,
    step: float | None = None,
    share: float = USUAL_SHARE,
) -> Edit:
    """One SGD step of one matrix, learned from one token alone, as an edit of rank 1.

    W <- W - step * x_i^T delta_i, with the matrix as (d_in, d_out) and modules that stand side by
    side as one. Without a `step` (the learning rate) it is as large that the change has `share` of
    the matrix's own norm (Frobenius). On top of the trace's edits. `hyperparameters` has both,
    step and share. Raises PromptError for a place that does not exist, EditError for a matrix or a
    step that does not fit, and where delta_i is zero: from there nothing can be learned.
    """
    start, model = time.perf_counter(), trace.model
    check_layer(trace, layer)
    position = check_position(trace, position)
    matrix_shape(model, matrix, layer)  # refuses what cannot be edited, the block itself as well
    check_number("share", share, 0, 1e3)
    if step is not None:
        check_number("step", step, -1e30, 1e30)
    factors = trace.matrix(matrix)
    x, delta = (part[layer, position].float().cpu() for part in (factors.x, factors.delta))
    if not x.any() or not delta.any():
        raise EditError(
            f"Nothing can be learned from {trace.tokens[position]!r} in layer {layer}: the signal "
            "there is zero, because nothing that happens there reaches the answer. Choose an "
            "earlier layer, or the last token."
        )

    def edit(step: float, share: float = math.nan) -> Edit:
        settings = {"matrix": matrix, "layer": layer, "position": position}
        return Edit(
            name=f"{trace.prompt.strip()} → {trace.target.typed.strip()}, "
            f"from {trace.tokens[position].strip()} in layer {layer}",
            changes=(Change(matrix, layer, u=(-step * x)[:, None], v=delta[:, None]),),
            method=METHOD,
            hyperparameters=MappingProxyType(settings | {"step": step, "share": share}),
            facts=(Fact(trace.prompt, trace.subject, trace.target.typed),),
            model_name=model.name,
            model_fingerprint=fingerprint(model),
            seconds=time.perf_counter() - start,
        )

    whole = float(change_sizes(model, edit(1.0))["share"].iloc[0])  # that of a step of 1
    if step is None:
        step = share / whole
    return edit(step, abs(step) * whole)


def compare_before_after(trace: Trace, edit: Edit, *, top_k: int = 5) -> BeforeAfter:
    """The trace's prompt before and after an edit, on top of the edits that the trace had.

    `table` has a row for the target and one for the answer before the edit: word ("target",
    "answer"), token, probability_before, probability_after, rank_before, rank_after (0 is best).
    The predicted change of the loss is of first order, <dW, dL/dW>: for `learn_at`
    -step * sum_j (x_i . x_j)(delta_i . delta_j). Raises EditError and ModelError.
    """
    model = trace.model
    check_top_k(top_k, model)
    both = {"before": trace.edits, "after": (*trace.edits, edit)}
    logits = {run: logits_with(trace, edits) for run, edits in both.items()}
    answer_id = int(logits["before"].argmax())
    answer = Target("", (answer_id,), (model.token_text(answer_id),))
    rows, losses = [], {}
    for word, goal in (("target", trace.target), ("answer", answer)):
        row = {"word": word, "token": goal.token}
        for run, values in logits.items():
            row[f"probability_{run}"], row[f"rank_{run}"] = chances(values, goal)
            losses[word, run] = float(values.logsumexp(-1) - values[goal.id])
        rows.append(row)
    columns = ["word", "token", "probability_before", "probability_after"]
    return BeforeAfter(
        table=pd.DataFrame(rows)[[*columns, "rank_before", "rank_after"]],
        answers=answer_table(model, logits, top_k),
        loss_before=losses["target", "before"],
        loss_after=losses["target", "after"],
        predicted=first_order(trace, edit),
    )


def step_ladder(
    trace: Trace,
    *,
    matrix: str = "ff2",
    layer: int,
    position: int,
    shares: Sequence[float] = STEP_SHARES,
) -> pd.DataFrame:
    """What larger and larger steps of `learn_at` do, one row a share, the smallest first.

    Columns: share, step, target_probability, target_rank (0 is best), answer (a token), predicted
    and measured (change of the loss, nats). Raises as `learn_at` does.
    """
    model, rows = trace.model, []
    unit = learn_at(trace, matrix=matrix, layer=layer, position=position, step=1.0)
    whole, slope = unit.hyperparameters["share"], first_order(trace, unit)

    def loss_of(logits: Tensor) -> float:
        return float(logits.logsumexp(-1) - logits[trace.target.id])

    before = loss_of(logits_with(trace, trace.edits))
    for share in shares:
        step = share / whole
        new = learn_at(trace, matrix=matrix, layer=layer, position=position, step=step)
        logits = logits_with(trace, (*trace.edits, new))
        answer = model.token_text(int(logits.argmax()))
        changes = (step * slope, loss_of(logits) - before)
        rows.append((share, step, *chances(logits, trace.target), answer, *changes))
    columns = ["share", "step", "target_probability", "target_rank", "answer"]
    return pd.DataFrame(rows, columns=[*columns, "predicted", "measured"])


def logits_with(trace: Trace, edits: Sequence[Edit]) -> Tensor:
    """(vocabulary,) after the trace's prompt, float32. Raises EditError if they are no numbers."""
    model = trace.model
    with turn(model, edits, gradients=False):
        logits = model.unembedding(model.read(model.embed(trace.ids))[0, -1]).float()
    if not torch.isfinite(logits).all():
        raise EditError("With this step the model's output is not a number. Choose a smaller one.")
    return logits


def first_order(trace: Trace, edit: Edit) -> float:
    """The change of the loss to first order in an edit, <dW, dL/dW>, in nats.

    From factors: with dW = U V^T it is sum_j (x_j U) . (delta_j V), the gradient is never built.
    """
    total = 0.0
    for change in edit.changes:
        factors = trace.matrix(change.matrix)
        x, delta = (part[change.layer].double().cpu() for part in (factors.x, factors.delta))
        if change.dense is not None:
            read, said = x @ change.dense.double(), delta  # (token, d_out)
        else:
            read, said = x @ change.u.double(), delta @ change.v.double()  # (token, r)
        total += float(torch.linalg.vecdot(read, said).sum())
    return total
