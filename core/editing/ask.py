"""What a model says after a prompt, with or without edits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from transformers import DynamicCache

from core.editing.hyperparameters import check_number, check_whole
from core.model.capture import check_numbers
from core.model.edited import turn
from core.model.edits import Edit, check_fits
from core.model.language_model import LanguageModel
from core.model.projection import check_top_k
from core.model.sampling import draw, next_logits


def answers(
    model: LanguageModel, prompt: str, *, edits: Sequence[Edit] = (), top_k: int = 10
) -> pd.DataFrame:
    """The most probable next tokens, most probable first.

    Columns: token (its text), probability, logit. Raises PromptError, EditError for an edit that
    does not fit, and ModelError.
    """
    check_top_k(top_k, model)
    ids = model.encode(prompt)
    with turn(model, edits, gradients=False):
        hidden = model.read(model.embed(ids))
        logits = model.unembedding(hidden[0, -1]).float()
    check_numbers(logits)
    best = logits.topk(top_k)
    probabilities = (best.values - logits.logsumexp(-1)).exp()
    return pd.DataFrame(
        {
            "token": [model.token_text(i) for i in best.indices.tolist()],
            "probability": probabilities.tolist(),
            "logit": best.values.tolist(),
        }
    )


def complete(
    model: LanguageModel,
    prompt: str,
    *,
    edits: Sequence[Edit] = (),
    max_new_tokens: int = 30,
    temperature: float = 0.0,
    seed: int = 0,
    on_token: Callable[[str], None] | None = None,
) -> str:
    """What the model writes after the prompt, up to its end-of-text token or the context's end.

    Temperature 0 takes the most probable token each time; above it `seed` decides. `on_token(text)`
    gets the text piece by piece as it is written, never half a character, and may raise Cancelled.
    The lock is taken for one token at a time. Raises PromptError, EditError and ModelError.
    """
    check_whole("max_new_tokens", max_new_tokens, 1, 10_000)
    check_number("temperature", temperature, 0, 100)
    check_fits(model, edits)
    ids = model.encode(prompt)
    generator = torch.Generator().manual_seed(seed)
    written, shown, new, cache = list(ids), "", torch.tensor([ids]), DynamicCache()
    for _ in range(min(max_new_tokens, model.context_length - len(ids))):
        new = draw(next_logits(model, new, cache, edits), generator, temperature)
        if int(new) in end_tokens(model):
            break
        written.append(int(new))
        text = continuation(model, ids, written)
        if on_token is not None and text.startswith(shown) and whole_characters(text):
            on_token(text[len(shown) :])
            shown = text
    text = continuation(model, ids, written)
    if on_token is not None and text != shown:
        on_token(text[len(shown) :])
    return text


def whole_characters(text: str) -> bool:
    """Whether the text ends with a whole character: the rest of one comes with the next token."""
    return not text.endswith("\N{REPLACEMENT CHARACTER}")


def continuation(model: LanguageModel, ids: tuple[int, ...], written: Sequence[int]) -> str:
    """The text after the prompt. Read together with the prompt's last token, so that the leading
    space of the first word, which Llama's decoder drops, is kept."""
    decode, options = model.tokenizer.decode, {"clean_up_tokenization_spaces": False}
    start = decode(list(ids[-1:]), **options)
    return decode(list(written[len(ids) - 1 :]), **options)[len(start) :]


def end_tokens(model: LanguageModel) -> set[int]:
    end = model.network.config.eos_token_id
    return set(end) if isinstance(end, list) else {end}
