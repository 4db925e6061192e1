"""What a model says after the prompts of its edits' own facts, before and now."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from core.editing.side_effects import last_log_probabilities
from core.model.edits import Edit, check_fits
from core.model.language_model import LanguageModel
from core.model.projection import LOGIT_BYTES

COLUMNS = [
    "edit",
    "prompt",
    "subject",
    "target",
    "answer_before",
    "answer_after",
    "target_before",
    "target_after",
    "said",
]


def fact_answers(model: LanguageModel, edits: Sequence[Edit]) -> pd.DataFrame:
    """One row for each fact of each edit, in their order, with all the edits on.

    Columns: edit (its name), prompt, subject (empty where it has none), target (its first token,
    which is the one that is asked for), answer_before, answer_after (the most probable next token
    without and with the edits), target_before, target_after (the target's probability) and said
    (whether the answer is the target now). Raises PromptError, EditError and ModelError.
    """
    check_fits(model, edits)
    facts = [(edit.name, fact) for edit in edits for fact in edit.facts]
    ids = [model.encode(fact.prompt) for _, fact in facts]
    goals = [model.target(fact.prompt, fact.target) for _, fact in facts]
    size = max(1, LOGIT_BYTES // (8 * model.vocabulary_size))
    rows = []
    for start in range(0, len(facts), size):
        batch = ids[start : start + size]
        before, after = (last_log_probabilities(model, on, batch) for on in ((), edits))
        for i, goal in enumerate(goals[start : start + size]):
            name, fact = facts[start + i]
            old, new = int(before[i].argmax()), int(after[i].argmax())
            words = [goal.token, model.token_text(old), model.token_text(new)]
            chances = [float(logs[i, goal.id].exp()) for logs in (before, after)]
            rows.append((name, fact.prompt, fact.subject or "", *words, *chances, new == goal.id))
    return pd.DataFrame(rows, columns=COLUMNS)
