"""Every measure of a row, from logits that are written down by hand."""

import json
import math
from types import SimpleNamespace

import pytest
import torch

from core.benchmarking.asked import Question, Row
from core.benchmarking.evaluate import Reading, read
from core.benchmarking.judged import in_words, shares
from core.model.tokens import Target

A, B, C, D = range(4)  # the vocabulary
LOGS = [math.log(v) for v in (0.5, 0.25, 0.125, 0.125)]


def target(*ids: int) -> Target:
    return Target("", ids, tuple("ABCD"[i] for i in ids))


def likeliest(*order: int) -> list[float]:
    """Logits with p = 1/2, 1/4, 1/8, 1/8 for the tokens in this order, all moved by 7."""
    logits = [0.0] * 4
    for value, token in zip(LOGS, order, strict=True):
        logits[token] = value + 7
    return logits


def asked(kind: str, wanted: Target, other: Target | None = None) -> Question:
    return Question(kind, kind, (9, 9), wanted, other)


def test_nll_answer_and_accuracy_from_logits():
    """A prompt of two tokens; the wanted target has two tokens, the other one."""
    questions = [asked("rewrite", target(A, B), target(C))]
    rows = [Row((9, 9, A), ((0, 0), (0, 1)))]
    states = torch.tensor([[likeliest(D, C, B, A), likeliest(A, B, C, D), likeliest(B, A, C, D)]])
    model = SimpleNamespace(unembedding=lambda values: values)  # what it reads are logits already
    found = read(model, questions, rows, states)
    assert set(found) == {(0, 0), (0, 1)}
    answer, nll, right = found[0, 0]
    assert (answer, right) == (A, True)
    assert nll == pytest.approx(math.log(2))  # 1/2 each
    answer, nll, right = found[0, 1]
    assert (answer, right) == (A, False)
    assert nll == pytest.approx(math.log(8))


def test_half_a_target_is_no_target():
    questions = [asked("rewrite", target(A, B))]
    states = torch.tensor([[likeliest(D, C, B, A), likeliest(A, B, C, D), likeliest(C, B, A, D)]])
    model = SimpleNamespace(unembedding=lambda values: values)
    ((_, nll, right),) = read(model, questions, [Row((9, 9, A), ((0, 0),))], states).values()
    assert not right
    assert nll == pytest.approx((math.log(2) + math.log(4)) / 2)  # P is a geometric mean


QUESTIONS = [
    asked("rewrite", target(A), target(B)),
    asked("paraphrase", target(A), target(B)),
    asked("paraphrase", target(A), target(B)),
    asked("neighbour", target(B), target(A)),
    asked("neighbour", target(B), target(A)),
    asked("negation", target(A)),
    asked("negation", target(A)),
    asked("reversed", target(C)),
    asked("reversed", target(C)),
]
HALF, QUARTER, EIGHTH = (math.log(v) for v in (2, 4, 8))
AFTER = [
    Reading(A, (HALF, QUARTER), (True, False)),
    Reading(A, (HALF, EIGHTH), (True, False)),
    Reading(C, (QUARTER, EIGHTH), (False, False)),  # preferred to the true one, and not the answer
    Reading(B, (HALF, QUARTER), (True, False)),
    Reading(A, (QUARTER, HALF), (False, True)),  # a neighbour that was hit
    Reading(A, (HALF,), (True,)),  # "not", and all the same
    Reading(D, (EIGHTH,), (False,)),
    Reading(C, (HALF,), (True,)),
    Reading(A, (QUARTER,), (False,)),
]
BEFORE = [
    Reading(B, (EIGHTH, HALF), (False, True)),
    Reading(B, (EIGHTH, HALF), (False, True)),
    Reading(C, (EIGHTH, HALF), (False, False)),
    Reading(B, (HALF, EIGHTH), (True, False)),
    Reading(B, (HALF, EIGHTH), (True, False)),
    Reading(B, (EIGHTH,), (False,)),
    Reading(B, (EIGHTH,), (False,)),
    Reading(A, (QUARTER,), (False,)),
    Reading(A, (QUARTER,), (False,)),
]


def test_the_shares_of_a_row():
    row = shares(QUESTIONS, AFTER, BEFORE)
    assert row == pytest.approx(
        {
            "efficacy_acc": 1,
            "efficacy_success": 1,
            "efficacy_diff": 1 / 2 - 1 / 4,
            "paraphrase_acc": 1 / 2,
            "paraphrase_success": 1,
            "paraphrase_diff": ((1 / 2 - 1 / 8) + (1 / 4 - 1 / 8)) / 2,
            "neighbourhood_acc": 1 / 2,
            "neighbourhood_success": 1 / 2,
            "neighbourhood_diff": ((1 / 2 - 1 / 4) + (1 / 4 - 1 / 2)) / 2,
            "kept": 1 / 2,
            "negation": 1 / 2,
            "reversed_acc": 1 / 2,
            "reversed_success": 1 / 2,
        }
    )


def test_the_unedited_model_s_row():
    row = shares(QUESTIONS, BEFORE, BEFORE)
    assert (row["efficacy_acc"], row["efficacy_success"], row["kept"]) == (0, 0, 1)
    assert row["efficacy_diff"] == pytest.approx(1 / 8 - 1 / 2)
    assert row["reversed_success"] == 0  # nothing has become more probable


def test_a_record_without_such_prompts_is_not_measured():
    row = shares(QUESTIONS[:1], AFTER[:1], BEFORE[:1])
    assert row["efficacy_acc"] == 1
    assert all(math.isnan(row[name]) for name in ("paraphrase_acc", "kept", "negation"))


def test_numbers_are_kept_as_new_and_true_also_of_neighbours():
    model = SimpleNamespace(token_text="ABCD".__getitem__)
    kept = in_words(model, QUESTIONS, AFTER)
    numbers = json.loads(kept["nlls"])
    assert numbers["rewrite"] == [[round(HALF, 6), round(QUARTER, 6), 1]]
    assert numbers["neighbour"][1] == [round(HALF, 6), round(QUARTER, 6), 0]
    assert json.loads(kept["said"])[4] == ["neighbour", "neighbour", "B", "A"]
    broken = [Reading(A, (math.nan, math.inf), (False, False))]
    assert json.loads(in_words(model, QUESTIONS[:1], broken)["nlls"]) == {
        "rewrite": [[None, None, 0]]
    }
