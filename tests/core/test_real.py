"""On a pretrained network: what must hold for every model holds there, too."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from core import (
    answers,
    backward_lens,
    edit,
    fingerprint,
    forward_lens,
    gradient_rank,
    load_model,
    reconstruction_error,
    trace,
)
from core.model.catalog import local_folder
from tests.conftest import REAL

pytestmark = pytest.mark.real
PROMPT, TARGET = "The capital of France is", "Rome"


@pytest.fixture(scope="module")
def run(real_model):
    return trace(real_model, PROMPT, TARGET)


@pytest.mark.parametrize("matrix", ["ff1", "gate", "ff2", "attn_in", "attn_out"])
@pytest.mark.parametrize("layer", [0, 15, 29])
def test_the_factors_are_autograds_gradient(run, matrix, layer):
    if layer < 29:
        assert reconstruction_error(run, matrix, layer) < 1e-4
    else:  # the last layer's gradient is that of the last token alone
        assert reconstruction_error(run, matrix, layer) < 1e-5


def test_the_forward_lens_ends_with_the_models_own_answer(real_model, run):
    table = forward_lens(real_model, PROMPT, TARGET)
    last = table[(table["layer"] == 29) & (table["position"] == run.prompt_length - 1)].iloc[0]
    own = real_model.network(torch.tensor([run.ids])).logits[0, -1].softmax(-1)
    assert last["top_tokens"][0] == run.answer == " Paris"
    assert last["top_probabilities"][0] == pytest.approx(float(own.max()), abs=1e-5)
    assert last["target_probability"] == pytest.approx(float(own[run.target.id]), abs=1e-6)


def test_the_last_vjp_puts_the_target_last(run):
    """Equation 12: it is the target's embedding, less the mean one, through the final norm."""
    table = backward_lens(run, "ff2")
    last = table[(table["layer"] == 29) & (table["position"] == run.prompt_length - 1)].iloc[0]
    assert last["bottom_tokens"][0] == " Rome"
    assert last["target_rank"] == run.model.vocabulary_size - 1


def test_ranks_are_at_most_the_prompts_length(run):
    table = gradient_rank(run)
    ranks = table.pivot_table(index="layer", columns="matrix", values="rank")
    assert (ranks.loc[29] == 1).all()
    assert (ranks <= run.prompt_length).all(axis=None)
    assert (ranks.loc[:28, "ff2"] == run.prompt_length).mean() > 0.9


def test_a_forward_shift_makes_the_target_the_answer_and_leaves_no_trace(real_model, run):
    before, name = answers(real_model, PROMPT), fingerprint(real_model)
    change = edit(real_model, PROMPT, TARGET, method="forward-shift")
    assert answers(real_model, PROMPT, edits=[change])["token"][0] == " Rome"
    pd.testing.assert_frame_equal(answers(real_model, PROMPT), before)
    assert fingerprint(real_model) == name


@pytest.mark.parametrize(("kind", "agree", "error"), [("bfloat16", 0.8, 0.1), ("int8", 0.75, 0.15)])
def test_fewer_bits_say_nearly_the_same(run, kind, agree, error):
    """Bounds are about twice what data/precision/ reports as typical."""
    other = trace(load_model(str(local_folder(REAL)), dtype=kind, device="cpu"), PROMPT, TARGET)
    assert other.answer == run.answer
    mine, theirs = (r.factors["ff2"].delta.norm(dim=-1)[:, 1:] for r in (run, other))
    assert ((mine - theirs).abs() / mine.clamp_min(1e-9)).median() < error
    mine, theirs = (backward_lens(r, "ff2") for r in (run, other))
    same = [
        a[:1] == b[:1] for a, b in zip(mine["bottom_tokens"], theirs["bottom_tokens"], strict=True)
    ]
    assert sum(same) / len(same) > agree
