"""Lemma 5.2: one step of learning, predicted, measured, and against a model that takes it."""

import copy

import pytest
import torch

from core import PromptError, imprint_and_shift, imprint_copies, trace
from core.model.architectures import weight_in_out
from core.model.capture import capture
from tests.conftest import PROMPT, TARGET, random_model

PLACES = [(0, 0), (0, 2), (1, 1), (2, -1), (3, -1)]  # layer, position


def matrices_of(model) -> list[str]:
    return [m for m in ("ff1", "gate", "ff2") if m in model.matrices]


def outputs(model, ids, sites):
    """Outputs (token, width) of (matrix, layer) sites in a pass of the model, and its logits."""
    names = tuple(dict.fromkeys(matrix for matrix, _ in sites))
    with torch.no_grad(), capture(model, names) as seen:
        hidden = model.read(model.embed(ids))
    logits = model.unembedding(hidden[0, -1])
    return [seen[site].outputs[0][0] for site in sites], logits.detach()


def after_step(model, run, layer, matrix, step, chosen):
    """A copy of the model whose weight has taken the step, the gradient being built in full."""
    changed = copy.copy(model)
    for name in ("blocks", "final_norm", "unembedding", "fingerprint"):
        changed.__dict__.pop(name, None)
    changed.network = copy.deepcopy(model.network)
    factors = run.factors[matrix]
    gradient = factors.x[layer, chosen].T @ factors.delta[layer, chosen]
    (module,) = changed.modules(matrix, layer)
    weight_in_out(module).sub_(step * gradient)
    return changed


