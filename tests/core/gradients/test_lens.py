"""The lenses against hand-computed projections and the model's own output."""

import dataclasses
import math
from types import MappingProxyType

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core import PromptError, backward_lens, forward_lens, trace, vjp_norms
from core.gradients.trace import Factors, residual_stream
from core.model.projection import extremes, project, unembed
from tests.conftest import PROMPT, TARGET, random_model


def by_hand(model, vector: torch.Tensor) -> torch.Tensor:
    """Logits of one vector through the model's own modules."""
    with torch.no_grad():
        return model.unembedding(model.final_norm(vector))


def test_last_layer_of_the_forward_lens_is_the_models_output(model):
    lens = forward_lens(model, PROMPT, TARGET)
    with torch.no_grad():
        logits = model.network(torch.tensor([model.encode(PROMPT)])).logits[0]
    probabilities = logits.softmax(-1)
    target = model.target(PROMPT, TARGET).id
    last = lens[lens["layer"] == model.n_layers - 1].reset_index(drop=True)
    for i, row in last.iterrows():
        top = probabilities[i].topk(5)
        assert row["top_tokens"] == [model.token_text(t) for t in top.indices.tolist()]
        assert row["top_probabilities"] == pytest.approx(top.values.tolist(), rel=1e-4)
        entropy = -(probabilities[i] * probabilities[i].log()).sum().item()
        assert row["entropy"] == pytest.approx(entropy, rel=1e-4)
        assert row["target_rank"] == (logits[i] > logits[i, target]).sum()
        assert row["target_probability"] == pytest.approx(probabilities[i, target].item(), rel=1e-4)


def test_forward_lens_columns_and_no_target(model):
    lens = forward_lens(model, PROMPT, top_k=3)
    assert list(lens.columns) == [
        "layer",
        "position",
        "token",
        "top_tokens",
        "top_probabilities",
        "entropy",
        "target_rank",
        "target_probability",
    ]
    n = len(model.encode(PROMPT))
    assert len(lens) == model.n_layers * n
    assert list(lens["position"][:n]) == list(range(n))
    assert tuple(lens["token"][:n]) == model.tokenize(PROMPT)
    assert lens["target_rank"].isna().all()
    assert lens["target_probability"].isna().all()
    assert all(len(tokens) == 3 for tokens in lens["top_tokens"])


@pytest.mark.parametrize("normalize", [False, True])
def test_backward_lens_is_the_projection_of_each_vjp(model, normalize):
    run = trace(model, PROMPT, TARGET)
    lens = backward_lens(run, "ff2", normalize=normalize)
    for row in lens[~lens["near_zero"]].itertuples():
        delta = run.factors["ff2"].delta[row.layer, row.position]
        assert row.norm == pytest.approx(delta.norm().item(), rel=1e-5)
        logits = by_hand(model, delta / delta.norm() if normalize else delta)
        order = logits.argsort()
        assert row.bottom_tokens == [model.token_text(i) for i in order[:5].tolist()]
        assert row.top_tokens == [model.token_text(i) for i in order.flip(0)[:5].tolist()]
        assert row.target_rank == (logits > logits[run.target.id]).sum()
        assert row.answer_rank == (logits > logits[run.answer_id]).sum()


def test_ff1_is_read_through_its_inputs(model):
    run = trace(model, PROMPT, TARGET)
    lens = backward_lens(run, "ff1")
    for row in lens.itertuples():
        logits = by_hand(model, run.factors["ff1"].x[row.layer, row.position])
        assert row.top_tokens[0] == model.token_text(int(logits.argmax()))
        delta = run.factors["ff1"].delta[row.layer, row.position]
        assert row.norm == pytest.approx(delta.norm().item(), rel=1e-5, abs=1e-12)


def test_every_matrix_has_a_lens(model):
    run = trace(model, PROMPT, TARGET)
    for matrix in run.factors:
        assert len(backward_lens(run, matrix)) == model.n_layers * run.prompt_length
    with pytest.raises(PromptError, match="ff9"):
        backward_lens(run, "ff9")
    with pytest.raises(PromptError, match="top_k is 0"):
        backward_lens(run, top_k=0)


def test_near_zero_vjps_are_marked_and_have_no_tokens(model):
    lens = backward_lens(trace(model, PROMPT, TARGET))
    last = lens["position"].max()
    zero = (lens["layer"] == model.n_layers - 1) & (lens["position"] < last)
    assert (lens["near_zero"] == zero).all()
    assert all(tokens == [] for tokens in lens.loc[zero, "top_tokens"])
    assert all(tokens == [] for tokens in lens.loc[zero, "bottom_tokens"])
    assert lens.loc[zero, ["target_rank", "answer_rank"]].isna().all(axis=None)
    assert lens.loc[~zero, ["target_rank", "answer_rank"]].notna().all(axis=None)


def test_a_gradient_of_zero_everywhere_is_all_near_zero(model):
    run = trace(model, PROMPT, TARGET)
    nothing = Factors(run.factors["ff2"].x, torch.zeros_like(run.factors["ff2"].delta))
    flat = dataclasses.replace(run, factors=MappingProxyType({"ff2": nothing}))
    lens = backward_lens(flat)
    assert lens["near_zero"].all()
    assert lens["target_rank"].isna().all()


def test_the_update_raises_the_target_in_the_last_layer(model):
    """The sign: subtracting delta from the last block's output makes the target more probable."""
    run = trace(model, PROMPT, TARGET)
    last = residual_stream(model, run.ids)[-1, -1]
    delta = run.factors["block"].delta[-1, -1]
    before = by_hand(model, last).log_softmax(-1)[run.target.id]
    after = by_hand(model, last - 0.01 * delta / delta.norm()).log_softmax(-1)[run.target.id]
    assert after > before


