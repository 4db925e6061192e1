"""How many independent directions a gradient has, from its factors alone (lemma 4.1, Figure 3).

With G = X^T Delta, X (token, d_in) and Delta (token, d_out): if X^T = Q_x R_x and
Delta^T = Q_d R_d, then G = Q_x (R_x R_d^T) Q_d^T, and the singular values of G are those of the
small (token, token) product in brackets. G itself is never built.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from core.gradients.trace import Trace, forward_backward
from core.model.edited import turn
from core.model.edits import Edit
from core.model.language_model import LanguageModel
from core.model.threads import SMALL

MLP_MATRICES = ("ff1", "gate", "ff2")
LARGE_TOKENS = 32  # of a batch of prefixes of a large model
BATCH_BYTES = 256 * 2**20  # what one batch of prefixes may keep for its backward pass


def gradient_rank(trace: Trace) -> pd.DataFrame:
    """The rank of the gradient of every MLP matrix: layer, matrix, rank, prompt_length.

    At most the number of prompt tokens, BOS included (lemma 4.1); in the last layer 1, since only
    the last token has a VJP there.
    """
    rows = []
    for matrix in mlp_matrices(trace.model):
        factors = trace.factors[matrix]
        ranks = factor_rank(factors.x, factors.delta)
        rows += [
            {"layer": layer, "matrix": matrix, "rank": rank, "prompt_length": trace.prompt_length}
            for layer, rank in enumerate(ranks.tolist())
        ]
    table = pd.DataFrame(rows)
    table.attrs["note"] = trace.target.note
    return table


def rank_curve(
    model: LanguageModel, prompt: str, target: str, *, edits: Sequence[Edit] = ()
) -> pd.DataFrame:
    """The rank of each gradient for every prefix of the prompt; the target stays.

    Columns: prompt_length (1 ... n tokens, BOS included), layer, matrix, rank. Prefixes run in
    batches. A prefix's activations are those of the whole prompt at the same positions, because
    the model is causal: a batch needs no padding, only another position for its loss, and later
    positions get a gradient of exactly zero. With `edits` it is the edited model's.
    """
    ids, goal = model.encode(prompt), model.target(prompt, target)
    n, rows = len(ids), []
    matrices = mlp_matrices(model)
    for first, last in prefix_batches(model, n):
        ranks = prefix_ranks(model, ids[:last], goal.id, first, matrices, edits)
        for matrix, by_layer in ranks.items():
            for layer, values in enumerate(by_layer):
                rows += [
                    {"prompt_length": first + i, "layer": layer, "matrix": matrix, "rank": rank}
                    for i, rank in enumerate(values.tolist())
                ]
    table = pd.DataFrame(rows).sort_values(["prompt_length", "matrix", "layer"], ignore_index=True)
    table.attrs["note"] = goal.note
    return table


def factor_rank(x: Tensor, delta: Tensor) -> Tensor:
    """rank(X^T Delta): (..., token, d_in) and (..., token, d_out) -> (...).

    Singular values in float64. The tolerance is that of torch.linalg.matrix_rank on the gradient
    itself, max(d_in, d_out) * eps * largest, with the eps of the precision in which the factors
    were computed (float32 for half-precision models, which have no matrix_rank): what lies below
    is rounding error.
    """
    precision = torch.float64 if delta.dtype == torch.float64 else torch.float32
    singular = torch.linalg.svdvals(triangle(x) @ triangle(delta).mT)
    relative = max(x.shape[-1], delta.shape[-1]) * torch.finfo(precision).eps
    return (singular > relative * singular[..., :1]).sum(-1)


def triangle(vectors: Tensor) -> Tensor:
    """R of V^T = QR: (..., token, width) -> (..., min(token, width), token), float64, on CPU."""
    return torch.linalg.qr(vectors.cpu().double().mT, mode="r").R


def mlp_matrices(model: LanguageModel) -> tuple[str, ...]:
    return tuple(matrix for matrix in MLP_MATRICES if matrix in model.matrices)


def prefix_batches(model: LanguageModel, n: int) -> list[tuple[int, int]]:
    """(first, last) prefix lengths of each batch, so that a batch keeps at most BATCH_BYTES.

    Of a large model it has few tokens besides: others who wait for it are let in between two.
    """
    width = 8 * model.d_mlp + 16 * model.d_model  # about what autograd saves for a token and layer
    tokens = max(n, BATCH_BYTES // (width * model.n_layers * model.activation_dtype.itemsize))
    if model.size > SMALL:
        tokens = max(n, min(tokens, LARGE_TOKENS))
    batches, last = [], n
    while last > 0:
        first = max(1, last - tokens // last + 1)
        batches.append((first, last))
        last = first - 1
    return batches[::-1]


def prefix_ranks(
    model: LanguageModel,
    ids: tuple[int, ...],
    target_id: int,
    first: int,
    matrices: tuple[str, ...],
    edits: Sequence[Edit],
) -> dict[str, list[Tensor]]:
    """Ranks for the prefixes of length first ... len(ids): matrix -> a tensor (prefix,) a layer."""
    lengths = list(range(first, len(ids) + 1))
    with turn(model, edits, gradients=True):
        embeddings = model.embed(ids).expand(len(lengths), -1, -1).contiguous()
        run = forward_backward(model, embeddings, lengths, [target_id] * len(lengths), matrices)
    # x is the same in every row.
    return {
        matrix: [
            factor_rank(run.sites[matrix, layer].x[:1], run.sites[matrix, layer].delta)
            for layer in range(model.n_layers)
        ]
        for matrix in matrices
    }
