"""Projecting many vectors into the vocabulary at once: the logit lens LL(v) = softmax(ln_f(v) D).

All vectors of a request go through D in a few large matrix products. A chunk of float32 logits is
at most LOGIT_BYTES; probabilities need a second array of that size, so that a request of any
length adds at most 2 x LOGIT_BYTES (64 MB) to the model's memory (or two rows, if a row is
larger). The model's lock is held, so that this is the bound for any number of users, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.errors import PromptError
from core.model.capture import exclusive
from core.model.language_model import LanguageModel

LOGIT_BYTES = 32 * 2**20
BLOCK = 64  # vocabulary entries that share one maximum in the search for the top k
UPCAST_ROWS = 4096  # rows of a half-precision D that are turned into float32 at a time


@dataclass(frozen=True)
class Projection:
    """Rows in the order of the projected vectors; every tensor is on the CPU."""

    top_ids: Tensor  # (row, top_k), most probable first
    top_probabilities: Tensor  # (row, top_k), empty unless asked for
    bottom_ids: Tensor  # (row, top_k), least probable first, empty unless asked for
    ranks: Tensor  # (row, len(rank_of)): how many tokens score strictly higher; 0 is best
    probabilities: Tensor  # (row, len(rank_of)), empty unless asked for
    entropy: Tensor  # (row,) in nats, empty unless asked for


def project(
    model: LanguageModel,
    vectors: Tensor,
    *,
    top_k: int,
    rank_of: tuple[int, ...] = (),
    bottoms: bool = False,
    probabilities: bool = False,
    normalize: bool = False,
) -> Projection:
    """Read vectors (row, d_model) through the model's final norm and decoding matrix.

    Ranks are taken on logits, since probabilities underflow to false ties. `normalize` divides
    each vector by its L2 norm first (appendix H).
    """
    parts = []

    def read(chunk: Tensor, logits: Tensor, scratch: Tensor) -> None:
        chunk = chunk.float()
        if normalize:
            norms = chunk.norm(dim=-1, keepdim=True)
            chunk = chunk / norms.clamp_min(torch.finfo(torch.float32).tiny)
        unembed(model, chunk, out=logits)
        parts.append(read_logits(logits, scratch, top_k, rank_of, bottoms, probabilities))

    in_turns(model, vectors, read)
    columns = [torch.cat([part[i] for part in parts]).cpu() for i in range(6)]
    return Projection(*columns)


def lens_ranks(model: LanguageModel, vectors: Tensor, wanted: Tensor) -> Tensor:
    """The lens ranks of each row's own tokens, and nothing else: (row, d_model) -> (row, k).

    wanted: (row, k) token ids. A rank is how many tokens score strictly higher; 0 is best. The
    result is on the CPU.
    """
    parts, done = [torch.empty(0, wanted.shape[1], dtype=torch.long)], 0

    def read(chunk: Tensor, logits: Tensor, scratch: Tensor) -> None:
        nonlocal done
        ids = wanted[done : done + len(chunk)].to(logits.device)
        done += len(chunk)
        unembed(model, chunk.float(), out=logits)
        own = logits.gather(1, ids)
        counts = [count_above(logits, column[:, None], scratch) for column in own.mT]
        parts.append(torch.stack(counts, 1).cpu())

    in_turns(model, vectors, read)
    return torch.cat(parts)


def in_turns(
    model: LanguageModel, vectors: Tensor, read: Callable[[Tensor, Tensor, Tensor], None]
) -> None:
    """Call `read` with the rows of `vectors` chunk by chunk, and two arrays (row, vocabulary).

    The model is this thread's alone then; others are let in between two chunks where the turn
    was long. The arrays serve all chunks of a turn: fresh ones would cost as much as a pass over
    them.
    """
    rows = min(len(vectors), max(2, LOGIT_BYTES // (4 * model.vocabulary_size)))
    chunks = list(vectors.split(rows)) if rows else []
    weight = model.unembedding.weight
    while chunks:
        with exclusive(model, gradients=False):
            logits, scratch = (
                torch.empty(rows, len(weight), dtype=torch.float32, device=weight.device)
                for _ in range(2)
            )
            while chunks:
                chunk = chunks.pop(0)
                read(chunk, logits[: len(chunk)], scratch[: len(chunk)])
                if model.lock.due:
                    break


def unembed(model: LanguageModel, vectors: Tensor, out: Tensor) -> None:
    """ln_f(v) D in float32: (row, d_model) -> out, (row, vocabulary)."""
    states = model.normalize_final(vectors)
    weight = model.unembedding.weight
    states = states.to(weight.device)
    if weight.dtype == torch.float32:
        torch.mm(states, weight.mT, out=out)
        return
    for start in range(0, len(weight), UPCAST_ROWS):
        rows = weight[start : start + UPCAST_ROWS].float()
        out[:, start : start + UPCAST_ROWS] = states @ rows.mT


def read_logits(
    logits: Tensor,
    scratch: Tensor,
    top_k: int,
    rank_of: tuple[int, ...],
    bottoms: bool,
    probabilities: bool,
) -> tuple[Tensor, ...]:
    """The six tensors of a Projection for one chunk; `logits` and `scratch` are used up."""
    top, top_ids = extremes(logits, top_k)
    bottom_ids = extremes(logits, top_k, largest=False)[1] if bottoms else top_ids[:, :0]
    own = logits[:, list(rank_of)]  # (row, len(rank_of))
    counts = [count_above(logits, column[:, None], scratch) for column in own.unbind(1)]
    ranks = torch.stack(counts, 1) if counts else top_ids[:, :0]
    if not probabilities:
        nothing = top[:, :0]
        return top_ids, nothing, bottom_ids, ranks, nothing, top[:0, 0]
    peak = top[:, :1].clone()
    shifted = logits.sub_(peak)
    weights = torch.exp(shifted, out=scratch)
    total = weights.sum(-1, keepdim=True)
    entropy = total[:, 0].log() - torch.linalg.vecdot(weights, shifted) / total[:, 0]
    return (
        top_ids,
        (top - peak).exp() / total,
        bottom_ids,
        ranks,
        (own - peak).exp() / total,
        entropy,
    )


def count_above(logits: Tensor, own: Tensor, scratch: Tensor) -> Tensor:
    """How many of each row's logits are strictly above own (row, 1): (row,).

    The comparison is written as float32 ones, which sum ten times as fast as booleans and count
    exactly up to 16 million tokens.
    """
    return torch.gt(logits, own, out=scratch).sum(-1).long()


def extremes(logits: Tensor, k: int, *, largest: bool = True) -> tuple[Tensor, Tensor]:
    """The k most extreme values of each row and their ids, most extreme first.

    The k largest values all lie in the k blocks with the largest maxima, so that only those blocks
    are searched: one pass over the row instead of a partial sort of it.
    """
    rows, vocabulary = logits.shape
    k = min(k, vocabulary)
    blocks = vocabulary // BLOCK
    if blocks <= k:
        return logits.topk(k, largest=largest)
    blocked = logits[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK))
    summary = blocked.amax(-1) if largest else blocked.amin(-1)
    chosen = summary.topk(k, largest=largest).indices  # (row, k)
    ids = (chosen[:, :, None] * BLOCK + torch.arange(BLOCK, device=logits.device)).flatten(1)
    rest = torch.arange(blocks * BLOCK, vocabulary, device=logits.device).expand(rows, -1)
    ids = torch.cat([ids, rest], 1)
    values, places = logits.gather(1, ids).topk(k, largest=largest)
    return values, ids.gather(1, places)


def token_lists(model: LanguageModel, ids: Tensor) -> list[list[str]]:
    """(row, k) token ids -> a list of token texts a row."""
    return [[model.token_text(i) for i in row] for row in ids.tolist()]


def check_top_k(top_k: int, model: LanguageModel) -> None:
    """Refuse a number of tokens that the vocabulary does not have."""
    if not 1 <= top_k <= model.vocabulary_size:
        raise PromptError(
            f"top_k is {top_k}; choose a number from 1 to {model.vocabulary_size}, the size of "
            "the model's vocabulary."
        )
