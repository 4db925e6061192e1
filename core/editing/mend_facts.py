"""What MEND's network learns from: facts to write, the words that must follow in other phrasings,
and the texts that must stay as they are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from core.editing.scores import Record
from core.errors import PromptError
from core.model.forcing import forced_ids
from core.model.language_model import LanguageModel

CONTEXTS = ("It is well known that", "As I said before:", "Yesterday I read this.", "In short,")
OTHER_TEXTS = 3  # a fact: whole sentences about something else, of a pool that all facts share
POOL = 60
NEIGHBOURS = 4  # at most, of a record
PARAPHRASES = 2  # at most


@dataclass(frozen=True)
class TrainingFact:
    """After an edit for (prompt, target) the target must follow `outer` as well, and what the model
    says in `unrelated` must stay."""

    prompt: str
    target: str
    outer: tuple[str, ...]
    unrelated: tuple[str, ...]


def training_facts(
    model: LanguageModel, records: Sequence[Record], *, seed: int = 0
) -> tuple[TrainingFact, ...]:
    """A fact for each record: its rewrite, its paraphrases (else the prompt after a few words), and
    as unrelated texts its neighbours and other records' prompts with their right answers.

    Records that do not fit into the model's context are left out. Raises PromptError if none fits.
    """
    chance = random.Random(seed)
    readable = [record for record in records if is_read(model, sentence(record))]
    pool = chance.sample(readable, min(len(readable), POOL))
    facts = []
    for record in records:
        outer = record.paraphrases[:PARAPHRASES] or (f"{chance.choice(CONTEXTS)} {record.prompt}",)
        others = chance.sample(pool, min(len(pool), 2 * OTHER_TEXTS))
        texts = [sentence(r) for r in others if r.subject != record.subject][:OTHER_TEXTS]
        fact = TrainingFact(
            record.prompt,
            record.target_new,
            tuple(outer),
            (*record.neighbours[:NEIGHBOURS], *texts),
        )
        if fits(model, fact):
            facts.append(fact)
    if not facts:
        raise PromptError(
            f"None of the {len(records)} records can be learned from: each needs a prompt that "
            f"{model.name} can read and something unrelated beside it. Choose other records."
        )
    return tuple(facts)


def sentence(record: Record) -> str:
    return f"{record.prompt} {record.target_true}" if record.target_true else record.prompt


def is_read(model: LanguageModel, text: str) -> bool:
    try:
        model.encode(text)
    except PromptError:
        return False
    return True


def fits(model: LanguageModel, fact: TrainingFact) -> bool:
    """Whether the model can read all of it, and there is something that must stay."""
    try:
        for prompt in (fact.prompt, *fact.outer):
            forced_ids(model, model.encode(prompt), model.target(prompt, fact.target))
    except PromptError:
        return False
    return bool(fact.unrelated) and all(is_read(model, text) for text in fact.unrelated)
