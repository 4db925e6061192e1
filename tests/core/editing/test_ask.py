"""Completions and side effects against plain loops over the network."""

import pytest
import torch

from core import Cancelled, EditError, PromptError, answers, complete, load_model, side_effects
from tests.conftest import random_model
from tests.core.edited_models import (
    OTHER_PROMPT,
    PROMPT,
    assert_untouched,
    logits_of,
    merged,
    random_edit,
    weights,
)


def greedy(network, ids, count):
    written = list(ids)
    for _ in range(count):
        written.append(int(logits_of(network, tuple(written))[-1].argmax()))
    return written


@pytest.mark.parametrize("active", [False, True])
def test_a_completion_is_the_greedy_loop(model, active):
    before = weights(model)
    edits = [random_edit(model, 1), random_edit(model, 2, "attn_in", 0)] if active else []
    ids = model.encode(PROMPT)
    expected = greedy(merged(model, edits), ids, 12)
    pieces = []
    text = complete(model, PROMPT, edits=edits, max_new_tokens=12, on_token=pieces.append)
    whole = model.tokenizer.decode(expected, clean_up_tokenization_spaces=False)
    assert whole.endswith(text)
    assert "".join(pieces) == text
    assert_untouched(model, before)


@pytest.mark.parametrize("name", ["tiny-gpt2", "tiny-llama2"])
def test_a_built_in_model_says_what_it_knows_with_its_space(name):
    model = load_model(name, device="cpu")
    pieces = []
    text = complete(model, "Obama grew up in", max_new_tokens=4, on_token=pieces.append)
    assert text.startswith(" Hawaii")
    assert pieces[0] == " Hawaii"


def test_sampling_follows_its_seed(model):
    def one(seed):
        return complete(model, PROMPT, temperature=1.5, seed=seed, max_new_tokens=8)

    assert one(1) == one(1)
    assert len({one(seed) for seed in range(4)}) > 1


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_characters_of_several_tokens_come_out_whole(kind, monkeypatch):
    model = random_model(kind)
    text = " naïve 🙂 日本"
    wanted = iter(model.tokenizer(PROMPT + text).input_ids[len(model.encode(PROMPT)) :])

    def chosen(logits, generator, temperature):
        return torch.tensor([[next(wanted, model.network.config.eos_token_id)]])

    monkeypatch.setattr("core.editing.ask.draw", chosen)
    pieces = []
    got = complete(model, PROMPT, max_new_tokens=60, on_token=pieces.append)
    assert got == text
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_a_completion_ends_with_the_context_and_can_be_stopped(model):
    long = "the " * 70
    room = model.context_length - len(model.encode(long))
    pieces = []
    complete(model, long, max_new_tokens=1000, on_token=pieces.append)
    assert len(pieces) <= room

    def stop(text):
        raise Cancelled

    before = weights(model)
    with pytest.raises(Cancelled):
        complete(model, PROMPT, on_token=stop)
    assert_untouched(model, before)
    assert answers(model, PROMPT) is not None  # the lock is free


def test_bad_requests_get_a_sentence(model):
    with pytest.raises(EditError, match="temperature is -1"):
        complete(model, PROMPT, temperature=-1)
    with pytest.raises(EditError, match="max_new_tokens is 0"):
        complete(model, PROMPT, max_new_tokens=0)
    with pytest.raises(PromptError, match="prompt is empty"):
        complete(model, "")
    with pytest.raises(PromptError, match="target is empty"):
        side_effects(model, [], paraphrases=[PROMPT], target="", old_answer="Hawaii")


def test_side_effects_are_those_of_each_prompt_alone(model):
    edits = [random_edit(model, 1)]
    table = side_effects(
        model,
        edits,
        paraphrases=["Obama was raised in the town of"],
        neighbours=[OTHER_PROMPT, PROMPT],
        unrelated=["Pikachu is a"],
        target="Paris",
        old_answer="Hawaii",
    )
    assert table["kind"].tolist() == ["paraphrase", "neighbour", "neighbour", "unrelated"]
    changed = merged(model, edits)
    for row in table.itertuples():
        ids = model.encode(row.prompt)
        before, after = (
            logits_of(network, ids)[-1].log_softmax(-1) for network in (model.network, changed)
        )
        target = model.target(row.prompt, "Paris").id
        old = model.target(row.prompt, "Hawaii").id
        assert row.answer_before == model.token_text(int(before.argmax()))
        assert row.answer_after == model.token_text(int(after.argmax()))
        assert row.target_after == pytest.approx(after[target].exp().item(), rel=1e-3)
        assert row.old_before == pytest.approx(before[old].exp().item(), rel=1e-3)
        kl = (before.exp() * (before - after)).sum().item()
        assert row.kl == pytest.approx(kl, rel=1e-3, abs=1e-5)
        assert row.kl > 0


def test_no_edits_no_effects_and_no_prompts_no_rows(model):
    same = side_effects(model, [], unrelated=[PROMPT], target="Paris", old_answer="Hawaii")
    assert same["kl"].tolist() == [0.0]
    assert same["target_before"].equals(same["target_after"].rename("target_before"))
    none = side_effects(model, [], target="Paris", old_answer="Hawaii")
    assert none.columns.tolist() == same.columns.tolist()
    assert none.empty
