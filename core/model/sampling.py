"""Text that the model itself writes, token by token; each token is one turn on the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from core.model.capture import check_numbers
from core.model.edited import turn
from core.model.edits import Edit
from core.model.language_model import LanguageModel


def next_logits(
    model: LanguageModel, ids: Tensor, cache: DynamicCache, edits: Sequence[Edit] = ()
) -> Tensor:
    """What follows the tokens in the cache and these, (row, new token): (row, vocabulary).

    The cache grows. The lock is taken for this one pass.
    """
    with turn(model, edits, gradients=False):
        output = model.network.base_model(
            input_ids=ids.to(model.device), past_key_values=cache, use_cache=True
        )
        logits = model.unembedding(output.last_hidden_state[:, -1]).float()
    check_numbers(logits)
    return logits.cpu()


def draw(logits: Tensor, generator: torch.Generator, temperature: float = 1.0) -> Tensor:
    """One token a row, (row, 1); at temperature 0 the most probable one."""
    if temperature == 0:
        return logits.argmax(-1, keepdim=True)
    probabilities = (logits / temperature).softmax(-1)
    return torch.multinomial(probabilities, 1, generator=generator)


def first_token(model: LanguageModel) -> int:
    """BOS, or what the model has in its place."""
    config = model.network.config
    for token in (config.bos_token_id, config.eos_token_id):
        if isinstance(token, int) and 0 <= token < model.vocabulary_size:
            return token
    return 0


def sample_rows(
    model: LanguageModel,
    rows: int,
    length: int,
    generator: torch.Generator,
    *,
    top_k: int | None = None,
    on_token: Callable[[], None] = lambda: None,
) -> Tensor:
    """Texts of the unedited model from BOS, at temperature 1: (row, length), BOS included."""
    ids, cache = torch.full((rows, 1), first_token(model)), DynamicCache()
    while ids.shape[1] < length:
        logits = next_logits(model, ids[:, -1:], cache)
        if top_k is not None:
            least = logits.topk(min(top_k, logits.shape[1])).values[:, -1:]
            logits = logits.masked_fill(logits < least, float("-inf"))
        ids = torch.cat([ids, draw(logits, generator)], 1)
        on_token()
    return ids
