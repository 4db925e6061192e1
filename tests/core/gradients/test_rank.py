"""Gradient ranks from factors against torch.linalg.matrix_rank of the gradient itself."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core import gradient_rank, rank_curve, trace
from core.gradients.rank import factor_rank, prefix_batches
from tests.conftest import PROMPT, TARGET, random_model

LONG = "The capital of France is Paris and its official language is French. Obama grew up in"


def test_rank_equals_matrix_rank_of_the_materialised_gradient(model):
    for prompt in (PROMPT, LONG):
        run = trace(model, prompt, TARGET)
        for row in gradient_rank(run).itertuples():
            factors = run.factors[row.matrix]
            gradient = factors.x[row.layer].T @ factors.delta[row.layer]
            assert row.rank == torch.linalg.matrix_rank(gradient), row
            assert row.rank <= row.prompt_length == len(run.ids)


def test_rank_is_the_prompt_length_but_in_the_last_layer(model):
    table = gradient_rank(trace(model, PROMPT, TARGET))
    assert list(table.columns) == ["layer", "matrix", "rank", "prompt_length"]
    last = table["layer"] == table["layer"].max()
    assert (table.loc[last, "rank"] == 1).all()
    assert (table.loc[~last, "rank"] == table.loc[~last, "prompt_length"]).all()


def test_gate_is_there_for_llama_only():
    assert "gate" in set(gradient_rank(trace(random_model("llama"), PROMPT, TARGET))["matrix"])
    assert "gate" not in set(gradient_rank(trace(random_model("gpt2"), PROMPT, TARGET))["matrix"])


@pytest.mark.parametrize(
    ("x", "delta", "rank"),
    [
        ([[1, 0, 0], [0, 1, 0]], [[1, 0], [0, 1]], 2),
        ([[1, 0, 0], [2, 0, 0]], [[1, 0], [0, 1]], 1),  # the inputs are parallel
        ([[1, 0, 0], [0, 1, 0]], [[1, 1], [-2, -2]], 1),  # the VJPs are parallel
        ([[1, 0, 0], [0, 1, 0]], [[0, 0], [0, 3]], 1),  # one token has no VJP
        ([[1, 0, 0], [0, 1, 0]], [[0, 0], [0, 0]], 0),
    ],
)
def test_rank_of_hand_made_factors(x, delta, rank):
    assert factor_rank(torch.tensor(x).float(), torch.tensor(delta).float()) == rank


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 2**16), st.integers(-6, 6))
def test_rank_of_random_products(n, rank, seed, exponent):
    """Also with more tokens than dimensions, and whatever the gradient's scale."""
    generator = torch.Generator().manual_seed(seed)
    rank = min(rank, n)
    x = torch.randn(n, 8, generator=generator)
    mixing = torch.randn(n, rank, generator=generator)
    delta = mixing @ torch.randn(rank, 10, generator=generator) * 10.0**exponent
    expected = torch.linalg.matrix_rank(x.double().T @ delta.double(), rtol=1e-5)
    assert factor_rank(x, delta) == expected


def test_rank_curve_is_gradient_rank_of_every_prefix(model):
    curve = rank_curve(model, PROMPT, TARGET)
    assert list(curve.columns) == ["prompt_length", "layer", "matrix", "rank"]
    ids = model.encode(PROMPT)
    assert sorted(set(curve["prompt_length"])) == list(range(1, len(ids) + 1))
    offset = len(ids) - len(PROMPT.split())  # BOS
    for words in range(1, len(PROMPT.split()) + 1):
        prefix = " ".join(PROMPT.split()[:words])
        expected = gradient_rank(trace(model, prefix, TARGET)).set_index(["layer", "matrix"])
        got = curve[curve["prompt_length"] == words + offset].set_index(["layer", "matrix"])
        assert got["rank"].sort_index().equals(expected["rank"].sort_index())


def test_rank_curve_does_not_depend_on_its_batches(model, monkeypatch):
    whole = rank_curve(model, LONG, TARGET)
    monkeypatch.setattr("core.gradients.rank.BATCH_BYTES", 1)
    assert len(prefix_batches(model, 10)) > 3
    assert rank_curve(model, LONG, TARGET).equals(whole)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.integers(1, 2**30))
def test_batches_cover_every_prefix_once(n, budget):
    model = random_model("gpt2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.gradients.rank.BATCH_BYTES", budget)
        batches = prefix_batches(model, n)
    covered = [k for first, last in batches for k in range(first, last + 1)]
    assert covered == list(range(1, n + 1))
