"""What a model makes of prompts before any is traced: which it cannot read, and which targets are
more than one token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.errors import PromptError
from core.model.language_model import LanguageModel
from core.studies.counterfact import Record


@dataclass(frozen=True)
class Fit:
    """Each is a tuple of records, in their order; (record, its target's first token) in `longer`.

    `unread` are prompts that the model cannot read, `longer` have targets of several tokens, and
    in `alike` target and true answer begin with the same token, so that there is nothing to learn.
    """

    unread: tuple[Record, ...]
    longer: tuple[tuple[Record, str], ...]
    alike: tuple[Record, ...]


def fit(model: LanguageModel, records: Iterable[Record]) -> Fit:
    """How prompts and targets become the model's tokens; nothing is computed with the network."""
    unread, longer, alike = [], [], []
    for record in records:
        try:
            model.encode(record.prompt)
            target = model.target(record.prompt, record.target_new)
            answer = record.target_true and model.target(record.prompt, record.target_true)
        except PromptError:
            unread.append(record)
            continue
        if len(target.ids) > 1:
            longer.append((record, target.token))
        if answer and answer.id == target.id:
            alike.append(record)
    return Fit(tuple(unread), tuple(longer), tuple(alike))
