"""The reconstruction error: small for every matrix, large for a factor that is wrong."""

import dataclasses
from types import MappingProxyType

import pytest
import torch

from core import PromptError, load_model, reconstruction_error, trace
from core.gradients.check import relative_difference
from core.gradients.trace import Factors
from tests.conftest import PROMPT, TARGET
from tests.core.edited_models import assert_untouched, random_edit, weights


def with_factors(run, matrix, **parts):
    factors = dict(run.factors)
    old = factors[matrix]
    factors[matrix] = Factors(parts.get("x", old.x), parts.get("delta", old.delta))
    return dataclasses.replace(run, factors=MappingProxyType(factors))


def test_the_factors_of_every_matrix_are_autograds_gradient(model):
    before = weights(model)
    run = trace(model, PROMPT, TARGET)
    errors = {
        (matrix, layer): reconstruction_error(run, matrix, layer)
        for matrix in model.matrices
        for layer in range(model.n_layers)
    }
    assert max(errors.values()) < 1e-5
    assert max(errors.values()) > 0  # two ways of adding up differ in the last digits
    assert_untouched(model, before)


def test_the_middle_layers_ff2_unless_another_is_asked_for(model):
    run = trace(model, PROMPT, TARGET)
    assert reconstruction_error(run) == reconstruction_error(run, "ff2", model.n_layers // 2)


@pytest.mark.parametrize("part", ["x", "delta"])
def test_a_broken_factor_gives_a_large_error(model, part):
    run = trace(model, PROMPT, TARGET)
    values = getattr(run.factors["ff2"], part).clone()
    layer = model.n_layers // 2
    values[layer, -1] *= 1.5
    broken = with_factors(run, "ff2", **{part: values})
    assert reconstruction_error(broken) > 0.05
    assert reconstruction_error(broken, "ff2", layer - 1) < 1e-5
    assert reconstruction_error(broken, "attn_in") < 1e-5


def test_with_edits_on_it_is_the_edited_model_that_is_checked(model):
    edit = random_edit(model, 3, layer=1)
    run = trace(model, PROMPT, TARGET, edits=[edit])
    assert reconstruction_error(run) < 1e-5
    assert reconstruction_error(run, "ff2", 1) < 1e-5  # the edited matrix itself
    forgotten = dataclasses.replace(run, edits=())
    assert reconstruction_error(forgotten) > 1e-3


def test_the_weights_are_put_back_though_the_pass_fails(model, monkeypatch):
    run, before = trace(model, PROMPT, TARGET), weights(model)

    def fail(_):
        raise ValueError("stop")

    with monkeypatch.context() as patch:
        patch.setattr(model, "read", fail)
        with pytest.raises(ValueError, match="stop"):
            reconstruction_error(run)
    assert_untouched(model, before)
    assert reconstruction_error(run) < 1e-5


def test_what_does_not_exist_gets_a_sentence(model):
    run = trace(model, PROMPT, TARGET)
    for matrix, layer in (("ff2", 4), ("ff2", -1), ("block", 1)):
        with pytest.raises(PromptError, match="layer from 0 to 3"):
            reconstruction_error(run, matrix, layer)
    with pytest.raises(PromptError, match="no matrix 'ff3'"):
        reconstruction_error(run, "ff3")


def test_the_difference_by_hand():
    expected = torch.tensor([[4.0, 0.0], [-2.0, 1.0]])
    got = torch.tensor([[4.0, 0.5], [-2.0, 1.0]])
    assert relative_difference(got, expected) == 0.125
    assert relative_difference(expected, expected) == 0
    zero = torch.zeros(2, 2)
    assert relative_difference(zero, zero) == 0
    assert relative_difference(got, zero) == float("inf")


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_weights_of_few_bits_are_checked_alike(dtype):
    run = trace(load_model("tiny-llama2", dtype=dtype, device="cpu"), PROMPT, TARGET)
    assert reconstruction_error(run) < 1e-5
