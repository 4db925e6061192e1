"""The target under teacher forcing: each of its tokens, asked for after those before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.errors import PromptError
from core.model.language_model import LanguageModel
from core.model.tokens import Target


def forced_ids(model: LanguageModel, ids: tuple[int, ...], target: Target) -> tuple[int, ...]:
    """The prompt's tokens and all tokens of the target but the last, which nothing follows.

    Raises PromptError if they do not fit into the context.
    """
    forced = ids + target.ids[:-1]
    if len(forced) > model.context_length:
        raise PromptError(
            f"The prompt and the target are {len(forced) + 1} tokens long; this model reads at "
            f"most {model.context_length} and says one more. Shorten one of them."
        )
    return forced


def padded(model: LanguageModel, rows: Sequence[tuple[int, ...]]) -> Tensor:
    """Input embeddings (row, token, d_model), padded on the right.

    A causal model's tokens do not see what follows them, so no mask is needed.
    """
    longest = max(len(row) for row in rows)
    return torch.cat([model.embed(row + (row[-1],) * (longest - len(row))) for row in rows])


def target_logits(
    model: LanguageModel, hidden: Tensor, prompt_lengths: Sequence[int], target: Target
) -> Tensor:
    """What the model gives each token of the target's places: (row, target token, vocabulary).

    hidden: (row, token, d_model), after the final norm; the target follows `prompt_lengths`.
    """
    return model.unembedding(target_states(hidden, prompt_lengths, target)).float()


def target_states(hidden: Tensor, prompt_lengths: Sequence[int], target: Target) -> Tensor:
    """What `target_logits` are of: (row, target token, d_model)."""
    steps = torch.arange(len(target.ids), device=hidden.device)
    places = torch.tensor(prompt_lengths, device=hidden.device)[:, None] - 1 + steps
    return hidden[torch.arange(len(hidden), device=hidden.device)[:, None], places]


def losses_of(logits: Tensor, target: Target) -> Tensor:
    """-log p(target) of each row, the mean over the target's tokens, in nats: (row,)."""
    wanted = torch.tensor(target.ids, device=logits.device).expand(len(logits), -1)
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), wanted.flatten(), reduction="none"
    )
    return losses.view(len(logits), -1).mean(-1)


def smallest_lead(logits: Tensor, target: Target) -> Tensor:
    """By how much the target's logit exceeds the best other one, where that is least; a scalar.

    Above 0 the target is the answer in every row, each of its tokens after those before it.
    """
    wanted = torch.tensor(target.ids, device=logits.device).expand(len(logits), -1)[..., None]
    others = logits.scatter(-1, wanted, float("-inf")).amax(-1)
    return (logits.gather(-1, wanted)[..., 0] - others).min()


def target_losses(
    model: LanguageModel,
    hidden: Tensor,
    prompt_lengths: Sequence[int],
    target: Target,
    temperature: float = 1.0,
) -> Tensor:
    """`losses_of` the `target_logits` / temperature: (row,)."""
    logits = target_logits(model, hidden, prompt_lengths, target)
    return losses_of(logits / temperature, target)
