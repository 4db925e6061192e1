"""Neurons of a gradient against the dense gradient X^T Delta, and overlaps by brute force."""

import dataclasses
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
import torch

from core import PromptError, gradient_neurons, gradient_span, neuron_overlap, trace
from core.gradients.neurons import Span, spanning_set
from core.gradients.trace import Factors
from core.model.projection import project
from tests.conftest import PROMPT, TARGET

LAYER = 1


def matrices_of(model) -> list[str]:
    return [m for m in ("ff1", "gate", "ff2") if m in model.matrices]


def dense_neurons(run, matrix: str, layer: int = LAYER) -> torch.Tensor:
    """All neurons of the whole gradient, (unit, d_model) in float64."""
    x, delta = (t[layer].double() for t in dataclasses.astuple(run.factors[matrix]))
    gradient = x.T @ delta  # (d_in, d_out)
    return gradient if matrix == "ff2" else gradient.T


def spans(run, matrix: str, layer: int = LAYER) -> torch.Tensor:
    factors = run.factors[matrix]
    return (factors.delta if matrix == "ff2" else factors.x)[layer]


def test_span_norms_and_neurons_are_those_of_the_dense_gradient(model):
    run = trace(model, PROMPT, TARGET)
    for matrix in matrices_of(model):
        for layer in range(model.n_layers):
            span, dense = spanning_set(run, layer, matrix), dense_neurons(run, matrix, layer)
            norms = dense.norm(dim=-1)
            assert len(norms) == model.d_mlp
            # The smallest neuron may be the difference of large parts: errors are relative to these
            parts = span.coefficients.abs().T.double() @ span.vectors.norm(dim=-1).double()
            assert ((span.norms - norms).abs() <= 1e-5 * norms + 1e-9 * parts).all()
            units = torch.tensor([0, 5, model.d_mlp - 1])
            gap = (span.neurons(units).double() - dense[units]).norm(dim=-1)
            assert (gap <= 1e-5 * parts[units]).all()


def test_norms_of_a_neuron_that_nearly_cancels():
    """1 * (1, 0) - 1 * (1, 1e-6): the Gram matrix alone would give 0."""
    span = Span(torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1e-6]]))
    assert span.norms.item() == pytest.approx(1e-6, rel=1e-5)


def test_groups_by_norm(model):
    run = trace(model, PROMPT, TARGET)
    for matrix in matrices_of(model):
        table = gradient_neurons(run, LAYER, matrix, group_size=3, top_k=4)
        groups = ["largest"] * 3 + ["median"] * 3 + ["smallest"] * 3 + ["zero vector"]
        assert table["group"].tolist() == groups
        width = model.d_mlp
        middle = (width - 3) // 2
        wanted = [0, 1, 2, *range(middle, middle + 3), width - 3, width - 2, width - 1]
        assert table["order"].tolist()[:-1] == wanted
        dense = dense_neurons(run, matrix)
        norms = dense.norm(dim=-1)
        expected = norms.sort(descending=True).values[wanted].tolist()
        assert table["norm"].tolist()[:-1] == pytest.approx(expected, rel=1e-5)
        for row in table[:-1].itertuples():
            assert row.norm == pytest.approx(norms[row.neuron].item(), rel=1e-5)
            vector = dense[row.neuron].float()[None]
            seen = project(model, vector, top_k=4, bottoms=True)
            for tokens, ids in (
                (row.top_tokens, seen.top_ids),
                (row.bottom_tokens, seen.bottom_ids),
            ):
                assert set(tokens) & {model.token_text(i) for i in ids[0].tolist()[:3]}
                assert tokens[0] == model.token_text(ids[0, 0].item())


def test_the_zero_vector_says_what_the_norms_bias_says(model):
    table = gradient_neurons(trace(model, PROMPT, TARGET), LAYER, top_k=6)
    row = table.iloc[-1]
    assert row["group"] == "zero vector"
    assert row["norm"] == 0
    assert pd.isna(row["order"])
    assert pd.isna(row["neuron"])
    if not model.final_norm_has_bias:  # a tie of all tokens has no words
        assert row["top_tokens"] == row["bottom_tokens"] == []
        return
    seen = project(model, torch.zeros(1, model.d_model), top_k=6, bottoms=True)
    assert row["top_tokens"] == [model.token_text(i) for i in seen.top_ids[0].tolist()]
    assert row["bottom_tokens"] == [model.token_text(i) for i in seen.bottom_ids[0].tolist()]


