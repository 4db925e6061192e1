"""What else an edit changed: answers and probabilities over other prompts, before and after."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from core.model.capture import check_numbers
from core.model.edited import turn
from core.model.edits import Edit
from core.model.forcing import padded
from core.model.language_model import LanguageModel
from core.model.projection import LOGIT_BYTES

MEASURED = (
    "answer_before",
    "answer_after",
    "target_before",
    "target_after",
    "old_before",
    "old_after",
    "kl",
)


def side_effects(
    model: LanguageModel,
    edits: Sequence[Edit],
    *,
    paraphrases: Sequence[str] = (),
    neighbours: Sequence[str] = (),
    unrelated: Sequence[str] = (),
    target: str,
    old_answer: str,
) -> pd.DataFrame:
    """One row a prompt, in the order given. Raises PromptError, EditError and ModelError.

    Columns: kind (paraphrase, neighbour, unrelated), prompt, answer_before, answer_after (the most
    probable token), target_before, target_after, old_before, old_after (probabilities of the first
    token of `target` and of `old_answer`), kl (KL(before || after) of the next token, in nats).
    """
    kinds = {"paraphrase": paraphrases, "neighbour": neighbours, "unrelated": unrelated}
    asked = [(kind, prompt) for kind, prompts in kinds.items() for prompt in prompts]
    words = [(model.target(p, target).id, model.target(p, old_answer).id) for _, p in asked]
    rows = [model.encode(prompt) for _, prompt in asked]
    size = max(1, LOGIT_BYTES // (8 * model.vocabulary_size))
    tables = [
        compare(model, edits, rows[i : i + size], words[i : i + size])
        for i in range(0, len(rows), size)
    ]
    prompts = pd.DataFrame(asked, columns=["kind", "prompt"])
    measured = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=MEASURED)
    return prompts.join(measured)


def compare(
    model: LanguageModel,
    edits: Sequence[Edit],
    rows: Sequence[tuple[int, ...]],
    words: Sequence[tuple[int, int]],
) -> pd.DataFrame:
    """The measured columns of one batch; `words` are the ids of target and old answer."""
    before = last_log_probabilities(model, (), rows)
    after = last_log_probabilities(model, edits, rows)
    chosen = torch.tensor(words, device=before.device)  # (row, 2)
    answers = [[model.token_text(i) for i in logs.argmax(-1).tolist()] for logs in (before, after)]
    chances = [logs.gather(1, chosen).exp() for logs in (before, after)]  # (row, 2) each
    divergence = (before.exp() * (before - after)).sum(-1).clamp_min(0)
    numbers = [chance[:, word] for word in range(2) for chance in chances] + [divergence]
    columns = answers + [values.tolist() for values in numbers]
    return pd.DataFrame(dict(zip(MEASURED, columns, strict=True)))


def last_log_probabilities(
    model: LanguageModel, edits: Sequence[Edit], rows: Sequence[tuple[int, ...]]
) -> Tensor:
    """log p of the next token of each row: (row, vocabulary)."""
    places = torch.tensor([len(row) - 1 for row in rows])
    with turn(model, edits, gradients=False):
        hidden = model.read(padded(model, rows))
        logits = model.unembedding(hidden[torch.arange(len(rows)), places]).float()
    check_numbers(logits)
    return logits.log_softmax(-1)
