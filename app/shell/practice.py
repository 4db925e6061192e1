"""Facts to practise on: rewrites of facts that the built-in models learned.

None is about a subject of data/mini_counterfact.json, so that those can judge what has practised.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import core
from app.shell.related import known_facts, phrasings
from app.shell.subjects import known_records

SEED = 0
PARAPHRASES, NEIGHBOURS = 3, 5


def practice_records() -> core.Records:
    """A record for each fact: another answer of its relation, asked for in several phrasings; its
    neighbours are other subjects of the relation. The same ones each time."""
    chance = random.Random(SEED)
    kept = {record.subject for record in known_records().values()}
    records: list[core.Record] = []
    for relation, known in known_facts().items():
        facts = {subject: answer for subject, answer in known.items() if subject not in kept}
        asked = sorted(phrasings()[relation])
        for subject in facts:
            if len(set(facts.values())) > 1:
                records.append(practice_record(len(records), subject, facts, asked, chance))
    return core.Records("the built-in facts", tuple(records))


def practice_record(
    number: int, subject: str, facts: Mapping[str, str], asked: list[str], chance: random.Random
) -> core.Record:
    """A rewrite of one of a relation's facts, each an answer by its subject."""
    answer = facts[subject]
    own, *others = chance.sample(asked, min(len(asked), 1 + PARAPHRASES))
    subjects = [other for other in facts if other != subject]
    chance.shuffle(subjects)
    near = sorted(subjects, key=lambda other: facts[other] != answer)[:NEIGHBOURS]
    return core.Record(
        case_id=number,
        prompt=own.format(subject),
        subject=subject,
        target_new=chance.choice(sorted(set(facts.values()) - {answer})),
        target_true=answer,
        paraphrases=tuple(phrasing.format(subject) for phrasing in others),
        neighbours=tuple(
            (own if i % 2 == 0 else chance.choice(asked)).format(other)
            for i, other in enumerate(near)
        ),
    )
