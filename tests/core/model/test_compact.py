"""Compact matrices: the results of a float32 model with the same rounded weights."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from core import (
    LanguageModel,
    answers,
    backward_lens,
    change_sizes,
    edit,
    export_model,
    fingerprint,
    forward_lens,
    gradient_neurons,
    imprint_and_shift,
    load_model,
    neuron_overlap,
    rank_curve,
    trace,
)
from core.model import compact
from core.model.compact import HalfMatrix, Int8Matrix, rounded
from core.model.weights import compacted
from tests.conftest import PROMPT, TARGET, random_model
from tests.core.edited_models import SETTINGS, SUBJECT, assert_untouched, logits_of, weights
from tests.core.mend_networks import ready

KINDS = ("int8", "bfloat16", "float16")


def twins(kind: str, architecture: str) -> tuple[LanguageModel, LanguageModel]:
    """A compact model, and an ordinary float32 one with the same rounded weights."""
    model = random_model(architecture)
    small = LanguageModel(compacted(copy.deepcopy(model.network), kind), model.tokenizer)
    same = copy.deepcopy(model.network)
    for name, module in same.named_modules():
        for part, old in module.named_parameters(recurse=False):
            value = getattr(small.network.get_submodule(name), part)
            old.data.copy_(value.float())
    return small, LanguageModel(same, model.tokenizer)


@pytest.fixture(params=[(k, a) for k in KINDS for a in ("gpt2", "llama")], ids="-".join)
def pair(request):
    return twins(*request.param)


def close(got, expected):
    scale = float(expected.abs().max())
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * scale + 1e-12)


def test_rounding_moves_a_value_by_at_most_half_its_rows_scale():
    torch.manual_seed(0)
    matrix = torch.randn(700, 1030) * torch.logspace(-6, 3, 700)[:, None]
    matrix[3] = 0
    codes, scale = rounded(matrix)
    assert codes.dtype == torch.int8
    assert scale.shape == (700,)
    assert int(codes.min()) == -127 or int(codes.max()) == 127
    error = (codes.double() * scale.double()[:, None] - matrix.double()).abs()
    assert (error <= scale.double()[:, None] / 2 * (1 + 1e-5)).all()
    assert (codes[3] == 0).all()


def test_rounding_by_hand():
    codes, scale = rounded(torch.tensor([[127.0, -63.6, 0.4], [0.0, 2.54, -1.27]]))
    assert codes.tolist() == [[127, -64, 0], [0, 127, -64]] or codes.tolist() == [
        [127, -64, 0],
        [0, 127, -63],
    ]
    torch.testing.assert_close(scale, torch.tensor([1.0, 0.02]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layer", [nn.Linear(70, 90), Conv1D(90, 70)], ids=["linear", "conv1d"])
def test_products_and_gradients_over_several_blocks(monkeypatch, kind, layer):
    monkeypatch.setattr(compact, "BLOCK_BYTES", 1)  # 16 rows, the least
    in_out = isinstance(layer, Conv1D)
    module = compact.compact_matrix(
        layer.weight.detach(), kind, in_out=in_out, bias=layer.bias.detach()
    )
    weight = module.weight.float() if in_out else module.weight.float().mT
    x = torch.randn(2, 5, 70, requires_grad=True)
    out = module(x)
    expected = x.double() @ weight.double() + module.bias.double()
    torch.testing.assert_close(out, expected.float(), rtol=1e-5, atol=1e-5)
    pull = torch.randn_like(out)
    (gradient,) = torch.autograd.grad(out, x, pull)
    torch.testing.assert_close(gradient, pull @ weight.mT, rtol=1e-5, atol=1e-5)


def test_a_whole_trace_equals_that_of_the_rounded_float32_model(pair):
    small, same = pair
    got, expected = (trace(m, PROMPT, TARGET, subject=SUBJECT) for m in (small, same))
    assert got.loss == pytest.approx(expected.loss, rel=1e-5)
    close(got.logits, expected.logits)
    for name, factors in expected.factors.items():
        assert got.factors[name].x.dtype == torch.float32
        close(got.factors[name].x, factors.x)
        close(got.factors[name].delta, factors.delta)
    ranks = [backward_lens(run)["target_rank"].to_numpy() for run in (got, expected)]
    assert np.nanmax(abs(ranks[0] - ranks[1])) <= 2
    ranks = [forward_lens(m, PROMPT, TARGET)["target_rank"].to_numpy() for m in (small, same)]
    assert np.nanmax(abs(ranks[0] - ranks[1])) <= 2


def test_all_of_core_works_on_it(pair, tmp_path):
    small, same = pair
    before = weights(small)
    run = trace(small, PROMPT, TARGET)
    assert len(rank_curve(small, PROMPT, TARGET)) == len(rank_curve(same, PROMPT, TARGET))
    assert imprint_and_shift(run, 1).error < 1e-3
    assert len(gradient_neurons(run, 1)) > 0
    assert neuron_overlap(run, 1, tokens=5)["overlap"].abs().max() > 0
    assert small.d_mlp == same.d_mlp
    new = edit(small, PROMPT, TARGET, method="forward-shift", eta=0.3)
    size = change_sizes(small, new)["weight_norm"].iloc[0]
    assert size == pytest.approx(change_sizes(same, new_for(same, new))["weight_norm"].iloc[0])
    assert_untouched(small, before)
    export_model(small, [new], tmp_path)
    exported = load_model(str(tmp_path), device="cpu", dtype="float32")
    ids = small.encode(PROMPT)
    expected = trace(small, PROMPT, TARGET, edits=[new]).logits
    gap = (logits_of(exported.network, ids)[-1] - expected).abs().max()
    assert gap < 0.05 * expected.abs().max()  # what an edit changes is rounded again


def new_for(model: LanguageModel, new):
    """The same edit, made on the other model."""
    return edit(model, PROMPT, TARGET, method=new.method, eta=0.3)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("method", SETTINGS)
def test_edits_on_8_bit_weights(architecture, method, monkeypatch):
    monkeypatch.setattr("core.editing.second_moments.WIDTHS_OF_OWN_TEXT", 1)
    small, same = twins("int8", architecture)
    before = weights(small)
    for m in (small, same):
        ready(m, method)
    made = [
        edit(m, PROMPT, TARGET, method=method, subject=SUBJECT, **SETTINGS[method])
        for m in (small, same)
    ]
    got, expected = (
        answers(m, PROMPT, edits=[new], top_k=1)["logit"].iloc[0]
        for m, new in zip((small, same), made, strict=True)
    )
    untouched = answers(small, PROMPT, top_k=1)["logit"].iloc[0]
    assert got != pytest.approx(untouched, abs=1e-6)
    assert got == pytest.approx(expected, rel=2e-2)
    assert_untouched(small, before)


def test_the_fingerprint_is_the_same_in_every_precision():
    model = random_model("gpt2")
    for kind in ("int8", "bfloat16"):
        small = LanguageModel(compacted(copy.deepcopy(model.network), kind), model.tokenizer)
        assert fingerprint(small) == fingerprint(model)
    other = random_model("gpt2", seed=1)
    small = LanguageModel(compacted(other.network, "int8"), other.tokenizer)
    assert fingerprint(small) != fingerprint(model)


def test_tied_weights_stay_one_tensor():
    network = compacted(random_model("gpt2").network, "bfloat16")
    assert network.lm_head.weight is network.transformer.wte.weight
    assert isinstance(network.transformer.h[0].attn.c_attn, HalfMatrix)
    network = compacted(random_model("llama").network, "int8")
    assert isinstance(network.model.layers[0].mlp.down_proj, Int8Matrix)
    assert network.lm_head.weight.dtype == torch.bfloat16
    assert network.model.norm.weight.dtype == torch.float32
