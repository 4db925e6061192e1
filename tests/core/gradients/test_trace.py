"""The trace against autograd: factors, lemmas, isolation between threads."""

import threading

import pytest
import torch

from core import ModelError, PromptError, forward_lens, trace
from core.gradients.trace import residual_stream
from core.model.architectures import weight_in_out
from tests.conftest import PROMPT, TARGET, random_model


def weight_gradients(model, run) -> dict[tuple[str, int], torch.Tensor]:
    """Autograd's own gradient of each matrix, as (d_in, d_out)."""
    network = model.network.requires_grad_(True)
    logits = network(torch.tensor([run.ids])).logits[0, -1]
    torch.nn.functional.cross_entropy(logits, torch.tensor(run.target.id)).backward()
    gradients = {}
    for matrix in model.matrices:
        for layer in range(model.n_layers):
            parts = []
            for module in model.modules(matrix, layer):
                grad = module.weight.grad
                parts.append(grad if weight_in_out(module) is module.weight else grad.T)
            gradients[matrix, layer] = torch.cat(parts, 1)
    network.zero_grad()
    network.requires_grad_(False)
    return gradients


def test_factors_are_autograds_weight_gradients(model):
    run = trace(model, PROMPT, TARGET)
    for (matrix, layer), expected in weight_gradients(model, run).items():
        factors = run.factors[matrix]
        got = factors.x[layer].T @ factors.delta[layer]
        assert got.shape == expected.shape
        error = (got - expected).norm() / expected.norm()
        assert error < 1e-5, (matrix, layer, error)


def test_loss_logits_and_answer_are_the_models_own(model):
    run = trace(model, PROMPT, TARGET)
    with torch.no_grad():
        logits = model.network(torch.tensor([run.ids])).logits[0, -1]
    torch.testing.assert_close(run.logits, logits)
    assert run.loss == pytest.approx(-logits.log_softmax(-1)[run.target.id].item(), rel=1e-5)
    assert run.answer == model.token_text(int(logits.argmax()))


def test_no_parameter_gets_a_gradient_and_no_hook_stays(model):
    trace(model, PROMPT, TARGET)
    assert all(p.grad is None and not p.requires_grad for p in model.network.parameters())
    assert not any(m._forward_hooks for m in model.network.modules())


def test_works_inside_no_grad_and_inference_mode(model):
    expected = trace(model, PROMPT, TARGET).factors["ff2"].delta
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            torch.testing.assert_close(trace(model, PROMPT, TARGET).factors["ff2"].delta, expected)


def test_last_layer_learns_at_the_last_token_only(model):
    run = trace(model, PROMPT, TARGET)
    for matrix in ("ff1", "ff2", "attn_out", "block"):
        delta = run.factors[matrix].delta[-1]
        assert torch.equal(delta[:-1], torch.zeros_like(delta[:-1])), matrix
        assert delta[-1].norm() > 0
    assert (run.factors["ff2"].delta[:-1].norm(dim=-1) > 0).all()


def test_lemma_5_1_the_first_vjp_is_a_sum_of_embeddings(model):
    """dL/d(ln_f output) = sum_k (p[k] - 1[k = t]) D[k]: negative for the target alone."""
    ids, goal = model.encode(PROMPT), model.target(PROMPT, TARGET)
    hidden = model.read(model.embed(ids))[0, -1].detach().requires_grad_()
    logits = model.unembedding(hidden)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(goal.id))
    (first_vjp,) = torch.autograd.grad(loss, hidden)
    coefficients = logits.detach().softmax(-1)
    coefficients[goal.id] -= 1
    assert coefficients[goal.id] < 0
    assert (coefficients < 0).sum() == 1
    torch.testing.assert_close(coefficients @ model.unembedding.weight, first_vjp)


