"""One step from one token: against a copy of the model whose weight was really changed."""

import copy
import math

import pytest
import torch

from core import (
    EditError,
    PromptError,
    compare_before_after,
    edit,
    edit_bytes,
    edit_from_bytes,
    learn_at,
    load_model,
    step_ladder,
    trace,
)
from core.model.architectures import weight_in_out
from tests.conftest import PROMPT, TARGET, random_model

PLACES = [(0, 1), (1, 2), (3, -1)]  # layer, position


def with_weight_changed(network, model, matrix, layer, change):
    """A copy of the network whose matrix (its modules side by side) has `change` (d_in, d_out)."""
    names = {module: name for name, module in network.named_modules()}
    other, first = copy.deepcopy(network), 0
    for module in model.modules(matrix, layer):
        weight = weight_in_out(other.get_submodule(names[module]))
        weight += change[:, first : first + weight.shape[1]]
        first += weight.shape[1]
    assert first == change.shape[1]
    return other


def last_logits(network, ids):
    with torch.no_grad():
        return network(torch.tensor([ids])).logits[0, -1]


@pytest.mark.parametrize(("layer", "position"), PLACES)
def test_against_a_model_whose_weight_was_changed(model, layer, position):
    run = trace(model, PROMPT, TARGET)
    position %= run.prompt_length
    for matrix in model.matrices:
        if matrix == "block":
            continue
        x, delta = (t[layer, position] for t in (run.factors[matrix].x, run.factors[matrix].delta))
        new = learn_at(run, matrix=matrix, layer=layer, position=position, step=0.7)
        step = -0.7 * torch.outer(x, delta)
        torch.testing.assert_close(new.changes[0].weight_change, step)
        assert (new.rank, new.layers) == (1, (layer,))
        seen = compare_before_after(run, new, top_k=4)
        changed = with_weight_changed(model.network, model, matrix, layer, step)
        before, after = last_logits(model.network, run.ids), last_logits(changed, run.ids)
        for word, token in (("target", run.target.id), ("answer", run.answer_id)):
            row = seen.table.set_index("word").loc[word]
            assert row["token"] == model.token_text(token)
            for time, logits in (("before", before), ("after", after)):
                share = float(logits.softmax(-1)[token])
                assert row[f"probability_{time}"] == pytest.approx(share, rel=1e-3)
                rank = int((logits > logits[token]).sum())
                assert abs(row[f"rank_{time}"] - rank) <= 2  # of those that nearly tie
        top = after.softmax(-1).topk(4)
        shown = seen.answers[seen.answers["run"] == "after"]
        assert shown["probability"].tolist() == pytest.approx(top.values.tolist(), rel=1e-3)
        assert shown["token"].iloc[0] == model.token_text(int(top.indices[0]))
        losses = [
            float(torch.nn.functional.cross_entropy(z, torch.tensor(run.target.id)))
            for z in (before, after)
        ]
        assert seen.loss_before == pytest.approx(losses[0], rel=1e-5)
        assert seen.measured == pytest.approx(losses[1] - losses[0], rel=1e-2, abs=2e-5)


@pytest.mark.parametrize(("layer", "position"), PLACES)
def test_the_prediction_is_the_gradients_own(model, layer, position):
    """-step <x_i^T delta_i, dL/dW>, with dL/dW from autograd on the weight itself."""
    run = trace(model, PROMPT, TARGET)
    position %= run.prompt_length
    for matrix in model.matrices:
        if matrix == "block":
            continue
        other = copy.deepcopy(model.network).requires_grad_(True)
        names = {module: name for name, module in model.network.named_modules()}
        modules = [other.get_submodule(names[m]) for m in model.modules(matrix, layer)]
        logits = other(torch.tensor([run.ids])).logits[0, -1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(run.target.id))
        loss.backward()
        gradient = torch.cat(
            [m.weight.grad if weight_in_out(m) is m.weight else m.weight.grad.mT for m in modules],
            1,
        )
        x, delta = (t[layer, position] for t in (run.factors[matrix].x, run.factors[matrix].delta))
        expected = -0.3 * float((torch.outer(x, delta) * gradient).sum())
        new = learn_at(run, matrix=matrix, layer=layer, position=position, step=0.3)
        seen = compare_before_after(run, new)
        assert seen.predicted == pytest.approx(expected, rel=1e-3)


def test_prediction_and_measurement_part_with_the_square_of_the_step(model):
    """In float64, where rounding is far below: a tenth of the step, a hundredth of the gap."""
    model.network.double()
    run = trace(model, PROMPT, TARGET)
    for matrix in ("ff1", "ff2"):
        gaps = []
        for step in (1e-1, 1e-2):
            new = learn_at(run, matrix=matrix, layer=1, position=2, step=step)
            seen = compare_before_after(run, new)
            gaps.append(abs(measured(model, run, new) - seen.predicted))
            assert gaps[-1] < abs(seen.predicted)
        assert 50 < gaps[0] / gaps[1] < 200, (matrix, gaps)


def measured(model, run, new):
    """The change of the loss in float64, by a hook of the test's own."""
    (change,) = new.changes
    (module,) = model.modules(change.matrix, change.layer)
    losses = []
    for whole in (0, 1):

        def add(_, inputs, output, whole=whole):
            return output + whole * (inputs[0] @ change.weight_change.double())

        hook = module.register_forward_hook(add)
        try:
            logits = last_logits(model.network, run.ids)
        finally:
            hook.remove()
        losses.append(float(logits.logsumexp(-1) - logits[run.target.id]))
    return losses[1] - losses[0]


