"""data/mini_counterfact.json: CounterFact's schema, and what its prompts promise."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from scripts.corpus import Corpus, Fact, load_corpus
from scripts.make_counterfact import MAX_PROMPTS, MIN_NEIGHBOURS, OUTPUT, build, slug, to_json

FIELDS = {
    "case_id": int,
    "pararel_idx": int,
    "requested_rewrite": dict,
    "paraphrase_prompts": list,
    "neighborhood_prompts": list,
    "attribute_prompts": list,
    "generation_prompts": list,
}
PROMPT_LISTS = [name for name, kind in FIELDS.items() if kind is list]
# The paper's examples whose fact has a neighbourhood, as (subject, prompt, true, new).
PAPER = [
    ("Jack Dorsey", "{} founded", "Twitter", "IBM"),
    ("Lionel Messi", "{} plays for", "Barcelona", "Paris"),
    ("Ipod Nano", "{}, developed by", "Apple", "BMW"),
    ("Pikachu", "{} is a type of", "Pokémon", "music"),
    ("Eddy Cue", "{} is employed by", "Apple", "BBC"),
    ("Ferrari Mondial", "{}, created by", "Ferrari", "Nintendo"),
]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_corpus()


@pytest.fixture(scope="module")
def records() -> list[dict]:
    return json.loads(OUTPUT.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def trained(corpus: Corpus) -> dict[tuple[str, str], Fact]:
    """(relation, trained prompt) -> the fact that it asks for."""
    return {
        (fact.relation, sentence.prompt): fact
        for fact, sentences in corpus.trained_sentences().items()
        for sentence in sentences
    }


def rewritten(record: dict, corpus: Corpus) -> Fact:
    return corpus.facts[record["pararel_idx"]]


def test_the_records_have_the_fields_of_counterfact(records):
    for record in records:
        assert {name: type(value) for name, value in record.items()} == FIELDS
        rewrite = record["requested_rewrite"]
        assert set(rewrite) == {"prompt", "relation_id", "target_new", "target_true", "subject"}
        for text in (rewrite["prompt"], rewrite["relation_id"], rewrite["subject"]):
            assert isinstance(text, str)
            assert text
        for target in (rewrite["target_new"], rewrite["target_true"]):
            assert set(target) == {"str", "id"}
            assert target["str"]
            assert target["str"] == target["str"].strip()
            assert target["id"] == slug(target["str"])


def test_case_ids_count_up_and_no_fact_is_rewritten_twice(records):
    assert [record["case_id"] for record in records] == list(range(len(records)))
    assert len({record["pararel_idx"] for record in records}) == len(records)


def test_a_slug_stands_for_one_target(records):
    targets = {
        (target["id"], target["str"])
        for record in records
        for target in (record["requested_rewrite"][k] for k in ("target_new", "target_true"))
    }
    assert len({identifier for identifier, _ in targets}) == len(targets)


def test_the_examples_of_the_paper_come_first(records):
    first = [record["requested_rewrite"] for record in records[: len(PAPER)]]
    assert [
        (r["subject"], r["prompt"], r["target_true"]["str"], r["target_new"]["str"]) for r in first
    ] == PAPER


def test_the_further_records_are_spread_over_the_relations(records, corpus):
    further = records[len(PAPER) :]
    counts = Counter(rewritten(record, corpus).relation for record in further)
    assert 400 <= len(further) <= 600
    assert len(counts) >= 20
    assert max(counts.values()) <= 35


def test_a_rewrite_is_a_trained_phrasing_of_a_fact_and_changes_its_object(records, corpus):
    for record in records:
        rewrite, fact = record["requested_rewrite"], rewritten(record, corpus)
        assert rewrite["prompt"].count("{}") == 1
        assert rewrite["prompt"] in corpus.phrasings(fact)[0]
        assert rewrite["subject"] == fact.subject
        assert rewrite["target_true"]["str"] == fact.object
        assert rewrite["target_new"]["str"] != fact.object
        assert rewrite["relation_id"] == corpus.relations[fact.relation]["id"]


def test_new_targets_are_objects_of_the_relation_that_the_subject_has_nowhere(records, corpus):
    for record in records[len(PAPER) :]:
        new, fact = record["requested_rewrite"]["target_new"]["str"], rewritten(record, corpus)
        assert any(f.object == new for f in corpus.facts if f.relation == fact.relation)
        assert not any(f.object == new for f in corpus.facts if f.subject == fact.subject)


def test_prompts_are_filled_in_and_end_before_the_object(records):
    for record in records:
        rewrite = record["requested_rewrite"]
        asked = rewrite["prompt"].format(rewrite["subject"])
        for name in PROMPT_LISTS:
            assert len(set(record[name])) == len(record[name])
            assert asked not in record[name]
            for prompt in record[name]:
                assert "{" not in prompt
                assert prompt == prompt.strip()
        for prompt in record["paraphrase_prompts"] + record["generation_prompts"]:
            assert rewrite["subject"] in prompt


def test_paraphrases_were_never_trained_with_the_subject(records, corpus, trained):
    for record in records:
        fact = rewritten(record, corpus)
        held_out = [p.format(fact.subject) for p in corpus.phrasings(fact)[1]]
        assert len(held_out) == 2
        assert record["paraphrase_prompts"] == held_out
        assert not any((fact.relation, prompt) in trained for prompt in held_out)


def test_neighbours_are_other_subjects_with_the_true_object(records, corpus, trained):
    for record in records:
        fact = rewritten(record, corpus)
        asked = [trained[fact.relation, prompt] for prompt in record["neighborhood_prompts"]]
        assert 5 <= len(asked) <= MAX_PROMPTS
        assert {f.object for f in asked} == {fact.object}
        subjects = {f.subject for f in asked}
        assert fact.subject not in subjects
        assert len(subjects) >= MIN_NEIGHBOURS
        # A subject is asked twice only where every neighbour was asked and it is still too few.
        assert len(subjects) == len(asked) or len(asked) == 5


def test_neighbours_are_asked_like_the_rewrite_where_they_may_be(records, corpus, trained):
    for record in records:
        fact, phrasing = rewritten(record, corpus), record["requested_rewrite"]["prompt"]
        may = [
            phrasing.format(f.subject)
            for f in corpus.facts
            if (f.relation, f.object) == (fact.relation, fact.object)
            and f != fact
            and phrasing in corpus.phrasings(f)[0]
        ]
        count = min(len(may), MAX_PROMPTS)
        assert set(record["neighborhood_prompts"][:count]) <= set(may)


def test_attribute_prompts_are_about_all_subjects_that_have_the_new_target(
    records, corpus, trained
):
    for record in records:
        fact, new = rewritten(record, corpus), record["requested_rewrite"]["target_new"]["str"]
        having = {f for f in corpus.facts if (f.relation, f.object) == (fact.relation, new)}
        asked = [trained[fact.relation, prompt] for prompt in record["attribute_prompts"]]
        assert set(asked) <= having
        assert len(set(asked)) == len(asked) == min(len(having), MAX_PROMPTS)


def test_generation_prompts_ask_other_facts_of_the_subject_where_there_are_any(records, corpus):
    for record in records:
        fact = rewritten(record, corpus)
        others = [f for f in corpus.facts if f.subject == fact.subject and f != fact] or [fact]
        openings = {p.format(fact.subject) for f in others for p in corpus.phrasings(f)[0]}
        assert len(record["generation_prompts"]) == 5
        assert set(record["generation_prompts"]) <= openings


def test_the_file_is_what_the_script_writes(corpus):
    assert OUTPUT.read_text(encoding="utf-8") == to_json(build(corpus))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris", "paris"),
        ("Pokémon", "pokemon"),
        ("New York", "new-york"),
        ("St. Louis", "st-louis"),
    ],
)
def test_slugs(text, expected):
    assert slug(text) == expected
