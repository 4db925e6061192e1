"""What a model says after a prompt, with or without edits."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from core.edits import Edit, turn
from core.lens import check_top_k
from core.model import LanguageModel
from core.trace import check_numbers


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