def test_vjp_norms_are_l2_norms_of_factors(model):
    run = trace(model, PROMPT, TARGET)
    norms = vjp_norms(run)
    assert list(norms.columns) == ["layer", "module", "position", "token", "norm", "input_norm"]
    assert set(norms["module"]) == {*model.matrices, "block"}
    assert not norms.duplicated(["layer", "module", "position"]).any()
    for row in norms.sample(40, random_state=0).itertuples():
        factors = run.factors[row.module]
        delta, x = factors.delta[row.layer, row.position], factors.x[row.layer, row.position]
        assert row.norm == pytest.approx(delta.norm().item(), rel=1e-5, abs=1e-12)
        assert row.input_norm == pytest.approx(x.norm().item(), rel=1e-5)


def test_every_table_says_which_token_of_a_long_target_counts(model):
    run = trace(model, PROMPT, "Paris and Rome")
    for table in (
        forward_lens(model, PROMPT, "Paris and Rome"),
        backward_lens(run),
        vjp_norms(run),
    ):
        assert "first one, ' Paris'" in table.attrs["note"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(2, 700),
    st.integers(1, 12),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_extremes_are_topk(rows, vocabulary, k, largest, seed):
    """The blockwise search finds the same values as torch.topk, ties included."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(-40, 40, (rows, vocabulary), generator=generator).float()
    values, ids = extremes(logits, k, largest=largest)
    assert torch.equal(values, logits.topk(min(k, vocabulary), largest=largest).values)
    assert torch.equal(logits.gather(1, ids), values)
    assert all(len(set(row)) == len(row) for row in ids.tolist())


def test_ranks_and_entropy_of_hand_made_logits(model, monkeypatch):
    """Four tokens with logits (0, ln 2, ln 4, ln 1): probabilities 1/8, 2/8, 4/8, 1/8."""
    logits = torch.tensor([[1.0, 2.0, 4.0, 1.0]]).log()
    model.unembedding.weight.data = model.unembedding.weight.data[:4]  # a vocabulary of four
    monkeypatch.setattr("core.model.projection.unembed", lambda *_, out: out.copy_(logits))
    seen = project(
        model, torch.zeros(1, 4), top_k=2, rank_of=(0, 1, 2, 3), bottoms=True, probabilities=True
    )
    assert seen.ranks.tolist() == [[2, 1, 0, 2]]  # a tie shares the better rank
    assert seen.top_ids.tolist() == [[2, 1]]
    assert seen.bottom_ids[0, 0] in (0, 3)
    assert seen.top_probabilities.tolist()[0] == pytest.approx([0.5, 0.25])
    assert seen.probabilities.tolist()[0] == pytest.approx([0.125, 0.25, 0.5, 0.125])
    expected = -sum(p * torch.tensor(p).log().item() for p in (0.125, 0.25, 0.5, 0.125))
    assert seen.entropy.item() == pytest.approx(expected, rel=1e-5)


def test_projection_does_not_depend_on_its_chunks(model, monkeypatch):
    run = trace(model, PROMPT, TARGET)
    whole = backward_lens(run)
    monkeypatch.setattr("core.model.projection.LOGIT_BYTES", 1)
    pd.testing.assert_frame_equal(backward_lens(run), whole)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_half_precision_models_are_read_in_float32(kind):
    """Ranks need float32 logits: bfloat16 ones would tie."""
    model = random_model(kind)
    model.network.to(torch.bfloat16)
    vectors = torch.randn(3, model.d_model)
    logits = torch.empty(3, model.vocabulary_size)
    unembed(model, vectors, out=logits)
    expected = model.normalize_final(vectors) @ model.unembedding.weight.float().T
    torch.testing.assert_close(logits, expected)
    lens = backward_lens(trace(model, PROMPT, TARGET))
    assert lens["norm"].gt(0).any()
    assert len(forward_lens(model, PROMPT, TARGET)) == len(lens)


def silenced(position=1):
    """A Llama whose residual stream at a token of the prompt is exactly zero in every layer."""
    model = random_model("llama")
    with torch.no_grad():
        model.network.get_input_embeddings().weight[model.encode(PROMPT)[position]] = 0
        for block in model.blocks:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
    return model


def test_a_zero_vector_has_no_words_in_the_forward_lens_without_a_bias():
    model = silenced()
    lens = forward_lens(model, PROMPT, TARGET)
    zero = lens["position"] == 1
    assert lens.loc[zero, "target_rank"].isna().all()
    assert lens.loc[~zero, "target_rank"].notna().all()
    for column in ("top_tokens", "top_probabilities"):
        assert all(words == [] for words in lens.loc[zero, column])
        assert all(len(words) == 5 for words in lens.loc[~zero, column])
    assert lens.loc[zero, "entropy"].to_numpy() == pytest.approx(math.log(model.vocabulary_size))
    assert lens.loc[zero, "target_probability"].to_numpy() == pytest.approx(
        1 / model.vocabulary_size
    )


def test_a_zero_vector_has_the_words_of_the_bias_where_there_is_one(monkeypatch):
    model = random_model("gpt2")
    ids = model.encode(PROMPT)
    zeros = torch.zeros(model.n_layers, len(ids), model.d_model)
    monkeypatch.setattr("core.gradients.lens.residual_stream", lambda *_: zeros)
    lens = forward_lens(model, PROMPT, TARGET)
    best = by_hand(model, zeros[0, 0]).argmax().item()
    assert {tuple(words[:1]) for words in lens["top_tokens"]} == {(model.token_text(best),)}
    assert lens["target_rank"].notna().all()
