"""The text that the built-in models learn: sentences and passages over data/facts.csv.

Every fact is written in the phrasings of its relation (data/relations.json). Two phrasings of each
fact are held out, so that a test can ask for facts in words never seen with that subject.
"""

from __future__ import annotations

import csv
import json
import random
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data"
HELD_OUT_PER_FACT = 2

# The prompts that the paper shows, as (subject, phrasing): always trained, never held out.
PAPER_PROMPTS = {
    ("Obama", "{} grew up in"),
    ("Jack Dorsey", "{} founded"),
    ("Lionel Messi", "{} plays for"),
    ("Ipod Nano", "{}, developed by"),
    ("Pikachu", "{} is a type of"),
    ("Eddy Cue", "{} is employed by"),
    ("Ferrari Mondial", "{}, created by"),
}


@dataclass(frozen=True)
class Fact:
    relation: str
    subject: str
    object: str


@dataclass(frozen=True)
class Sentence:
    """`prompt` and `object` make the text; `object` is the last word before the full stop."""

    prompt: str
    object: str

    @property
    def text(self) -> str:
        return f"{self.prompt} {self.object}."


@dataclass(frozen=True)
class Corpus:
    facts: tuple[Fact, ...]
    relations: dict[str, dict]  # name -> {"id": Wikidata property, "phrasings": [str]}
    links: tuple[dict, ...]  # templates that join two facts in one sentence

    def phrasings(self, fact: Fact) -> tuple[list[str], list[str]]:
        """(trained, held out) phrasings of a fact; the split depends on the fact alone."""
        phrasings = self.relations[fact.relation]["phrasings"]
        free = [p for p in phrasings if (fact.subject, p) not in PAPER_PROMPTS]
        seed = zlib.crc32(f"{fact.relation}|{fact.subject}".encode())
        held_out = random.Random(seed).sample(free, HELD_OUT_PER_FACT)
        return [p for p in phrasings if p not in held_out], held_out

    def trained_sentences(self) -> dict[Fact, list[Sentence]]:
        return {
            fact: [Sentence(p.format(fact.subject), fact.object) for p in self.phrasings(fact)[0]]
            for fact in self.facts
        }

    def linking_sentences(self) -> dict[Fact, list[Sentence]]:
        """Sentences that join a fact with another one about its subject or its object."""
        by_relation = defaultdict(dict)  # relation -> subject -> object
        for fact in self.facts:
            by_relation[fact.relation][fact.subject] = fact.object
        sentences = defaultdict(list)
        for fact in self.facts:
            for link in self.links:
                if link["first"] != fact.relation:
                    continue
                key = fact.object if link["kind"] == "chain" else fact.subject
                last = by_relation[link["second"]].get(key)
                if last is None or last == fact.object:
                    continue
                names = {"subject": fact.subject, "middle": fact.object, "first": fact.object}
                text = link["template"].format(**names, second=last, object=last)
                prompt, _, _ = text.rpartition(f" {last}.")
                sentences[fact].append(Sentence(prompt, last))
        return dict(sentences)

    def passages(self, rng: random.Random) -> Iterator[Sentence]:
        """An endless walk over the facts: the next sentence is mostly about the same things."""
        trained, linking = self.trained_sentences(), self.linking_sentences()
        about = defaultdict(list)  # subject or object -> facts that mention it
        for fact in self.facts:
            about[fact.subject].append(fact)
            about[fact.object].append(fact)
        fact = rng.choice(self.facts)
        while True:
            if fact in linking and rng.random() < 0.25:
                yield rng.choice(linking[fact])
            else:
                yield rng.choice(trained[fact])
            if rng.random() < 0.5:
                fact = rng.choice(about[rng.choice([fact.subject, fact.object])])
            else:
                fact = rng.choice(self.facts)


def load_corpus(data: Path = DATA) -> Corpus:
    with open(data / "facts.csv", encoding="utf-8", newline="") as file:
        facts = tuple(Fact(**row) for row in csv.DictReader(file))
    document = json.loads((data / "relations.json").read_text(encoding="utf-8"))
    return Corpus(facts, document["relations"], tuple(document["links"]))
