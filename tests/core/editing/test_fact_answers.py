"""Each fact of each edit, against one pass a prompt on the merged weights."""

import importlib
from dataclasses import replace

import pytest

from core import EditError, Fact, PromptError, fact_answers
from tests.conftest import random_model
from tests.core.edited_models import logits_of, merged, random_edit

module = importlib.import_module("core.editing.fact_answers")  # core has a function of the name
FACTS = (
    Fact("Obama grew up in", "Obama", "Paris"),
    Fact("The capital of France is", "France", "Rome"),
    Fact("Snow is", None, "black"),
)


@pytest.mark.parametrize("size", [1, 2, 10])
def test_every_fact_is_asked_before_and_after(model, monkeypatch, size):
    monkeypatch.setattr(module, "LOGIT_BYTES", 8 * model.vocabulary_size * size)
    first = replace(random_edit(model, 1), facts=FACTS[:2])
    second = replace(random_edit(model, 2, layer=2), facts=FACTS[2:])
    table = fact_answers(model, [first, second])
    assert list(table["edit"]) == ["random 1", "random 1", "random 2"]
    assert list(table["subject"]) == ["Obama", "France", ""]
    dense = merged(model, [first, second])
    for fact, row in zip(FACTS, table.itertuples(), strict=True):
        goal = model.target(fact.prompt, fact.target)
        assert (row.prompt, row.target) == (fact.prompt, goal.token)
        for network, answer, chance in (
            (model.network, row.answer_before, row.target_before),
            (dense, row.answer_after, row.target_after),
        ):
            logits = logits_of(network, model.encode(fact.prompt))[-1]
            assert answer == model.token_text(int(logits.argmax()))
            assert chance == pytest.approx(float(logits.softmax(-1)[goal.id]), rel=1e-3, abs=1e-9)
        assert not row.said  # a random change makes it say none of these


def test_a_fact_that_the_model_says_now_is_marked(model):
    made = random_edit(model, 3)
    says = fact_answers(model, [made])["answer_after"].iloc[0]
    table = fact_answers(model, [replace(made, facts=(Fact(FACTS[0].prompt, None, says.strip()),))])
    assert bool(table["said"].iloc[0]) == (table["target"].iloc[0] == says)


def test_no_edits_no_rows_and_a_prompt_too_long_is_a_sentence(model):
    table = fact_answers(model, [])
    assert (len(table), list(table.columns)) == (0, module.COLUMNS)
    long = replace(random_edit(model, 1), facts=(Fact("word " * 600, None, "x"),))
    with pytest.raises(PromptError, match="tokens"):
        fact_answers(model, [long])
    with pytest.raises(EditError, match="other weights"):
        fact_answers(random_model("gpt2", seed=5, layers=2), [random_edit(model, 1)])
