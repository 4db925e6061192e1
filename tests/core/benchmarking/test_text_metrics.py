"""What is measured of generated texts, against numbers computed by hand."""

import io
import json
import math

import pytest

from core import PromptError, Record
from core.benchmarking import text_metrics
from core.benchmarking.text_metrics import (
    ReferenceScore,
    load_snippets,
    memit_text,
    ngram_entropy,
    writes,
)
from core.benchmarking.words import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She doesn't know it's mine.", "She does n't know it 's mine ."),
        ('He said "no", twice.', "He said `` no '' , twice ."),
        (
            "Mr. Smith lives. He left the U.S. in May.",
            "Mr. Smith lives . He left the U.S. in May .",
        ),
        ("It costs 3,000.50 dollars (50%).", "It costs 3,000.50 dollars ( 50 % ) ."),
        ("They cannot... won't -- gonna go!", "They can not ... wo n't -- gon na go !"),
        ("At 10:30: tea; x-y, A/B", "At 10:30 : tea ; x-y , A/B"),
        ("The poets' house", "The poets ' house"),
        ("J. S. Bach wrote e.g. fugues, cf. eq. 8.", "J. S. Bach wrote e.g. fugues , cf. eq. 8 ."),
        ("", ""),
    ],
)
def test_words_are_cut_as_nltk_cuts_them(text, expected):
    assert words(text) == expected.split()


def test_entropy_by_hand():
    # Word pairs of "a b a b a": ab twice, ba twice. Triples: aba twice, bab once.
    three = 2 / 3 * math.log2(3 / 2) + 1 / 3 * math.log2(3)
    assert ngram_entropy("a b a b a") == pytest.approx(1 / 3 + 2 / 3 * three)
    # Eight different words: 7 pairs and 6 triples, each once.
    expected = math.log2(7) / 3 + 2 / 3 * math.log2(6)
    assert ngram_entropy("a b c d e f g h") == pytest.approx(expected)
    assert ngram_entropy("a a a a a a") == 0
    assert ngram_entropy("a b") == ngram_entropy("") == 0


def test_a_text_as_memit_keeps_it():
    assert memit_text("caf\u00e9\n\nnow<|endoftext|>") == "cafe\u0301 now"


SNIPPETS = [
    {
        "relation_id": "P1",
        "target_id": "Q1",
        "samples": [{"name": "A", "text": "Red car"}, {"name": "B", "text": "red bike a"}],
    },
    {"relation_id": "P1", "target_id": "Q2", "samples": [{"name": "C", "text": "blue bike"}]},
]


def snippets(items=SNIPPETS):
    return load_snippets(io.BytesIO(json.dumps(items).encode()))


def record(target_id: str = "Q1", relation: str = "P1") -> Record:
    return Record(1, "A is", "A", "red", "blue", relation=relation, target_id=target_id)


def test_the_reference_score_by_hand():
    score = ReferenceScore(snippets()).score
    red = bike = math.log(4 / 3) + 1  # in two of three texts
    car = math.log(4 / 2) + 1  # in one
    reference = [2 * red, car, bike]
    expected = (red * 2 * red + 2 * bike * bike) / (
        math.hypot(red, 2 * bike) * math.hypot(*reference)
    )
    assert score(record(), ["RED bike", "bike, a unicorn"]) == pytest.approx(expected)
    assert score(record(), ["red", "car red bike"]) == pytest.approx(1)
    assert score(record("Q2"), ["red car"]) == 0
    assert score(record(), ["unicorn"]) == 0
    assert math.isnan(score(record("Q3"), ["red"]))
    assert math.isnan(score(record(relation="P2"), ["red"]))
    assert math.isnan(score(record("", ""), ["red"]))


def test_accents_stand_apart_as_in_memits_texts():
    score = ReferenceScore(snippets([SNIPPETS[0] | {"samples": [{"name": "", "text": "ole car"}]}]))
    assert score.score(record(), ["ol\u00e9 car"]) == pytest.approx(1)  # "ole" and a mark


def test_snippets_of_one_object_are_joined():
    twice = snippets([*SNIPPETS, SNIPPETS[0]])
    assert len(twice) == 5
    assert twice.texts["P1", "Q1"] == ("Red car", "red bike a") * 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no snippet"),
        (b"[]", "no snippet"),
        (b"[1]", "relation_id"),
        (b'[{"relation_id": "P1"}]', "relation_id"),
        (b'[{"relation_id": "P1", "target_id": "Q", "samples": "x"}]', "samples"),
        (b'[{"relation_id": "P1", "target_id": "Q", "samples": [{"text": 3}]}]', "samples"),
        (b'[{"relation_id": "P1", "target_id": "Q", "samples": [{"text": "\\ud800"}]}]', "samples"),
        (b'[{"relation_id": "P1", "target_id": "Q", "samples": [', "broken"),
        (b"[" * 100_000, "broken"),
        (json.dumps({"relation_id": "P" * 999, "target_id": "Q"}).encode(), "relation_id"),
    ],
)
def test_a_damaged_snippets_file_gets_a_sentence(content, reason):
    with pytest.raises(PromptError, match=reason):
        load_snippets(io.BytesIO(content))


def test_too_many_snippets_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(text_metrics, "MOST_SNIPPETS", 2)
    with pytest.raises(PromptError, match="more than 2"):
        snippets()
    monkeypatch.setattr(text_metrics, "LARGEST_FILE", 10)
    with pytest.raises(PromptError, match="bytes"):
        snippets()
    with pytest.raises(PromptError, match="cannot be read"):
        load_snippets(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        (" English, and French.", "English", True),
        ("Englishmen", "English", False),
        (" the english", "English", False),
        (" Bishop of Rome", "bishop", True),
        (" in New\nYork.", "New York", True),
        (" C++ and", "C++", True),
        (" Paris", " Paris ", True),
        (" Paris", "", False),
    ],
)
def test_whether_the_target_is_written(text, target, expected):
    assert writes(text, target) is expected
    assert writes(f"A prompt{text}", target, "A prompt") is expected


def test_what_stands_in_the_prompt_does_not_count():
    assert not writes("In English, X is blue", "English", "In English, X is")
    assert writes("In English, X is English", "English", "In English, X is")
