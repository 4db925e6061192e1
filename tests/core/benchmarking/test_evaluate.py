"""Many variants in shared passes: each as if it had been asked alone, one prompt at a time."""

import math

import pytest
import torch

from core import Change, Edit, EditError, Fact, Record, answers, complete, fingerprint, perplexity
from core.benchmarking.asked import questions_of, rows_of
from core.benchmarking.evaluate import perplexities, readings
from core.benchmarking.measures import magnitude, mean, success
from core.benchmarking.writing import Writing, chosen_tokens, continuations, rows_at_once
from core.editing.edit_strength import text_ids
from core.editing.scores import says
from core.model.edited import edited, hooked, row_hooks, turn
from core.model.edits import matrix_shape
from tests.conftest import random_model

RECORD = Record(
    case_id=1,
    prompt="Obama grew up in",
    subject="Obama",
    target_new="Paris",
    target_true="New York",
    paraphrases=("As a child, Obama lived in",),
    neighbours=("Adele grew up in", "Einstein grew up in the city of"),
)


def random_edit(model, seed: int, size: float = 1.0, dense: bool = False) -> Edit:
    generator = torch.Generator().manual_seed(seed)
    changes = []
    for matrix, layer in (("ff1", 1), ("ff2", 2), ("ff2", 3)):
        d_in, d_out = matrix_shape(model, matrix, layer)
        u, v = (torch.randn(d, 2, generator=generator) for d in (d_in, d_out))
        if dense:
            changes.append(Change(matrix, layer, dense=size * u @ v.mT))
        else:
            changes.append(Change(matrix, layer, u=size * u, v=v))
    return Edit(
        name=str(seed),
        changes=tuple(changes),
        method="sgd",
        hyperparameters={},
        facts=(Fact("a", None, "b"),),
        model_name=model.name,
        model_fingerprint=fingerprint(model),
        seconds=0.0,
    )


def variants_of(model) -> list[list[Edit]]:
    return [
        [],
        [random_edit(model, 1, 0.1)],
        [],
        [random_edit(model, 2, 0.2, dense=True), random_edit(model, 3, 0.1)],
    ]


def test_rows_of_a_batch_have_their_own_edits(model):
    variants = variants_of(model)
    embeddings = torch.cat([model.embed(model.encode("Obama grew up in"))] * 4)
    groups = [(slice(i, i + 1), edits) for i, edits in enumerate(variants) if edits]
    with turn(model, (), gradients=False), hooked(row_hooks(model, groups)):
        together = model.read(embeddings)
    for i, edits in enumerate(variants):
        with turn(model, edits, gradients=False):
            alone = model.read(embeddings[:1])[0]
        assert torch.allclose(together[i], alone, atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-2)
    assert not any(module._forward_hooks for module in model.network.modules())


def test_an_edit_of_another_model_is_refused(model):
    other = random_model("gpt2", seed=3)
    with pytest.raises(EditError):
        row_hooks(model, [(slice(0, 1), [random_edit(other, 1)])])


def test_readings_are_as_asked_one_by_one(model):
    questions, variants = questions_of(model, RECORD), variants_of(model)
    for turn_tokens in (1, 64, 10_000):
        found = readings(model, questions, variants, turn_tokens=turn_tokens)
        for edits, readings_of_it in zip(variants, found, strict=True):
            for asked, seen in zip(questions, readings_of_it, strict=True):
                first = answers(model, asked.prompt, edits=edits, top_k=1)["token"].iloc[0]
                assert model.token_text(seen.answer) == first
                for target, nll, right in zip(asked.targets, seen.nll, seen.right, strict=True):
                    assert nll == pytest.approx(plain_nll(model, asked, target, edits), abs=2e-4)
                    assert right == says(model, [(asked.prompt, target.typed)], edits)[0]


def plain_nll(model, asked, target, edits) -> float:
    """Token after token, each in a pass of its own."""
    total = 0.0
    for i, token in enumerate(target.ids):
        with turn(model, (), gradients=False), edited(model, edits):
            hidden = model.read(model.embed(asked.ids + target.ids[:i]))
            total -= float(model.unembedding(hidden[0, -1]).float().log_softmax(-1)[token])
    return total / len(target.ids)


