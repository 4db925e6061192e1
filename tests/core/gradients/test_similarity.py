"""Cosines between layers, by hand and on a real trace."""

import dataclasses
from types import MappingProxyType

import pytest
import torch

from core import PromptError, layer_similarity, trace
from core.gradients.similarity import check_layer, cosine_matrix
from core.gradients.trace import Factors
from tests.conftest import PROMPT, TARGET


def with_delta(model, delta: torch.Tensor):
    """A trace whose FF2 has hand-made VJPs, (layer, token, 2)."""
    run = trace(model, PROMPT, TARGET)
    n = run.prompt_length
    padded = torch.cat([torch.zeros(len(delta), n - delta.shape[1], 2), delta], 1)
    factors = MappingProxyType({"ff2": Factors(padded, padded)})
    return dataclasses.replace(run, factors=factors)


def grid(table) -> torch.Tensor:
    layers = table["layer"].max() + 1
    assert table["layer"].tolist() == [i for i in range(layers) for _ in range(layers)]
    assert table["other_layer"].tolist() == list(range(layers)) * layers
    return torch.tensor(table["cosine"].to_numpy()).reshape(layers, layers)


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e30])
def test_cosines_by_hand(model, scale):
    """(1, 0), (1, 1), (0, -2) at the last token; the token before is another matter."""
    last = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, -2.0]]) * scale
    before = torch.tensor([[1.0, 0.0], [-3.0, 0.0], [0.0, 5.0]]) * scale
    run = with_delta(model, torch.stack([before, last], 1))
    half = 0.5**0.5
    expected = torch.tensor([[1, half, 0], [half, 1, -half], [0, -half, 1]])
    got = grid(layer_similarity(run)).float()
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)
    expected = torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 1]])
    got = grid(layer_similarity(run, position=run.prompt_length - 2)).float()
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


def test_layers_of_different_scale_and_zero_vectors(model):
    delta = torch.tensor([[[3e-30, 4e-30]], [[3e20, 4e20]], [[0.0, 0.0]]])
    cosines = grid(layer_similarity(with_delta(model, delta)))
    assert cosines[:2, :2].flatten().tolist() == pytest.approx([1, 1, 1, 1], abs=1e-6)
    assert cosines[2].isnan().all()
    assert cosines[:, 2].isnan().all()


@pytest.mark.parametrize("matrix", ["ff1", "ff2", "attn_in", "block"])
def test_cosines_of_a_trace(model, matrix):
    run = trace(model, PROMPT, TARGET)
    cosines = grid(layer_similarity(run, matrix))
    assert len(cosines) == model.n_layers
    torch.testing.assert_close(cosines, cosines.T)
    torch.testing.assert_close(cosines.diagonal(), torch.ones(model.n_layers).double())
    delta = run.factors[matrix].delta[:, -1].double()
    expected = torch.nn.functional.cosine_similarity(delta[0], delta[2], dim=0)
    assert cosines[0, 2].item() == pytest.approx(expected.item(), abs=1e-5)
    assert (cosines.abs() <= 1).all()


def test_the_last_token_is_the_default(model):
    run = trace(model, PROMPT, TARGET)
    last = run.prompt_length - 1
    assert layer_similarity(run).equals(layer_similarity(run, "ff2", position=last))
    assert not layer_similarity(run).equals(layer_similarity(run, position=0))


def test_before_the_last_token_the_last_layer_has_no_cosine(model):
    cosines = grid(layer_similarity(trace(model, PROMPT, TARGET), position=0))
    assert cosines[-1].isnan().all()
    assert not cosines[:-1, :-1].isnan().any()


def test_bad_requests_get_a_sentence(model):
    run = trace(model, PROMPT, TARGET)
    last = run.prompt_length - 1
    for position in (-1, last + 1):
        with pytest.raises(PromptError, match=f"position {position}. Choose one from 0 to {last}"):
            layer_similarity(run, position=position)
    with pytest.raises(PromptError, match="no matrix 'ff3'"):
        layer_similarity(run, "ff3")
    for layer in (-1, model.n_layers):
        with pytest.raises(PromptError, match=f"no layer {layer}. Choose one from 0 to 3"):
            check_layer(run, layer)


def test_a_stack_of_cosine_matrices():
    vectors = torch.randn(3, 4, 5)
    together = cosine_matrix(vectors)
    for one, alone in zip(together, vectors, strict=True):
        torch.testing.assert_close(one, cosine_matrix(alone))
