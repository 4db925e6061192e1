"""Which facts MEND's shipped networks learn from, and which they never see.

The built-in models: every subject of data/mini_counterfact.json is held out, and five relations
wholly; the other facts of data/facts.csv are learned, with another object of their relation. Other
models: CounterFact records, of which those whose case_id ends in 9 are held out, and with them
every record about the same subjects.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from core import Record, load_counterfact
from core.studies.counterfact import MINI_COUNTERFACT
from scripts.corpus import Corpus, Fact, load_corpus

HELD_OUT_RELATIONS = ("currency", "death_place", "employer", "instrument", "mythology")
PARAPHRASES, NEIGHBOURS = 3, 5
TENTH = 9  # case_ids that end in it are held out


def held_out(record: Record) -> bool:
    """Whether a CounterFact record is never learned from: one in ten, by its own number."""
    return int(record.case_id) % 10 == TENTH


def counterfact_split(records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """(learned, held out); what is learned is about other subjects."""
    kept = [record for record in records if held_out(record)]
    subjects = {record.subject for record in kept}
    learned = [r for r in records if not held_out(r) and r.subject not in subjects]
    return learned, kept


def builtin_split(seed: int = 0) -> tuple[list[Record], list[Record], list[Record]]:
    """(learned, held out, held out with their whole relation)."""
    corpus, kept = load_corpus(), list(load_counterfact(MINI_COUNTERFACT))
    subjects = {record.subject for record in kept}
    ids = {corpus.relations[name]["id"] for name in HELD_OUT_RELATIONS}
    known = [
        fact
        for fact in corpus.facts
        if fact.subject not in subjects and corpus.relations[fact.relation]["id"] not in ids
    ]
    learned = records_of(corpus, known, random.Random(seed))
    return (
        learned,
        [record for record in kept if record.relation not in ids],
        [record for record in kept if record.relation in ids],
    )


def records_of(corpus: Corpus, facts: Sequence[Fact], chance: random.Random) -> list[Record]:
    """A rewrite of each fact: another object of its relation, in phrasings of it."""
    by_relation: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        by_relation[fact.relation].append(fact)
    records = []
    for i, fact in enumerate(facts):
        alike = by_relation[fact.relation]
        objects = sorted({f.object for f in alike} - {fact.object})
        others = [f for f in alike if f.subject != fact.subject]
        phrasings = corpus.relations[fact.relation]["phrasings"]
        if not objects or not others:
            continue
        own, *rest = chance.sample(phrasings, 1 + PARAPHRASES)
        around = neighbours(fact, others, own, phrasings, chance)
        records.append(
            Record(
                case_id=i,
                prompt=own.format(fact.subject),
                subject=fact.subject,
                target_new=chance.choice(objects),
                target_true=fact.object,
                paraphrases=tuple(phrasing.format(fact.subject) for phrasing in rest),
                neighbours=around,
                relation=corpus.relations[fact.relation]["id"],
            )
        )
    return records


def neighbours(
    fact: Fact, others: Sequence[Fact], own: str, phrasings: Sequence[str], chance: random.Random
) -> tuple[str, ...]:
    """Other subjects, first those with the same object, in the fact's own phrasing and in others:
    near enough to be hard."""
    drawn = chance.sample(list(others), len(others))
    drawn.sort(key=lambda other: other.object != fact.object)
    return tuple(
        (own if i % 2 == 0 else chance.choice(phrasings)).format(other.subject)
        for i, other in enumerate(drawn[:NEIGHBOURS])
    )
