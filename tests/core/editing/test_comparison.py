"""Estimates, verdicts, sizes, and all methods on one fact."""

import pandas as pd
import pytest
import torch

from core import (
    METHODS,
    EditError,
    PromptError,
    change_sizes,
    compare_methods,
    edit,
    load_model,
    preflight,
    verdicts,
)
from core.model.architectures import weight_in_out
from tests.conftest import PROMPT, TARGET
from tests.core.edited_models import SETTINGS
from tests.core.mend_networks import ready


@pytest.mark.parametrize("method", ["forward-shift", "sgd", "adam"])
def test_sizes_are_frobenius_norms_of_the_change_and_of_the_weight(model, method):
    options = {"forward-shift": {"eta": 0.3}, "sgd": {"lr": 0.01}, "adam": {"steps": 2}}[method]
    made = edit(model, PROMPT, TARGET, method=method, **options)
    table = change_sizes(model, made)
    assert len(table) == len(made.changes)
    for row, change in zip(table.itertuples(), made.changes, strict=True):
        weight = weight_in_out(model.modules(change.matrix, change.layer)[0])
        assert row.norm == pytest.approx(float(change.weight_change.norm()), rel=1e-4)
        assert row.weight_norm == pytest.approx(float(weight.norm()), rel=1e-4)
        assert row.share == pytest.approx(row.norm / row.weight_norm)


def around(kind, before, after, rise=0.1, kl=0.01):
    return {
        "kind": kind,
        "answer_before": before,
        "answer_after": after,
        "target_before": 0.2,
        "target_after": 0.2 + rise,
        "kl": kl,
    }


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (around("paraphrase", " a", " T"), "good"),
        (around("paraphrase", " a", " b"), "mixed"),
        (around("paraphrase", " a", " b", rise=-0.1), "bad"),
        (around("neighbour", " a", " a"), "good"),
        (around("neighbour", " a", " a", kl=0.5), "mixed"),
        (around("unrelated", " a", " T"), "bad"),
        (around("unrelated", " T", " T"), "good"),
    ],
)
def test_verdicts(row, verdict):
    assert verdicts(pd.DataFrame([row]), " T").tolist() == [verdict]


@pytest.mark.parametrize("method", list(SETTINGS))
def test_an_estimate_of_memory_is_what_the_edit_takes(model, method):
    ready(model, method)
    made = edit(model, PROMPT, TARGET, method=method, subject="Obama", **SETTINGS[method])
    cost = preflight(model, PROMPT, method, **SETTINGS[method])
    if method == "mend":  # tokens without a gradient, in the last layer all but one, take nothing
        assert made.size <= cost.bytes
    else:
        assert cost.bytes == made.size
    assert cost.seconds > 0
    assert cost.missing == ()


def test_bad_estimates_get_a_sentence(model):
    with pytest.raises(EditError, match="no method"):
        preflight(model, PROMPT, "magic")
    with pytest.raises(EditError, match="Layer 99"):
        preflight(model, PROMPT, "forward-shift", layer=99)
    with pytest.raises(PromptError, match="empty"):
        preflight(model, "", "forward-shift")


def test_all_methods_are_compared_on_the_original_model():
    model = load_model("tiny-gpt2")
    weights = {n: p.clone() for n, p in model.network.named_parameters()}
    steps = []
    table, made = compare_methods(
        model,
        "Jack Dorsey founded",
        "IBM",
        subject="Jack Dorsey",
        paraphrases=["Jack Dorsey was one of those who started"],
        neighbours=["Biz Stone founded"],
        unrelated=["The capital of France is"],
        on_step=lambda done, total: steps.append((done, total)),
    )
    assert list(table["method"]) == list(METHODS) == list(made)
    assert list(dict.fromkeys(steps)) == [(i, len(METHODS)) for i in range(len(METHODS) + 1)]
    assert len(steps) > 2 * len(METHODS)  # within a method too, so that it can be cancelled there
    assert table["works"].all()
    assert (table["problem"] == "").all()
    assert table["kept"].between(0, 1).all()
    for name, weight in model.network.named_parameters():
        assert torch.equal(weight, weights[name])


def test_a_method_that_cannot_says_why_and_the_others_go_on():
    table, made = compare_methods(
        load_model("tiny-gpt2"), PROMPT, TARGET, methods=("forward-shift", "rome")
    )
    assert table["works"].tolist() == [True, False]
    assert "needs the subject" in table["problem"].iloc[1]
    assert list(made) == ["forward-shift"]