@pytest.mark.parametrize(("layer", "position"), PLACES)
def test_one_token_alone_is_the_lemma(model, layer, position):
    run = trace(model, PROMPT, TARGET)
    position %= run.prompt_length
    for matrix in matrices_of(model):
        x, delta = (t[layer, position] for t in (run.factors[matrix].x, run.factors[matrix].delta))
        expected = -1.0 * (x @ x) * delta
        assert expected.norm() > 0
        seen = imprint_and_shift(run, layer, matrix=matrix, position=position, step=1.0)
        assert (seen.layer, seen.matrix, seen.position) == (layer, matrix, position)
        assert (seen.step, seen.all_tokens) == (1.0, False)
        torch.testing.assert_close(seen.predicted, expected, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(seen.own, seen.predicted, rtol=1e-5, atol=1e-7)
        gap = (seen.measured - expected).norm() / expected.norm()
        assert gap < 1e-4, (matrix, gap)
        assert seen.error == pytest.approx(gap.item(), abs=1e-5)


@pytest.mark.parametrize(("layer", "position"), PLACES)
def test_all_tokens_against_the_whole_gradient(model, layer, position):
    run = trace(model, PROMPT, TARGET)
    position %= run.prompt_length
    for matrix in matrices_of(model):
        factors = run.factors[matrix]
        gradient = factors.x[layer].T @ factors.delta[layer]
        expected = -0.5 * factors.x[layer, position] @ gradient
        seen = imprint_and_shift(
            run, layer, matrix=matrix, position=position, step=0.5, all_tokens=True
        )
        assert seen.all_tokens
        torch.testing.assert_close(seen.predicted, expected, rtol=1e-4, atol=1e-6)
        assert (seen.measured - expected).norm() / expected.norm() < 1e-4
        x = factors.x[layer, position]
        own = -0.5 * (x @ x) * factors.delta[layer, position]
        torch.testing.assert_close(seen.own, own, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("all_tokens", [False, True])
def test_against_a_model_that_has_taken_the_step(model, all_tokens):
    """Every number of the result, from a copy of the model with the merged weight."""
    run = trace(model, PROMPT, TARGET)
    layer, position = 1, 2
    for matrix in matrices_of(model):
        seen = imprint_and_shift(
            run, layer, matrix=matrix, position=position, step=0.8, all_tokens=all_tokens, top_k=3
        )
        chosen = slice(None) if all_tokens else slice(position, position + 1)
        changed = after_step(model, run, layer, matrix, 0.8, chosen)
        sites = [(matrix, layer), ("ff2", layer), ("block", layer)]
        (own, mlp, block), logits = outputs(model, run.ids, sites)
        (own2, mlp2, block2), logits2 = outputs(changed, run.ids, sites)
        gap = (own2 - own)[position] - seen.measured
        assert gap.norm() <= 1e-4 * seen.measured.norm()

        def lens(vector):
            with torch.no_grad():
                return model.unembedding(model.final_norm(vector))

        expected = {
            ("input", "before"): lens(run.factors["ff1"].x[layer, position]),
            ("input", "after"): lens(run.factors["ff1"].x[layer, position]),
            ("mlp", "before"): lens(mlp[position]),
            ("mlp", "after"): lens(mlp2[position]),
            ("block", "before"): lens(block[position]),
            ("block", "after"): lens(block2[position]),
            ("answer", "before"): logits,
            ("answer", "after"): logits2,
        }
        assert list(zip(seen.table["stage"], seen.table["time"], strict=True)) == list(expected)
        for row in seen.table.itertuples():
            scores = expected[row.stage, row.time]
            probabilities = scores.softmax(-1)
            for word, token in (("target", run.target.id), ("answer", run.answer_id)):
                got = getattr(row, f"{word}_probability")
                assert got == pytest.approx(probabilities[token].item(), rel=1e-3, abs=1e-7)
                rank = (scores > scores[token]).sum().item()
                assert abs(getattr(row, f"{word}_rank") - rank) <= 3
            top = probabilities.topk(3)
            assert row.top_probabilities == pytest.approx(top.values.tolist(), rel=1e-3)
            assert row.top_tokens[0] == model.token_text(int(top.indices[0]))
        assert not torch.allclose(logits, logits2)


def test_the_answer_before_the_step_is_the_models_own(model):
    run = trace(model, PROMPT, TARGET)
    table = imprint_and_shift(run, 2, position=0).table.set_index(["stage", "time"])
    row = table.loc["answer", "before"]
    assert row["answer_rank"] == 0
    assert row["top_tokens"][0] == run.answer
    assert row["target_rank"] == (run.logits > run.logits[run.target.id]).sum()
    expected = run.logits.softmax(-1)[run.target.id].item()
    assert row["target_probability"] == pytest.approx(expected, rel=1e-4)
    before, after = table.loc["input", "target_probability"]
    assert after == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize("matrix", ["ff1", "ff2"])
def test_a_small_step_in_the_last_layer_raises_the_target(model, matrix):
    run = trace(model, PROMPT, TARGET)
    table = imprint_and_shift(run, model.n_layers - 1, matrix=matrix, step=1e-3).table
    for stage in ("block", "answer"):
        before, after = table.loc[table["stage"] == stage, "target_probability"]
        assert after > before
    # A step backwards lowers it.
    table = imprint_and_shift(run, model.n_layers - 1, matrix=matrix, step=-1e-3).table
    before, after = table.loc[table["stage"] == "answer", "target_probability"]
    assert after < before


def test_position_and_matrix_by_default(model):
    run = trace(model, PROMPT, TARGET)
    seen = imprint_and_shift(run, 1)
    assert (seen.position, seen.matrix) == (run.prompt_length - 1, "ff2")


def test_no_step_and_a_silent_vjp_change_nothing(model):
    run = trace(model, PROMPT, TARGET)
    still = imprint_and_shift(run, 1, step=0.0)
    silent = imprint_and_shift(run, model.n_layers - 1, position=0, step=1.0)
    for seen in (still, silent):
        assert seen.predicted.norm() == seen.measured.norm() == 0
        assert seen.error == 0
        for _, stage in seen.table.groupby("stage"):
            before, after = stage["target_probability"]
            assert after == pytest.approx(before, rel=1e-4)


def test_weights_and_modules_stay_as_they_are(model):
    run = trace(model, PROMPT, TARGET)
    before = {name: p.clone() for name, p in model.network.named_parameters()}
    for all_tokens in (False, True):
        imprint_and_shift(run, 1, step=5.0, all_tokens=all_tokens)
    with pytest.raises(PromptError, match="step"):
        imprint_and_shift(run, 1, step=float("inf"))
    for name, parameter in model.network.named_parameters():
        assert torch.equal(parameter, before[name]), name
        assert parameter.grad is None
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())
    again = trace(model, PROMPT, TARGET)
    assert torch.equal(again.logits, run.logits)


def test_changes_are_the_vectors_as_a_table(model):
    seen = imprint_and_shift(trace(model, PROMPT, TARGET), 1, matrix="ff1", all_tokens=True)
    table = seen.changes
    assert table["output"].tolist() == list(range(model.d_mlp))
    for name in ("own", "predicted", "measured"):
        assert table[name].tolist() == getattr(seen, name).tolist()


def test_copies_are_what_the_weights_gain(model):
    """FF1's columns gain copies[j] * x_i, and the neurons' outputs `change`."""
    run = trace(model, PROMPT, TARGET)
    table = imprint_copies(run, 1, position=2, step=0.3)
    assert sorted(table["neuron"]) == list(range(model.d_mlp))
    assert table["copies"].abs().is_monotonic_decreasing
    x, delta = run.factors["ff1"].x[1, 2], run.factors["ff1"].delta[1, 2]
    expected = (-0.3 * delta)[table["neuron"].tolist()]
    assert table["copies"].tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    seen = imprint_and_shift(run, 1, matrix="ff1", position=2, step=0.3)
    change = seen.predicted[table["neuron"].tolist()]
    assert table["change"].tolist() == pytest.approx(change.tolist(), rel=1e-4)
    gain = torch.outer(x, -0.3 * delta)  # (d_model, d_mlp)
    first = table.iloc[0]
    torch.testing.assert_close(gain[:, int(first["neuron"])], first["copies"].item() * x)


def test_bad_requests_get_a_sentence(model):
    run = trace(model, PROMPT, TARGET)
    for make in (imprint_and_shift, imprint_copies):
        with pytest.raises(PromptError, match="no layer 4. Choose one from 0 to 3"):
            make(run, 4)
        with pytest.raises(PromptError, match="no token at position 99"):
            make(run, 0, position=99)
    with pytest.raises(PromptError, match="MLP matrix. Choose one of: ff1, .*ff2"):
        imprint_and_shift(run, 0, matrix="attn_out")
    with pytest.raises(PromptError, match="top_k is 0"):
        imprint_and_shift(run, 0, top_k=0)
    for step in (float("nan"), float("inf"), 1e38):
        with pytest.raises(PromptError, match="step"):
            imprint_and_shift(run, 0, step=step)


def test_an_output_of_zeros_has_no_words_before_the_step():
    model = random_model("llama")
    with torch.no_grad():
        model.blocks[1].mlp.down_proj.weight.zero_()
    seen = imprint_and_shift(trace(model, PROMPT, TARGET), 1, matrix="ff2", step=1.0).table
    rows = seen.set_index(["stage", "time"])
    blank = rows["target_rank"].isna()
    assert list(blank[blank].index) == [("mlp", "before")]
    assert rows.loc[("mlp", "before"), "top_tokens"] == []
    assert rows.loc[("mlp", "before"), "top_probabilities"] == []
    assert rows["answer_rank"].isna().equals(blank)
    assert all(len(words) == 5 for words in rows.loc[~blank, "top_tokens"])
