"""Write data/mini_counterfact.json: python -m scripts.make_counterfact

The file has the schema of CounterFact (a list of records), but is made from data/facts.csv, so
that the built-in models know the facts it rewrites. Differences from the original:

- `id` of a target is a slug of its text ("paris"), as the facts carry no Wikidata entity ids;
- `pararel_idx` is the index of the rewritten fact in data/facts.csv, counted from 0;
- the `paraphrase_prompts` are the fact's held-out phrasings, never trained with that subject.

The paper's own examples come first. Everything is seeded.
"""

from __future__ import annotations

import json
import logging
import random
import unicodedata
from collections import Counter, defaultdict

from scripts.corpus import DATA, Corpus, Fact, load_corpus

OUTPUT = DATA / "mini_counterfact.json"
SEED = 2022
PER_RELATION = 18
MIN_NEIGHBOURS = 3  # distinct other subjects with the same object
MIN_NEIGHBOURHOOD = 5
MAX_PROMPTS = 10
GENERATION_PROMPTS = 5
COMMON = 3  # subjects that make an object a preferred target

# (subject, phrasing, new target), in the order of the paper. Obama's is not written: nobody else
# in the facts grew up in Hawaii, so it has no neighbourhood.
PAPER_EXAMPLES = (
    ("Obama", "{} grew up in", "Paris"),
    ("Jack Dorsey", "{} founded", "IBM"),
    ("Lionel Messi", "{} plays for", "Paris"),
    ("Ipod Nano", "{}, developed by", "BMW"),
    ("Pikachu", "{} is a type of", "music"),
    ("Eddy Cue", "{} is employed by", "BBC"),
    ("Ferrari Mondial", "{}, created by", "Nintendo"),
)

# One name for two things (a river and a country, say): what the facts tell of the one would be
# asked of the other, so these are not rewritten.
HOMONYMS = {"Amazon", "Mercury", "Niger", "Senegal"}

log = logging.getLogger("make_counterfact")