def test_chosen_units_come_in_their_order(model):
    run = trace(model, PROMPT, TARGET)
    whole = gradient_neurons(run, LAYER, group_size=5)
    units = (*(int(u) for u in whole["neuron"][:2][::-1]), 7)
    table = gradient_neurons(run, LAYER, units=units)
    assert table["neuron"].tolist() == list(units)
    assert table["order"].tolist()[:2] == [1, 0]
    assert set(table["group"]) == {"chosen"}
    assert table["top_tokens"][1] == whole["top_tokens"][0]
    assert table["norm"][1] == whole["norm"][0]


def test_more_neurons_than_there_are(model):
    table = gradient_neurons(trace(model, PROMPT, TARGET), LAYER, group_size=10_000, top_k=1)
    assert len(table) == 3 * model.d_mlp + 1
    assert sorted(table["neuron"][: model.d_mlp]) == list(range(model.d_mlp))


def test_a_normalised_neuron_is_read_at_length_one(model):
    run = trace(model, PROMPT, TARGET)
    table = gradient_neurons(run, LAYER, units=(3,), normalize=True, top_k=3)
    vector = dense_neurons(run, "ff2")[3]
    seen = project(model, (vector / vector.norm()).float()[None], top_k=3)
    assert table["top_tokens"][0] == [model.token_text(i) for i in seen.top_ids[0].tolist()]


def brute_overlap(run, matrix: str, neurons: torch.Tensor, k: int) -> np.ndarray:
    """(neuron, token): every vector projected on its own, sets intersected, the sign rule."""

    def tops(vectors):
        return [set(row) for row in project(run.model, vectors.float(), top_k=k).top_ids.tolist()]

    vectors = spans(run, matrix)
    straight, flipped, own = tops(vectors), tops(-vectors), tops(neurons)
    result = np.zeros((len(own), len(vectors)), dtype=int)
    for i, mine in enumerate(own):
        for j in range(len(vectors)):
            up, down = len(mine & straight[j]), len(mine & flipped[j])
            result[i, j] = -down if down > up else up
            if not vectors[j].any() or not neurons[i].any():
                result[i, j] = 0
    return result


@pytest.mark.parametrize("layer", [1, -1])
@pytest.mark.parametrize("k", [100, 7])
def test_overlap_and_cosine_against_brute_force(model, layer, k):
    run = trace(model, PROMPT, TARGET)
    layer %= model.n_layers
    n = run.prompt_length
    for matrix in matrices_of(model):
        table = neuron_overlap(run, layer, matrix, tokens=k)
        dense = dense_neurons(run, matrix, layer)
        norms = dense.norm(dim=-1)
        assert table["order"].tolist() == [i for i in range(model.d_mlp) for _ in range(n)]
        assert table["position"].tolist() == list(range(n)) * model.d_mlp
        assert table["token"].tolist() == list(run.tokens) * model.d_mlp
        order = table["neuron"].to_numpy()[::n].copy()
        assert sorted(order) == list(range(model.d_mlp))
        assert np.all(np.diff(table["norm"].to_numpy()[::n]) <= 0)
        got = table["norm"].to_numpy()[::n]
        np.testing.assert_allclose(got, norms[order].numpy(), rtol=1e-5, atol=1e-9 * got[0])

        vectors = spans(run, matrix, layer).double()
        lengths = vectors.norm(dim=-1)
        cosine = (dense[order] @ vectors.T) / (norms[order, None] * lengths)
        got = table["cosine"].to_numpy().reshape(-1, n)
        np.testing.assert_allclose(got, cosine.numpy(), atol=1e-5)

        if layer == model.n_layers - 1 and matrix == "ff2":
            silent = table["position"] < n - 1
            assert (table.loc[silent, "overlap"] == 0).all()
            assert table.loc[silent, "cosine"].isna().all()


@pytest.mark.parametrize("k", [100, 7])
def test_overlap_against_brute_force(model, k):
    run = trace(model, PROMPT, TARGET)
    for matrix in matrices_of(model):
        table = neuron_overlap(run, LAYER, matrix, tokens=k)
        n = run.prompt_length
        order = table["neuron"].to_numpy()[::n].copy()
        expected = brute_overlap(run, matrix, dense_neurons(run, matrix)[order], k)
        got = table["overlap"].to_numpy().reshape(-1, n)
        gap = np.abs(np.abs(got) - np.abs(expected))
        assert gap.max() <= 1
        assert (gap > 0).mean() < 0.02
        assert (got != expected).mean() < 0.03  # a tie of both signs may fall either way
        assert (got < 0).any()
        assert (got > 0).any()


