"""Edits on a shared model: against a dense reference, in any order, from many threads."""

import random
import threading

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from core import (
    METHODS,
    Cancelled,
    Edit,
    EditError,
    PromptError,
    answers,
    edit,
    edited,
    forward_lens,
    trace,
)
from core.model.capture import exclusive
from core.model.fingerprint import fingerprint
from tests.conftest import random_model
from tests.core.edited_models import (
    OTHER_PROMPT,
    PROMPT,
    SETTINGS,
    SUBJECT,
    TARGET,
    assert_untouched,
    logits_of,
    merged,
    random_edit,
    weights,
)

pytestmark = pytest.mark.usefixtures("any_mend")


def edited_logits(model, edits, prompt=PROMPT):
    with exclusive(model, gradients=False), edited(model, edits):
        return logits_of(model.network, model.encode(prompt))


def unit_factors(model, layers, **_):
    return {layer: torch.eye(model.d_mlp, dtype=torch.float64) for layer in layers}


def bare_logits(model, prompt=PROMPT):
    return logits_of(model.network, model.encode(prompt))


@pytest.mark.parametrize("dense", [False, True])
def test_an_edit_of_any_matrix_is_the_merged_weight(model, dense):
    for matrix in model.matrices:
        change = random_edit(model, 1, matrix, 2, dense)
        expected = logits_of(merged(model, [change]), model.encode(PROMPT))
        got = edited_logits(model, [change])
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
        assert (got - bare_logits(model)).abs().max() > 1e-2


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_is_the_merged_weight_and_leaves_the_model(model, method):
    request = {"method": method, "subject": SUBJECT, **SETTINGS[method]}
    before, bare = weights(model), bare_logits(model, OTHER_PROMPT)
    change = edit(model, PROMPT, TARGET, **request)
    assert_untouched(model, before)
    expected = logits_of(merged(model, [change]), model.encode(OTHER_PROMPT))
    got = edited_logits(model, [change], OTHER_PROMPT)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(bare_logits(model, OTHER_PROMPT), bare)
    assert (change.prompt, change.subject, change.target) == (PROMPT, SUBJECT, TARGET)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_computes_on_top_of_active_edits(model, method, monkeypatch):
    """The same edit as on a model that has the first one merged into its weights.

    Contexts and second moments are always the unedited model's: they are left out here.
    """
    for module in ("rome", "memit"):
        monkeypatch.setattr(f"core.editing.{module}.factors", unit_factors)
    request = {"method": method, "subject": SUBJECT, **SETTINGS[method]}
    if "contexts" in METHODS[method].defaults(model):
        request["contexts"] = 0
    first = random_edit(model, 3, "ff2", 0)
    second = edit(model, PROMPT, TARGET, **request, edits=[first])
    alone = edit(model, PROMPT, TARGET, **request)
    fresh = type(model)(merged(model, [first]), model.tokenizer, model.name)
    expected = edit(fresh, PROMPT, TARGET, **request)
    for ours, reference, other in zip(second.changes, expected.changes, alone.changes, strict=True):
        size = reference.weight_change.norm()
        assert (ours.weight_change - reference.weight_change).norm() < 0.02 * size
        assert (ours.weight_change - other.weight_change).norm() > 0.05 * size


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_can_be_cancelled_and_leaves_nothing(model, method):
    request = {"method": method, "subject": SUBJECT, **SETTINGS[method]}
    before, bare = weights(model), bare_logits(model)
    calls = []

    def cancel(done, total):
        calls.append((done, total))
        raise Cancelled

    with pytest.raises(Cancelled):
        edit(model, PROMPT, TARGET, **request, on_step=cancel)
    assert len(calls) == 1
    assert_untouched(model, before)
    assert torch.equal(bare_logits(model), bare)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_works_in_half_precision(model, method, monkeypatch):
    """The same change as in float32, up to that precision; factors stay float32."""
    for module in ("rome", "memit"):
        monkeypatch.setattr(f"core.editing.{module}.factors", unit_factors)
    request = {"method": method, "subject": SUBJECT, **SETTINGS[method]}
    if "contexts" in METHODS[method].defaults(model):
        request |= {"contexts": 0, "steps": 2}
    expected = edit(model, PROMPT, TARGET, **request).changes[0].weight_change
    model.network.to(torch.bfloat16)
    change = edit(model, PROMPT, TARGET, **request).changes[0]
    assert all(part.dtype == torch.float32 for part in change.tensors.values())
    both = torch.stack([change.weight_change.flatten(), expected.flatten()])
    assert torch.nn.functional.cosine_similarity(*both, dim=0) > 0.7


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_switching_and_undoing_end_where_a_fresh_model_ends(kind, data):
    model = SHARED[kind]
    before, bare = weights(model), bare_logits(model)
    stack: list[tuple[int, bool]] = []  # seed, switched on
    for _ in range(data.draw(st.integers(1, 8))):
        act = data.draw(st.sampled_from(["add", "switch", "undo"]))
        if act == "add":
            stack.append((data.draw(st.integers(0, 5)), True))
        elif act == "undo" and stack:
            stack.pop(data.draw(st.integers(0, len(stack) - 1)))
        elif stack:
            i = data.draw(st.integers(0, len(stack) - 1))
            stack[i] = (stack[i][0], not stack[i][1])
        answers(model, PROMPT, edits=active(model, stack), top_k=1)
    edits = active(model, stack)
    expected = logits_of(merged(model, edits), model.encode(PROMPT))
    torch.testing.assert_close(edited_logits(model, edits), expected, rtol=1e-4, atol=1e-4)
    assert_untouched(model, before)
    assert torch.equal(bare_logits(model), bare)