def test_the_terms_of_all_tokens_sum_to_the_whole_gradient(model):
    """What each token's own step changes, to first order, adds up to -step |dL/dW|^2."""
    run = trace(model, PROMPT, TARGET)
    factors = run.matrix("ff2")
    gradient = factors.x[1].T @ factors.delta[1]
    total = 0.0
    for position in range(run.prompt_length):
        new = learn_at(run, matrix="ff2", layer=1, position=position, step=0.1)
        total += compare_before_after(run, new).predicted
    assert total == pytest.approx(-0.1 * float(gradient.square().sum()), rel=1e-4)


def test_the_usual_step_is_a_share_of_the_matrix(model):
    run = trace(model, PROMPT, TARGET)
    for matrix in ("attn_in", "ff2"):
        new = learn_at(run, matrix=matrix, layer=1, position=2, share=0.1)
        weights = [weight_in_out(m) for m in model.modules(matrix, 1)]
        whole = torch.cat(weights, 1).norm()
        assert float(new.changes[0].weight_change.norm() / whole) == pytest.approx(0.1, rel=1e-4)
        assert new.hyperparameters["share"] == pytest.approx(0.1)
        step = new.hyperparameters["step"]
        again = learn_at(run, matrix=matrix, layer=1, position=2, step=step)
        assert torch.equal(again.changes[0].u, new.changes[0].u)
        assert again.hyperparameters["share"] == pytest.approx(0.1)


def test_the_ladder_is_the_steps_one_by_one(model):
    run = trace(model, PROMPT, TARGET)
    ladder = step_ladder(run, matrix="ff1", layer=1, position=2, shares=(0.01, 0.1))
    assert ladder["share"].tolist() == [0.01, 0.1]
    for row in ladder.itertuples():
        new = learn_at(run, matrix="ff1", layer=1, position=2, share=row.share)
        seen = compare_before_after(run, new, top_k=1)
        assert row.step == pytest.approx(new.hyperparameters["step"], rel=1e-5)
        assert row.predicted == pytest.approx(seen.predicted, rel=1e-4)
        assert row.measured == pytest.approx(seen.measured, rel=1e-2, abs=1e-5)
        target = seen.table.iloc[0]
        assert row.target_probability == pytest.approx(target["probability_after"], rel=1e-3)
        assert abs(row.target_rank - target["rank_after"]) <= 2
        assert row.answer == seen.answers["token"].iloc[-1]


def test_a_step_that_breaks_the_model_is_a_sentence():
    model = random_model("gpt2")  # Llama's norm makes zeros of what is infinite
    run = trace(model, PROMPT, TARGET)
    with pytest.raises(EditError, match="not a number. Choose a smaller one"):
        compare_before_after(run, learn_at(run, layer=1, position=2, step=1e30))


def test_a_step_of_zero_changes_nothing(model):
    run = trace(model, PROMPT, TARGET)
    seen = compare_before_after(run, learn_at(run, layer=1, position=2, step=0))
    assert (seen.predicted, seen.measured) == (0, 0)
    row = seen.table.iloc[0]
    assert row["probability_before"] == row["probability_after"]


def test_it_comes_on_top_of_the_edits_of_the_trace(model):
    first = edit(model, PROMPT, TARGET, method="forward-shift", layer=1, eta=0.01)
    run = trace(model, PROMPT, TARGET, edits=[first])
    new = learn_at(run, layer=1, position=2, share=0.02)
    seen = compare_before_after(run, new)
    assert seen.loss_before == pytest.approx(run.loss, rel=1e-5)
    wide = new.changes[0].weight_change + first.changes[0].weight_change
    changed = with_weight_changed(model.network, model, "ff2", 1, wide)
    loss = torch.nn.functional.cross_entropy(
        last_logits(changed, run.ids), torch.tensor(run.target.id)
    )
    assert seen.loss_after == pytest.approx(float(loss), rel=1e-4)


def test_a_model_in_8_bits_learns_as_well():
    model = load_model("tiny-llama2", dtype="int8")
    run = trace(model, PROMPT, TARGET)
    new = learn_at(run, layer=6, position=run.prompt_length - 1, share=0.01)
    seen = compare_before_after(run, new)
    row = seen.table.set_index("word").loc["target"]
    assert row["probability_after"] > row["probability_before"]
    assert seen.measured < 0
    assert seen.predicted < 0


def test_a_kept_step_comes_back_from_its_file(model):
    run = trace(model, PROMPT, TARGET)
    new = learn_at(run, layer=1, position=2)
    back = edit_from_bytes(edit_bytes(new), model)
    assert torch.equal(back.changes[0].u, new.changes[0].u)
    assert back.hyperparameters == new.hyperparameters


def test_where_nothing_reaches_the_answer_it_says_so(model):
    run = trace(model, PROMPT, TARGET)
    with pytest.raises(EditError, match="nothing that happens there reaches the answer"):
        learn_at(run, layer=model.n_layers - 1, position=0)
    # The last layer's keys and values of earlier tokens are read by the last one.
    assert learn_at(run, matrix="attn_in", layer=model.n_layers - 1, position=0).rank == 1


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"layer": 9}, PromptError, "no layer 9"),
        ({"position": 99}, PromptError, "no token at position 99"),
        ({"matrix": "block"}, EditError, "no matrix 'block' that can be edited"),
        ({"matrix": "ff3"}, EditError, "no matrix 'ff3'"),
        ({"step": math.nan}, EditError, "step is nan"),
        ({"share": -1}, EditError, "share is -1"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(model, wrong, error, message):
    run = trace(model, PROMPT, TARGET)
    with pytest.raises(error, match=message):
        learn_at(run, **({"layer": 1, "position": 1} | wrong))
