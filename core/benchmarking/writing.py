"""What many variants of a model write, side by side: greedy continuations and sampled texts.

A variant is a list of edits (core.benchmarking.branches). Each has its own rows of the batch, so
that a pass over the weights serves all variants, prompts and records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from transformers import DynamicCache

from core.benchmarking.branches import Variant
from core.benchmarking.evaluate import TURN_TOKENS
from core.editing.ask import end_tokens
from core.model.capture import exclusive
from core.model.edited import Hook, hooked, row_hooks
from core.model.language_model import LanguageModel

TOP_K = 5  # of sampled text, as in memit's generate_fast
# Of attention's keys and values while texts are written; of a card's whole memory this part. What
# is free would differ from run to run, and rows in other batches are rounded otherwise.
WRITING_BYTES, OF_CARD = 2**30, 1 / 16
TOKENS_A_ROW = 16  # of a turn, that one more row of a batch counts as


@dataclass(frozen=True)
class Writing:
    """What is to be written: each variant goes on after each prompt."""

    prompts: Sequence[tuple[int, ...]]
    variants: Sequence[Variant]
    chances: Tensor | None = None  # (prompt, length) from 0 to 1; none for the best token each time


def continuations(
    model: LanguageModel,
    writings: Sequence[Writing],
    *,
    length: int,
    turn_tokens: int = TURN_TOKENS,
) -> list[list[list[tuple[int, ...]]]]:
    """What is written, the prompts included: writing x variant x prompt -> token ids.

    `length` tokens with the prompt's, or up to the end-of-text token. The most probable token each
    time; with chances, one of the TOP_K by its probability, by the same chances for every variant.
    All writings share their passes, in batches that keep to `writing_bytes`.
    """
    length = min(length, model.context_length)
    places = [
        (i, j, k)
        for i, writing in enumerate(writings)
        for j in range(len(writing.variants))
        for k in range(len(writing.prompts))
    ]
    at_once = min(rows_at_once(model, length), max(1, turn_tokens // TOKENS_A_ROW))
    found: dict[tuple[int, int, int], tuple[int, ...]] = {}
    for first in range(0, len(places), at_once):
        some = places[first : first + at_once]
        found |= zip(some, written_rows(model, writings, some, length), strict=True)
    return [
        [[found[i, j, k] for k in range(len(w.prompts))] for j in range(len(w.variants))]
        for i, w in enumerate(writings)
    ]


def rows_at_once(model: LanguageModel, length: int) -> int:
    """Rows whose attention's keys and values, of all their tokens, fit into `writing_bytes`."""
    config = model.network.config
    heads = getattr(config, "num_key_value_heads", config.num_attention_heads)
    width = heads * (model.d_model // config.num_attention_heads)
    a_token = 2 * model.n_layers * width * model.activation_dtype.itemsize
    return max(1, int(writing_bytes(model.device)) // (a_token * length))


def writing_bytes(device: torch.device) -> float:
    if device.type != "cuda":
        return WRITING_BYTES
    return max(WRITING_BYTES, OF_CARD * torch.cuda.get_device_properties(device).total_memory)


def written_rows(
    model: LanguageModel,
    writings: Sequence[Writing],
    places: Sequence[tuple[int, int, int]],
    length: int,
) -> list[tuple[int, ...]]:
    """One batch's rows, each a (writing, variant, prompt). Rows of all lengths go on side by side:
    a longer prompt's tokens are read where a shorter one's continuation is written."""
    prompts = [writings[i].prompts[k] for i, _, k in places]
    rows = [list(ids[:length]) for ids in prompts]
    hooks = row_hooks(model, edited_groups(writings, places))
    begun = min(len(row) for row in rows)
    new, cache = torch.tensor([row[:begun] for row in rows]), DynamicCache()
    ended, ends = [False] * len(rows), end_tokens(model)
    for place in range(begun, length):
        drawn = next_tokens(following_logits(model, new, cache, hooks), writings, places, place)
        for i, (row, token) in enumerate(zip(rows, drawn, strict=True)):
            if len(row) == place:
                ended[i] = ended[i] or token in ends
                row.append(token)
        if all(ended):
            break
        new = torch.tensor([[row[place]] for row in rows])
    return [cut(row, len(ids), ends) for row, ids in zip(rows, prompts, strict=True)]


def edited_groups(
    writings: Sequence[Writing], places: Sequence[tuple[int, int, int]]
) -> list[tuple[slice, Variant]]:
    """The rows of each variant that has edits."""
    groups, start = [], 0
    for (i, j), same in groupby(places, key=lambda place: place[:2]):
        end = start + len(list(same))
        if writings[i].variants[j]:
            groups.append((slice(start, end), writings[i].variants[j]))
        start = end
    return groups


def next_tokens(
    logits: Tensor,
    writings: Sequence[Writing],
    places: Sequence[tuple[int, int, int]],
    place: int,
) -> list[int]:
    """A token for each row of (row, vocabulary)."""
    shares = [writings[i].chances for i, _, _ in places]
    sampled = [n for n, chances in enumerate(shares) if chances is not None]
    drawn = chosen_tokens(logits, None)
    if sampled:
        chances = torch.stack([shares[n][places[n][2], place] for n in sampled])
        for n, token in zip(sampled, chosen_tokens(logits[sampled], chances), strict=True):
            drawn[n] = token
    return drawn


def following_logits(
    model: LanguageModel, ids: Tensor, cache: DynamicCache, hooks: Sequence[Hook]
) -> Tensor:
    """(row, vocabulary) after the tokens in the cache and these; one turn."""
    with exclusive(model, gradients=False), hooked(hooks):
        output = model.network.base_model(
            input_ids=ids.to(model.device), past_key_values=cache, use_cache=True
        )
        logits = model.unembedding(output.last_hidden_state[:, -1]).float()
    return logits


def chosen_tokens(logits: Tensor, chances: Tensor | None) -> list[int]:
    """A token a row. logits: (row, vocabulary); chances: (row,) from 0 to 1."""
    logits = logits.nan_to_num(nan=float("-inf"))  # of an edit that broke the model
    if chances is None:
        return logits.argmax(-1).tolist()
    best = logits.topk(min(TOP_K, logits.shape[1]))
    sums = best.values.double().softmax(-1).cumsum(-1)
    passed = (sums < chances.to(sums)[:, None]).sum(-1).clamp(max=sums.shape[1] - 1)
    return best.indices.gather(1, passed[:, None])[:, 0].tolist()


def cut(row: Sequence[int], begun: int, ends: set[int]) -> tuple[int, ...]:
    """Without the end-of-text token and what follows it."""
    end = next((i for i in range(begun, len(row)) if row[i] in ends), len(row))
    return tuple(row[:end])
