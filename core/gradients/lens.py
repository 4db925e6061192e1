"""The forward lens and the backward lens: token tables, layer by prompt token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from torch import Tensor

from core.gradients.trace import Trace, residual_stream
from core.model.architectures import WRITES_TO_RESIDUAL
from core.model.edits import Edit
from core.model.language_model import LanguageModel
from core.model.projection import check_top_k, project, token_lists

# A VJP below this part of the trace's largest is rounding error: its tokens would be those of
# softmax(beta D), which say nothing about the prompt.
NEAR_ZERO = 1e-6


def forward_lens(
    model: LanguageModel,
    prompt: str,
    target: str | None = None,
    *,
    top_k: int = 5,
    edits: Sequence[Edit] = (),
) -> pd.DataFrame:
    """What each layer would say next at each prompt token: the logit lens of the residual stream.

    One row per layer (0 ... L-1, after that block) and position (0 is the first token, BOS
    included). Columns: layer, position, token, top_tokens and top_probabilities (lists, most
    probable first), entropy (nats), target_rank (0 is best; <NA> without a target) and
    target_probability. The last layer is the model's own output. A vector of zeros under a final
    norm without bias makes all tokens equally probable: it has no words and no rank.
    `attrs["note"]` says which token of a longer target is meant. With `edits` it is the edited
    model that is read. Raises PromptError.
    """
    check_top_k(top_k, model)
    ids = model.encode(prompt)
    goal = model.target(prompt, target) if target is not None else None
    wanted = (goal.id,) if goal else ()
    residual = residual_stream(model, ids, edits)
    seen = project(model, residual.flatten(0, 1), top_k=top_k, rank_of=wanted, probabilities=True)
    table = cells(model, ids, len(residual))
    table["top_tokens"] = token_lists(model, seen.top_ids)
    table["top_probabilities"] = seen.top_probabilities.tolist()
    table["entropy"] = seen.entropy.numpy()
    ranks = seen.ranks[:, 0].tolist() if goal else [pd.NA] * len(table)
    table["target_rank"] = pd.array(ranks, dtype="Int64")
    table["target_probability"] = seen.probabilities[:, 0].numpy() if goal else float("nan")
    blank_out(
        table,
        silent(model, residual.flatten(0, 1)),
        words=("top_tokens", "top_probabilities"),
        ranks=("target_rank",),
    )
    table.attrs["note"] = goal.note if goal else ""
    return table


def backward_lens(
    trace: Trace, matrix: str = "ff2", *, top_k: int = 5, normalize: bool = False
) -> pd.DataFrame:
    """What the gradient of a matrix says in tokens, read through the vectors of size d_model.

    For a matrix that writes to the residual stream (ff2, attn_out, block) these are its VJPs
    delta_i; the update subtracts them, so read the *bottom* tokens. For one that reads it (ff1,
    gate, attn_in) they are its inputs x_i; read the top tokens (section 4.2, Figures 4, 11-15).

    One row per layer and position (0 is the first token, BOS included). Columns: layer, position,
    token, norm (L2 of delta_i of the same matrix), top_tokens, bottom_tokens (lists, most extreme
    first), target_rank, answer_rank (0 is most probable), near_zero. A near-zero delta_i (norm
    below 1e-6 of the largest) is marked; where it is also the projected vector, it has no tokens
    and no ranks; neither has a vector of zeros under a final norm without bias. `normalize`
    divides each vector by its norm first (appendix H), which changes nothing without that bias.
    Raises PromptError for a matrix that this model does not have.
    """
    model = trace.model
    check_top_k(top_k, model)
    factors = trace.matrix(matrix)
    vectors = factors.delta if matrix in WRITES_TO_RESIDUAL else factors.x
    norms = factors.delta.float().norm(dim=-1).cpu()  # (layer, token)
    near_zero = norms <= NEAR_ZERO * norms.max()
    seen = project(
        model,
        vectors.flatten(0, 1),
        top_k=top_k,
        rank_of=(trace.target.id, trace.answer_id),
        bottoms=True,
        normalize=normalize,
    )
    table = cells(model, trace.ids, len(norms))
    table["norm"] = norms.flatten().numpy()
    table["top_tokens"] = token_lists(model, seen.top_ids)
    table["bottom_tokens"] = token_lists(model, seen.bottom_ids)
    table["target_rank"] = pd.array(seen.ranks[:, 0].numpy(), dtype="Int64")
    table["answer_rank"] = pd.array(seen.ranks[:, 1].numpy(), dtype="Int64")
    table["near_zero"] = near_zero.flatten().numpy()
    blank = silent(model, vectors.flatten(0, 1))
    if matrix in WRITES_TO_RESIDUAL:
        blank |= table["near_zero"]
    blank_out(
        table, blank, words=("top_tokens", "bottom_tokens"), ranks=("target_rank", "answer_rank")
    )
    table.attrs["note"] = trace.target.note
    return table


def silent(model: LanguageModel, vectors: Tensor) -> pd.Series:
    """Which vectors (row, d_model) have no words: zeros, if the final norm adds no bias to them.

    Their lens is a tie of all tokens, and an order among these would be an accident of sorting.
    """
    if model.final_norm_has_bias:
        return pd.Series(False, index=range(len(vectors)))
    return pd.Series((vectors == 0).all(-1).tolist(), index=range(len(vectors)), dtype=bool)


def blank_out(
    table: pd.DataFrame, blank: pd.Series, *, words: Sequence[str], ranks: Sequence[str]
) -> None:
    """Empty the lists and the ranks (Int64) of the rows that have no words."""
    if blank.any():
        table.loc[blank, list(ranks)] = pd.NA
        for column in words:
            table[column] = without_words(table[column], blank)


def without_words(lists: Iterable[list[str]], blank: Iterable[bool]) -> list[list[str]]:
    """Lists of tokens, empty for the rows that have no words."""
    return [[] if zero else tokens for zero, tokens in zip(blank, lists, strict=True)]


def cells(model: LanguageModel, ids: tuple[int, ...], n_layers: int) -> pd.DataFrame:
    """The first columns of every table: layer, position, token; one row a cell, by layer."""
    n = len(ids)
    return pd.DataFrame(
        {
            "layer": [layer for layer in range(n_layers) for _ in range(n)],
            "position": list(range(n)) * n_layers,
            "token": [model.token_text(i) for i in ids] * n_layers,
        }
    )


def vjp_norms(trace: Trace) -> pd.DataFrame:
    """How strong the learning signal is, everywhere: L2 norms (Figures 5, 16, 17).

    One row per layer, module (attn_in, attn_out, ff1, gate, ff2, block) and position. Columns:
    layer, module, position, token, norm (of the VJP delta_i of the module's output), input_norm
    (of its input x_i).
    """
    tables = []
    for name, factors in trace.factors.items():
        table = cells(trace.model, trace.ids, len(factors.x))
        table.insert(1, "module", name)
        for column, vectors in (("norm", factors.delta), ("input_norm", factors.x)):
            norms = torch.linalg.vector_norm(vectors, dim=-1, dtype=torch.float32)
            table[column] = norms.flatten().cpu().numpy()
        tables.append(table)
    result = pd.concat(tables, ignore_index=True)
    result.attrs["note"] = trace.target.note
    return result