def test_overlap_by_hand(model):
    """One token: every FF2 neuron is x[k] delta, the spanning vector or its flip."""
    run = trace(model, PROMPT, TARGET)
    delta = torch.randn(1, 1, model.d_model, generator=torch.Generator().manual_seed(1))
    x = torch.tensor([[[2.0, -3.0, 0.0, 1.0]]])
    factors = MappingProxyType({"ff2": Factors(x, delta)})
    run = dataclasses.replace(run, factors=factors, tokens=("one",), ids=(5,))
    table = neuron_overlap(run, 0, tokens=10)
    assert table["neuron"].tolist() == [1, 0, 3, 2]
    length = delta.norm().item()
    assert table["norm"].tolist() == pytest.approx([3 * length, 2 * length, length, 0])
    assert table["overlap"].tolist() == [-10, 10, 10, 0]
    assert table["cosine"].tolist() == pytest.approx([-1, 1, 1, float("nan")], nan_ok=True)


def test_overlap_does_not_depend_on_the_chunks(model, monkeypatch):
    run = trace(model, PROMPT, TARGET)
    whole = neuron_overlap(run, LAYER)
    monkeypatch.setattr("core.gradients.neurons.LOGIT_BYTES", 4 * model.vocabulary_size * 10)
    apart = neuron_overlap(run, LAYER)
    assert (apart["overlap"] != whole["overlap"]).mean() < 0.02
    pd.testing.assert_frame_equal(apart.drop(columns="overlap"), whole.drop(columns="overlap"))


def test_a_gradient_as_a_sum_of_outer_products(model):
    run = trace(model, PROMPT, TARGET)
    for matrix in matrices_of(model):
        table = gradient_span(run, LAYER, matrix, neurons=3, top_k=2)
        n = run.prompt_length
        assert table["order"].tolist() == [i for i in range(3) for _ in range(n)]
        assert table["token"].tolist() == list(run.tokens) * 3
        dense, vectors = dense_neurons(run, matrix), spans(run, matrix)
        largest = dense.norm(dim=-1).argsort(descending=True)[:3].tolist()
        assert table["neuron"].tolist()[::n] == largest
        seen = project(model, vectors, top_k=2, bottoms=True)
        said = seen.bottom_ids if matrix == "ff2" else seen.top_ids
        for _, part in table.groupby("order"):
            coefficients = torch.tensor(part["coefficient"].to_numpy())
            neuron = coefficients @ vectors
            expected = dense[part["neuron"].iloc[0]].float()
            assert (neuron - expected).norm() <= 1e-5 * expected.norm()
            texts = [[model.token_text(i) for i in ids] for ids in said.tolist()]
            assert part["tokens"].tolist() == texts


def test_silent_spanning_vectors_say_nothing(model):
    run = trace(model, PROMPT, TARGET)
    table = gradient_span(run, model.n_layers - 1, "ff2", neurons=1)
    *silent, last = table["tokens"]
    assert all(tokens == [] for tokens in silent)
    assert len(last) == 5


@pytest.mark.parametrize("make", [gradient_neurons, gradient_span, neuron_overlap])
def test_bad_requests_get_a_sentence(model, make):
    run = trace(model, PROMPT, TARGET)
    with pytest.raises(PromptError, match="Choose one of: ff1.*ff2"):
        make(run, 0, "attn_in")
    for layer in (-1, 4):
        with pytest.raises(PromptError, match=f"no layer {layer}"):
            make(run, layer)
    if "gate" not in model.matrices:
        with pytest.raises(PromptError, match="no matrix 'gate'"):
            make(run, 0, "gate")


def test_bad_units_and_sizes_get_a_sentence(model):
    run = trace(model, PROMPT, TARGET)
    for unit in (-1, model.d_mlp):
        with pytest.raises(PromptError, match=f"no neuron {unit}"):
            gradient_neurons(run, 0, units=(0, unit))
    with pytest.raises(PromptError, match="group_size is 0"):
        gradient_neurons(run, 0, group_size=0)
    with pytest.raises(PromptError, match="top_k is 0"):
        gradient_neurons(run, 0, top_k=0)
    with pytest.raises(PromptError, match="top_k is 5000"):
        neuron_overlap(run, 0, tokens=5000)


def test_notes_say_which_token_counts(model):
    run = trace(model, PROMPT, "Paris and Rome")
    for table in (gradient_neurons(run, 0), gradient_span(run, 0), neuron_overlap(run, 0)):
        assert "first one, ' Paris'" in table.attrs["note"]