def slug(text: str) -> str:
    """Lower-case ASCII letters and digits, joined by hyphens: "Brasília" -> "brasilia"."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join("".join(c if c.isalnum() else " " for c in plain).split())


def target(text: str) -> dict[str, str]:
    return {"str": text, "id": slug(text)}


def subjects_of(corpus: Corpus) -> dict[tuple[str, str], list[Fact]]:
    """(relation, object) -> the facts that have that object."""
    groups = defaultdict(list)
    for fact in corpus.facts:
        groups[fact.relation, fact.object].append(fact)
    return dict(groups)


def rewritable(corpus: Corpus) -> list[Fact]:
    """The facts that have a neighbourhood and a Wikidata property."""
    groups = subjects_of(corpus)
    return [
        fact
        for fact in corpus.facts
        if len(groups[fact.relation, fact.object]) > MIN_NEIGHBOURS
        and corpus.relations[fact.relation]["id"]
        and fact.subject not in HOMONYMS
    ]


def new_target(corpus: Corpus, fact: Fact, rng: random.Random) -> str:
    """A false object for the fact, if possible one that several subjects of the relation have."""
    counts = Counter(f.object for f in corpus.facts if f.relation == fact.relation)
    # Einstein's "Germany" may be true in some way if another fact says it of him.
    stated = {f.object for f in corpus.facts if f.subject == fact.subject}
    false = [o for o in counts if o not in stated and o not in fact.subject.split()]
    return rng.choice([o for o in false if counts[o] >= COMMON] or false)


def prompts_about(
    corpus: Corpus, facts: list[Fact], phrasing: str, at_least: int, rng: random.Random
) -> list[str]:
    """Trained prompts, one for each fact, and more in other words where that is too few.

    Facts that may be asked as `phrasing` come first and are asked so first.
    """
    asked = []
    for fact in rng.sample(facts, len(facts)):
        trained = corpus.phrasings(fact)[0]
        phrasings = sorted(rng.sample(trained, len(trained)), key=lambda p: p != phrasing)
        asked.append([(p, p.format(fact.subject)) for p in phrasings])
    asked.sort(key=lambda prompts: prompts[0][0] != phrasing)
    rounds = [prompt for prompts in zip(*asked, strict=True) for _, prompt in prompts]
    return rounds[: min(MAX_PROMPTS, max(len(facts), at_least))]


def generation_prompts(corpus: Corpus, fact: Fact, phrasing: str, rng: random.Random) -> list[str]:
    """Openings about the subject: from its other facts if it has any, else from this one."""
    others = [f for f in corpus.facts if f.subject == fact.subject and f != fact]
    openings = [
        p.format(fact.subject)
        for f in others or [fact]
        for p in corpus.phrasings(f)[0]
        if others or p != phrasing
    ]
    return rng.sample(openings, GENERATION_PROMPTS)


def record(corpus: Corpus, fact: Fact, phrasing: str, new: str, rng: random.Random) -> dict:
    """One record of the file, but for its `case_id`."""
    groups = subjects_of(corpus)
    neighbours = [f for f in groups[fact.relation, fact.object] if f != fact]
    having_new = groups.get((fact.relation, new), [])
    return {
        "pararel_idx": corpus.facts.index(fact),
        "requested_rewrite": {
            "prompt": phrasing,
            "relation_id": corpus.relations[fact.relation]["id"],
            "target_new": target(new),
            "target_true": target(fact.object),
            "subject": fact.subject,
        },
        "paraphrase_prompts": [p.format(fact.subject) for p in corpus.phrasings(fact)[1]],
        "neighborhood_prompts": prompts_about(corpus, neighbours, phrasing, MIN_NEIGHBOURHOOD, rng),
        "attribute_prompts": prompts_about(corpus, having_new, phrasing, 0, rng),
        "generation_prompts": generation_prompts(corpus, fact, phrasing, rng),
    }


def paper_rewrites(corpus: Corpus) -> list[tuple[Fact, str, str]]:
    """(fact, phrasing, new target) of the paper's examples that can be rewritten here."""
    facts = rewritable(corpus)
    return [
        (fact, phrasing, new)
        for subject, phrasing, new in PAPER_EXAMPLES
        for fact in facts
        if fact.subject == subject and phrasing in corpus.relations[fact.relation]["phrasings"]
    ]


def sampled_rewrites(
    corpus: Corpus, taken: set[Fact], rng: random.Random
) -> list[tuple[Fact, str, str]]:
    """(fact, phrasing, new target), at most PER_RELATION of each relation, in mixed order."""
    by_relation = defaultdict(list)
    for fact in rewritable(corpus):
        if fact not in taken:
            by_relation[fact.relation].append(fact)
    sampled = [
        fact
        for facts in by_relation.values()
        for fact in rng.sample(facts, min(PER_RELATION, len(facts)))
    ]
    # Mixed, so that the first n records of the file are a fair sample of it.
    rng.shuffle(sampled)
    return [
        (fact, rng.choice(corpus.phrasings(fact)[0]), new_target(corpus, fact, rng))
        for fact in sampled
    ]


def build(corpus: Corpus, seed: int = SEED) -> list[dict]:
    """All records: the paper's examples, then the sample."""
    rng = random.Random(seed)
    paper = paper_rewrites(corpus)
    rewrites = paper + sampled_rewrites(corpus, {fact for fact, _, _ in paper}, rng)
    return [
        {"case_id": case_id, **record(corpus, fact, phrasing, new, rng)}
        for case_id, (fact, phrasing, new) in enumerate(rewrites)
    ]


def to_json(records: list[dict]) -> str:
    return json.dumps(records, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    records = build(load_corpus())
    OUTPUT.write_text(to_json(records), encoding="utf-8", newline="\n")
    log.info("%d records in %s", len(records), OUTPUT)


if __name__ == "__main__":
    main()