def test_lemma_5_1_holds_for_the_trace_of_the_last_block(model):
    """The VJP of the last block is that of ln_f's output, taken through ln_f."""
    run = trace(model, PROMPT, TARGET)
    coefficients = run.logits.softmax(-1)
    coefficients[run.target.id] -= 1
    upstream = coefficients @ model.unembedding.weight
    last = residual_stream(model, run.ids)[-1, -1].clone().requires_grad_()
    (expected,) = torch.autograd.grad(model.final_norm(last), last, upstream)
    torch.testing.assert_close(run.factors["block"].delta[-1, -1], expected, rtol=1e-4, atol=1e-6)


def test_one_step_changes_ff2s_output_by_lemma_5_2():
    """Hand-computed: x = (1, 2), delta = (3, -1), lr = 0.1 -> change -0.1 * 5 * delta."""
    x, delta = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0])
    gradient = torch.outer(x, delta)
    change = x @ (-0.1 * gradient)
    torch.testing.assert_close(change, torch.tensor([-1.5, 0.5]))


def test_threads_get_what_they_get_alone(model):
    prompts = [("Obama grew up in", "Paris"), ("Jack Dorsey founded", "IBM")]
    prompts += [("Pikachu is a type of", "music"), ("The capital of France is", "Rome")]
    alone = [trace(model, *p) for p in prompts]
    results: dict[int, list] = {i: [] for i in range(len(prompts))}

    def work(i: int) -> None:
        for _ in range(5):
            results[i].append(trace(model, *prompts[i]))
            forward_lens(model, prompts[i][0])

    threads = [threading.Thread(target=work, args=(i,)) for i in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, runs in results.items():
        assert len(runs) == 5
        for run in runs:
            assert torch.equal(run.logits, alone[i].logits)
            for matrix, factors in run.factors.items():
                assert torch.equal(factors.x, alone[i].factors[matrix].x)
                assert torch.equal(factors.delta, alone[i].factors[matrix].delta)


def test_forward_lens_is_the_same_before_and_after_a_trace(model):
    fresh = forward_lens(model, PROMPT, TARGET)
    model._residuals.clear()
    trace(model, PROMPT, TARGET)
    assert forward_lens(model, PROMPT, TARGET).equals(fresh)


def test_a_long_target_uses_its_first_token_and_says_so(model):
    run = trace(model, PROMPT, "Paris and Rome")
    assert run.target.id == model.target(PROMPT, "Paris").id
    assert len(run.target.ids) == 3
    assert "3 tokens" in run.target.note
    assert "' Paris'" in run.target.note
    assert trace(model, PROMPT, "Paris").target.note == ""


def test_one_token_prompt():
    run = trace(random_model("gpt2"), "Obama", TARGET)
    assert run.prompt_length == 1
    assert run.factors["ff2"].delta.shape[:2] == (4, 1)


def test_bad_requests_get_a_sentence(model):
    with pytest.raises(PromptError, match="prompt is empty"):
        trace(model, "", TARGET)
    with pytest.raises(PromptError, match="target is only spaces"):
        trace(model, PROMPT, "  ")
    with pytest.raises(PromptError, match="at most 80"):
        trace(model, "word " * 200, TARGET)
    with pytest.raises(PromptError, match="'Trump' is not in the prompt"):
        trace(model, PROMPT, TARGET, subject="Trump")
    with pytest.raises(PromptError, match="Choose one of"):
        trace(model, PROMPT, TARGET).matrix("ff3")
    assert trace(model, PROMPT, TARGET, subject="Obama").subject == "Obama"


def test_damaged_weights_are_named(model):
    model.final_norm.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="not a number"):
        trace(model, PROMPT, TARGET)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_running_out_of_memory_is_a_sentence_and_frees_the_model(model, monkeypatch, error):
    def fail(_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(model, "read", fail)
        with pytest.raises(ModelError, match="ran out of memory on this prompt"):
            trace(model, PROMPT, TARGET)
    assert trace(model, PROMPT, TARGET).loss > 0
    assert not any(m._forward_hooks for m in model.network.modules())


def test_other_errors_stay_what_they_are(model, monkeypatch):
    monkeypatch.setattr(model, "read", lambda _: 1 + "a")
    with pytest.raises(TypeError):
        trace(model, PROMPT, TARGET)