def test_a_target_of_one_token_needs_no_row_of_its_own(model):
    questions = questions_of(model, RECORD)
    rows = rows_of(model, questions)
    read = sorted(place for row in rows for place in row.places)
    assert read == [(i, j) for i, q in enumerate(questions) for j in range(len(q.targets))]
    assert len({row.ids for row in rows if row.places[0][0] == 0}) == len(
        [row for row in rows if row.places[0][0] == 0]
    )
    single = [q for q in questions if all(len(t.ids) == 1 for t in q.targets)]
    numbers = {questions.index(q) for q in single}
    assert sum(row.places[0][0] in numbers for row in rows) == len(single)


def test_perplexities_are_those_of_each_variant_alone(model):
    variants = variants_of(model)
    together = perplexities(model, text_ids(model, None), variants)
    assert together == perplexities(model, text_ids(model, None), variants, turn_tokens=1)
    for edits, value in zip(variants, together, strict=True):
        assert value == pytest.approx(perplexity(model, edits=edits), rel=1e-4)


def test_greedy_continuations_are_those_of_each_variant_alone(model):
    prompts = ["Obama grew up in", "The capital of France is", "Obama"]
    ids, variants = [model.encode(p) for p in prompts], variants_of(model)
    (written,) = continuations(model, [Writing(ids, variants)], length=24)
    for edits, rows in zip(variants, written, strict=True):
        for prompt, own, row in zip(prompts, ids, rows, strict=True):
            assert row[: len(own)] == own
            text = complete(model, prompt, edits=edits, max_new_tokens=24 - len(own))
            whole = model.tokenizer.decode(row[len(own) - 1 :]).removeprefix(
                model.tokenizer.decode(own[-1:])
            )
            assert whole == text


def test_sampled_texts_depend_on_the_chances_alone(model):
    ids = [model.encode(p) for p in ("Obama grew up in", "The capital of")]
    chances = torch.rand(2, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    edit = [random_edit(model, 1, 0.1)]
    whole = Writing(ids, [[], edit, []], chances)
    ((first, second, third),) = continuations(model, [whole], length=20)
    assert first == third
    assert first != second
    assert [[first]] == continuations(model, [Writing(ids, [[]], chances)], length=20)
    alone = continuations(model, [Writing(ids[1:], [[]], chances[1:])], length=20)
    assert alone == [[first[1:]]]
    beside = Writing(ids[:1], [edit, []])  # greedy, another record's, in the same passes
    for turn_tokens in (1, 48, 10_000):
        together = continuations(model, [beside, whole], length=20, turn_tokens=turn_tokens)
        assert together[1] == [first, second, third]
        assert together[:1] == continuations(model, [beside], length=20)


def test_what_is_kept_while_writing_has_a_bound(model):
    heads = model.network.config.num_attention_heads
    kept = getattr(model.network.config, "num_key_value_heads", heads)
    a_row = 2 * model.n_layers * (model.d_model // heads) * kept * 4 * 50
    assert rows_at_once(model, 50) == 2**30 // a_row


def test_a_token_is_drawn_from_the_five_best():
    logits = torch.tensor([[0.0, 9.0, 1.0, 8.0, 7.0, 6.0, 5.0]]).repeat(3, 1)
    chances = torch.tensor([0.0, 0.9999999, 1.0])
    assert chosen_tokens(logits, chances) == [1, 6, 6]
    share = math.exp(9) / sum(math.exp(v) for v in (9, 8, 7, 6, 5))
    around = torch.tensor([share - 0.01, share + 0.01, 0.5 * share])
    assert chosen_tokens(logits, around) == [1, 3, 1]


def test_a_broken_variant_does_not_spoil_the_others(model):
    broken = [random_edit(model, 4, float("1e38"))]
    questions = questions_of(model, RECORD)
    good, bad = readings(model, questions, [[], broken])
    assert good == readings(model, questions, [[]])[0]
    assert not any(all(map(math.isfinite, reading.nll)) for reading in bad)
    ids = [questions[0].ids]
    (rows,) = continuations(model, [Writing(ids, [[], broken])], length=12)
    assert rows[:1] == continuations(model, [Writing(ids, [[]])], length=12)[0]


def test_the_measures_by_hand():
    assert success(1.0, 2.0) == 1.0
    assert success(2.0, 2.0) == 0.0  # strictly
    assert magnitude(math.log(2), math.log(4)) == pytest.approx(0.25)
    assert mean([1.0, 0.0]) == 0.5
    assert math.isnan(mean([]))
