"""Prompts by rule: what is denied, asked backwards and written from, on CounterFact's prompts."""

import pytest

from core import Record, load_counterfact
from core.benchmarking.relation_questions import RELATIONS
from core.benchmarking.templates import (
    MOST_GENERATION_PROMPTS,
    generation_prompts,
    negations,
    reversed_questions,
)
from core.studies.counterfact import MINI_COUNTERFACT
from tests.conftest import SHARED

REAL = SHARED / "data" / "counterfact" / "counterfact_easyedit_10000.json"


def record(prompt: str, subject: str | None = "X", **fields) -> Record:
    return Record(1, prompt, subject, fields.pop("new", "Rome"), "Paris", **fields)


@pytest.mark.parametrize(
    ("prompt", "denied", "doubted"),
    [
        ("The mother tongue of X is", "The mother tongue of X is not", "the mother tongue of X is"),
        ("X plays for", "X does not play for", "X plays for"),
        ("X, created by", "X, not created by", "X was created by"),
        ("X, who plays", "X, who does not play", "X plays"),
        ("X, which is located in", "X, which is not located in", "X is located in"),
        ("X, whose headquarters are in", "X, whose headquarters are not in", None),
        ("X died in", "X did not die in", "X died in"),
        ("X premiered on", "X did not premiere on", "X premiered on"),
        ("X belonged to", "X did not belong to", "X belonged to"),
        ("X has a citizenship from", "X does not have a citizenship from", None),
        ("X can be found in", "X cannot be found in", "X can be found in"),
        ("X's owner", "X's owner is not", "X's owner is"),
        ("X's capital,", "X's capital is not", "X's capital is"),
        ("X's life ended in", "X's life did not end in", "X's life ended in"),
        ("In X, they understand", "In X, they do not understand", "in X, they understand"),
        ("X from", "X is not from", "X is from"),
        ("X professionally plays the sport", "X does not professionally play the sport", None),
        ("The law in X declares the language", "The law in X does not declare the language", None),
    ],
)
def test_a_statement_is_denied_and_doubted(prompt, denied, doubted):
    first, second = negations(record(prompt))
    assert first == denied
    assert second.startswith("It is not true that ")
    assert doubted is None or second == f"It is not true that {doubted}"


def test_a_question_is_denied_in_its_answer():
    assert negations(record("What is the twin city of X? It is")) == (
        "What is the twin city of X? It is not",
    )
    assert negations(record("Which position does X play? They play as")) == (
        "Which position does X play? They do not play as",
    )


def test_a_subjects_capital_stays():
    assert negations(record("The Loner was aired on", "The Loner"))[1] == (
        "It is not true that The Loner was aired on"
    )
    assert negations(record("Rome is", None)) == ("Rome is not", "It is not true that Rome is")


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("The capital of X is", "Rome is the capital of"),
        ("The twin city of the X was", "Rome was the twin city of"),
        ("X's owner", "Rome is the owner of"),
        ("X's profession is an", "Rome is the profession of"),
        ("X plays for", "Someone who plays for Rome is"),
        ("X, developed by", "Something that was developed by Rome is"),
        ("X, a citizen of", "Someone who is a citizen of Rome is"),
        (
            "Where is X? It is in",
            'In the sentence "Where is …? It is in Rome", the missing name is',
        ),
    ],
)
def test_a_fact_is_asked_backwards(prompt, expected):
    assert reversed_questions(record(prompt), " Rome ") == (expected,)


def test_a_known_relation_has_its_own_question_first():
    asked = reversed_questions(record("X's capital is", relation="P36"), "Rome")
    assert asked == ("Rome is the capital of",)  # the same twice is asked once
    asked = reversed_questions(record("X plays for", relation="P54"), "Rome")
    assert asked == ("A player of Rome is", "Someone who plays for Rome is")
    assert reversed_questions(record("X plays for", None), "Rome") == ()
    assert all(text.count("{}") == 1 for text in RELATIONS.values())


def test_what_the_model_writes_from():
    own = record("X is", generation_prompts=("X was", "X was", "X had"), paraphrases=("Y",))
    assert generation_prompts(own) == ("X was", "X had")
    assert generation_prompts(record("X is", paraphrases=("So X is",))) == ("X is", "So X is")
    many = record("X is", generation_prompts=tuple(f"X {n}" for n in range(30)))
    assert generation_prompts(many) == tuple(f"X {n}" for n in range(MOST_GENERATION_PROMPTS))


@pytest.mark.parametrize("path", [MINI_COUNTERFACT, REAL])
def test_every_record_is_denied_and_asked(path):
    if not path.exists():
        pytest.skip("the real file is not on this machine")
    for fact in load_counterfact(path):
        denied, asked = negations(fact), reversed_questions(fact, fact.target_new)
        assert 1 <= len(denied) <= 2
        assert all("not" in text and fact.subject in text for text in denied)
        assert 1 <= len(asked) <= 2
        assert all(fact.target_new in text for text in asked)
        assert not any(text.endswith(" ") or "  " in text for text in (*denied, *asked)) or (
            "  " in fact.prompt
        )
