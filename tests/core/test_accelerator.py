"""On a graphics card every number is the processor's, but for rounding.

Where there is no card, the same network with its weights moved by a rounding error stands in for
it: what is asked here must not hang on the last digits.
"""

from __future__ import annotations

import copy

import pandas as pd
import pytest
import torch

from core import (
    METHODS,
    LanguageModel,
    answers,
    backward_lens,
    complete,
    edit,
    edit_strength,
    forward_lens,
    gradient_neurons,
    gradient_rank,
    imprint_and_shift,
    layer_similarity,
    load_counterfact,
    load_model,
    neuron_overlap,
    rank_curve,
    reconstruction_error,
    side_effects,
    study,
    trace,
)
from core.studies.counterfact import MINI_COUNTERFACT
from tests.core.edited_models import OTHER_PROMPT, PROMPT, SETTINGS, SUBJECT, TARGET
from tests.core.mend_networks import ready

needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
ROUNDING = 2e-7
LEAST_SCALE = 1e-3  # smaller columns, a KL of 1e-5 for one, are compared with this


@pytest.fixture(params=["rounding", pytest.param("cuda", marks=needs_card)])
def twin(model, request) -> LanguageModel:
    """The same network on the graphics card, or with its weights a rounding error away."""
    network = copy.deepcopy(model.network)
    if request.param == "cuda":
        network.to("cuda")
    else:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(1 + ROUNDING * torch.randn(weight.shape, generator=generator))
    return LanguageModel(network, model.tokenizer, model.name)


def assert_alike(here: pd.DataFrame, there: pd.DataFrame) -> None:
    """Numbers to 1e-3 of the largest of their column, words the same, places in the vocabulary
    nearly so."""
    assert list(here.columns) == list(there.columns)
    for name in here.columns.difference(["seconds"]):
        a, b = here[name], there[name]
        if pd.api.types.is_float_dtype(a):
            scale = max(LEAST_SCALE, float(a.abs().max()))
            torch.testing.assert_close(
                torch.tensor(b.to_numpy(float)) / scale,
                torch.tensor(a.to_numpy(float)) / scale,
                rtol=0,
                atol=1e-3,
                equal_nan=True,
                msg=lambda text, column=name: f"{column}: {text}",
            )
        elif name in ("target_rank", "answer_rank"):
            assert (a.isna() == b.isna()).all(), name
            assert ((a - b).abs().dropna() <= 0.01 * a.max()).all(), name
        elif "top_probabilities" not in name:
            same = [str(x) == str(y) for x, y in zip(a, b, strict=True)]
            assert sum(same) > 0.97 * len(same), name


def test_trace_and_reconstruction(model, twin):
    here, there = trace(model, PROMPT, TARGET), trace(twin, PROMPT, TARGET)
    assert there.factors["ff2"].delta.device == twin.device
    for name, factors in here.factors.items():
        for part in ("x", "delta"):
            mine, theirs = getattr(factors, part), getattr(there.factors[name], part).cpu()
            assert (mine - theirs).abs().max() <= 1e-4 * mine.abs().max()
    for matrix in ("ff1", "ff2", "attn_in", "attn_out"):
        assert reconstruction_error(there, matrix) < 1e-4


def test_tables(model, twin):
    here, there = trace(model, PROMPT, TARGET), trace(twin, PROMPT, TARGET)
    assert_alike(gradient_rank(here), gradient_rank(there))
    assert_alike(rank_curve(model, PROMPT, TARGET), rank_curve(twin, PROMPT, TARGET))
    assert_alike(forward_lens(model, PROMPT, TARGET), forward_lens(twin, PROMPT, TARGET))
    for matrix in ("ff1", "ff2"):
        assert_alike(backward_lens(here, matrix), backward_lens(there, matrix))
    assert_alike(layer_similarity(here), layer_similarity(there))
    assert_alike(gradient_neurons(here, 2), gradient_neurons(there, 2))
    assert_alike(neuron_overlap(here, 2), neuron_overlap(there, 2))
    assert_alike(imprint_and_shift(here, 1).table, imprint_and_shift(there, 1).table)


def test_studies(model, twin):
    records = list(load_counterfact(MINI_COUNTERFACT))[:6]
    here, there = study(model, records), study(twin, records)
    assert_alike(here.gradient_ranks, there.gradient_ranks)
    assert_alike(here.norms, there.norms)


@pytest.mark.parametrize("method", SETTINGS)
def test_edits(model, twin, method):
    for m in (model, twin):
        ready(m, method)
    subject = SUBJECT if METHODS[method].needs_subject else None
    asked = {"method": method, "subject": subject, **SETTINGS[method]}
    mine, theirs = [edit(model, PROMPT, TARGET, **asked)], [edit(twin, PROMPT, TARGET, **asked)]
    assert_alike(answers(model, PROMPT, edits=mine), answers(twin, PROMPT, edits=mine))
    for a, b in zip(mine[0].changes, theirs[0].changes, strict=True):
        largest = a.weight_change.abs().max()
        assert (a.weight_change - b.weight_change).abs().max() < 0.02 * largest
    say = {"edits": mine, "max_new_tokens": 3}
    assert complete(model, OTHER_PROMPT, **say) == complete(twin, OTHER_PROMPT, **say)
    ask = {"paraphrases": [OTHER_PROMPT], "target": TARGET, "old_answer": "Rome"}
    assert_alike(side_effects(model, mine, **ask), side_effects(twin, mine, **ask))


def test_strengths(model, twin):
    here, there = (edit_strength(m, PROMPT, TARGET, layers=[2]) for m in (model, twin))
    assert (here["works"] == there["works"]).all()
    both = here["works"]
    assert (here["rate"][both] / there["rate"][both] - 1).abs().max() < 0.05


@needs_card
@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_precisions(kind):
    here, there = (load_model("tiny-llama2", dtype=kind, device=d) for d in ("cpu", "cuda"))
    assert there.device.type == "cuda"
    a, b = (trace(m, PROMPT, TARGET) for m in (here, there))
    tolerance = 0.05 if kind == "bfloat16" else 1e-3  # activations have 16 bits on the card, too
    for name, factors in a.factors.items():
        theirs = b.factors[name].delta.float().cpu()
        assert (factors.delta - theirs).abs().max() <= tolerance * factors.delta.abs().max()
    assert reconstruction_error(b) < 0.02
    change = edit(there, PROMPT, TARGET, method="forward-shift")
    assert answers(there, PROMPT, edits=[change])["token"][0] == f" {TARGET}"