SHARED = {kind: random_model(kind) for kind in ("gpt2", "llama")}


def active(model, stack) -> list[Edit]:
    """Seeds choose the matrix, the layer and whether the change is dense."""
    matrices = model.matrices
    return [
        random_edit(model, seed, matrices[seed % len(matrices)], seed % 4, dense=seed % 2 == 0)
        for seed, on in stack
        if on
    ]


def test_a_thousand_operations_in_eight_threads(model):
    before = weights(model)
    edits = active(model, [(seed, True) for seed in range(6)])
    choices = [(), *((e,) for e in edits), tuple(edits), tuple(edits[::2])]
    prompts = [PROMPT, OTHER_PROMPT]
    alone = {(p, c): answers(model, p, edits=c) for p in prompts for c in choices}
    failures = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(125):
            prompt, chosen = rng.choice(prompts), rng.choice(choices)
            try:
                if rng.random() < 0.1:
                    edit(model, prompt, TARGET, method="forward-shift", edits=chosen, eta=0.1)
                elif not answers(model, prompt, edits=chosen).equals(alone[prompt, chosen]):
                    failures.append((prompt, len(chosen)))
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert_untouched(model, before)


def test_answers_are_the_models_own(model):
    table = answers(model, PROMPT, top_k=3)
    logits = bare_logits(model)[-1]
    best = logits.topk(3)
    assert table["token"].tolist() == [model.token_text(i) for i in best.indices.tolist()]
    assert table["logit"].tolist() == pytest.approx(best.values.tolist(), rel=1e-5)
    expected = logits.softmax(-1)[best.indices].tolist()
    assert table["probability"].tolist() == pytest.approx(expected, rel=1e-4)


def test_an_edit_knows_its_size_rank_and_layers(model):
    d_in = model.d_mlp
    small = random_edit(model, 1, "ff2", 3)
    assert (small.size, small.rank, small.layers) == (4 * 2 * (d_in + 32), 2, (3,))
    assert random_edit(model, 1, dense=True).rank == 32


def test_the_fingerprint_tells_weights_apart_but_not_precisions():
    model = random_model("gpt2")
    assert fingerprint(model) == fingerprint(random_model("gpt2"))
    other = random_model("gpt2")
    other.network.to(torch.bfloat16)
    assert fingerprint(other) == fingerprint(model)
    changed = random_model("gpt2")
    changed.blocks[3].mlp.c_proj.weight.data += 0.1
    names = {fingerprint(m) for m in (model, changed, random_model("gpt2", seed=1))}
    assert len(names) == 3


def test_what_does_not_fit_is_refused_before_anything_happens(model):
    before = weights(model)
    foreign = random_edit(random_model("gpt2", seed=7), 0)
    with pytest.raises(EditError, match="other weights"):
        answers(model, PROMPT, edits=[random_edit(model, 0), foreign])
    with pytest.raises(EditError, match="layers 0 to 3"):
        edit(model, PROMPT, TARGET, method="forward-shift", layer=4)
    with pytest.raises(EditError, match=r"no method 'wish'.*forward-shift"):
        edit(model, PROMPT, TARGET, method="wish")
    with pytest.raises(EditError, match=r"no hyperparameter 'lr'.*layer, eta"):
        edit(model, PROMPT, TARGET, method="forward-shift", lr=1)
    with pytest.raises(EditError, match="eta is nan"):
        edit(model, PROMPT, TARGET, method="forward-shift", eta=float("nan"))
    with pytest.raises(EditError, match="steps is 26; choose a whole number from 1 to 25"):
        edit(model, PROMPT, TARGET, method="adam", steps=26)
    with pytest.raises(EditError, match="not a choice of MLP matrices"):
        edit(model, PROMPT, TARGET, method="sgd", matrices=["attn_in"])
    with pytest.raises(PromptError, match="not in the prompt"):
        edit(model, PROMPT, TARGET, method="sgd", subject="Trump")
    assert_untouched(model, before)


def test_pictures_of_the_edited_model_and_of_the_bare_one_do_not_mix(model):
    """Trace and forward lens with edits are those of the merged model, in any order of calls."""
    edits = [random_edit(model, 1), random_edit(model, 2, "attn_in", 0)]
    fresh = type(model)(merged(model, edits), model.tokenizer)
    bare = forward_lens(model, PROMPT, TARGET)
    expected = trace(fresh, PROMPT, TARGET)
    got = trace(model, PROMPT, TARGET, edits=edits)
    torch.testing.assert_close(got.logits, expected.logits, rtol=1e-4, atol=1e-4)
    for matrix, factors in expected.factors.items():
        torch.testing.assert_close(got.factors[matrix].delta, factors.delta, rtol=1e-3, atol=1e-4)
    assert forward_lens(model, PROMPT, TARGET).equals(bare)
    lens = forward_lens(model, PROMPT, TARGET, edits=edits)
    reference = forward_lens(fresh, PROMPT, TARGET)
    assert lens["target_probability"].tolist() == pytest.approx(
        reference["target_probability"].tolist(), rel=1e-3, abs=1e-6
    )
    assert not lens["entropy"].equals(bare["entropy"])
    model._residuals.clear()
    forward_lens(model, PROMPT, TARGET, edits=edits)
    assert forward_lens(model, PROMPT, TARGET).equals(bare)
