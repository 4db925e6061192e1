"""The smallest rates and their perplexities, against edits made and texts read the long way."""

import math
from dataclasses import replace

import pytest
import torch

from core import Cancelled, EditError, PromptError, answers, edit, edit_strength, perplexity
from core.editing.edit_strength import STRENGTH_METHODS, text_ids
from core.model.edits import Change
from tests.conftest import random_model
from tests.core.edited_models import (
    PROMPT,
    TARGET,
    assert_untouched,
    logits_of,
    merged,
    random_edit,
    weights,
)
from tests.core.editing.test_forward_shift import likely_word

TEXT = "Obama grew up in Hawaii. Paris is the capital of France."


def by_hand(network, ids) -> float:
    losses = []
    logits = logits_of(network, ids[:-1]).double()
    for i, following in enumerate(ids[1:]):
        losses.append(float(logits[i].logsumexp(-1) - logits[i, following]))
    return math.exp(sum(losses) / len(losses))


def edit_at(model, word, method, layer, rate, edits=()):
    """The edit that core.edit makes at this rate."""
    settings = {
        "forward-shift": {"layer": layer, "eta": rate},
        "sgd": {"matrices": ("ff2",), "layers": (layer,), "lr": rate},
        "adam": {"layer": layer, "lr": rate, "steps": 1},
    }[method]
    return edit(model, PROMPT, word, method=method, edits=edits, **settings)


def lead_of(model, word, edits) -> float:
    """By how much the word leads the others, in nats."""
    top = answers(model, PROMPT, edits=edits, top_k=100)
    others = top[top["token"] != word]["logit"].max()
    own = top[top["token"] == word]["logit"]
    return -math.inf if own.empty else own.iloc[0] - others


def test_perplexity_is_the_mean_loss_of_each_token_but_the_first(model):
    ids = text_ids(model, TEXT)
    assert perplexity(model, TEXT) == pytest.approx(by_hand(model.network, ids), rel=1e-4)


def test_perplexity_of_an_edited_model_is_that_of_its_merged_weights(model):
    change = random_edit(model, 1)
    expected = by_hand(merged(model, [change]), text_ids(model, TEXT))
    assert perplexity(model, TEXT, edits=[change]) == pytest.approx(expected, rel=1e-3)


def test_a_long_text_is_read_in_windows_that_share_one_token():
    model = random_model("gpt2", context=16)
    ids = text_ids(model, TEXT * 3)
    total = count = 0
    for start in range(0, len(ids) - 1, 15):
        window = ids[start : start + 16]
        total += math.log(by_hand(model.network, window)) * (len(window) - 1)
        count += len(window) - 1
    assert count == len(ids) - 1 > 30
    assert perplexity(model, TEXT * 3) == pytest.approx(math.exp(total / count), rel=1e-4)


def test_the_bundled_text_is_the_default(model):
    assert perplexity(model) > 1
    assert len(text_ids(model, None)) > 150


@pytest.mark.parametrize("method", STRENGTH_METHODS)
def test_the_rate_is_the_smallest_that_works(model, method):
    word = likely_word(model)
    table = edit_strength(model, PROMPT, word, methods=[method], layers=[0, 2, 3], text=TEXT)
    assert table["works"].any()
    for row in table[table["works"]].itertuples():
        made = edit_at(model, word, method, row.layer, row.rate)
        assert lead_of(model, word, [made]) >= 0.049
        weaker = edit_at(model, word, method, row.layer, 0.97 * row.rate)
        assert lead_of(model, word, [weaker]) < 0.05
        expected = by_hand(merged(model, [made]), text_ids(model, TEXT))
        assert row.perplexity == pytest.approx(expected, rel=1e-3)


def test_the_table_has_a_row_for_each_method_and_layer(model):
    steps = []
    before = weights(model)
    table = edit_strength(
        model,
        PROMPT,
        likely_word(model),
        text=TEXT,
        on_step=lambda done, total: steps.append((done, total)),
    )
    cells = [(method, layer) for method in STRENGTH_METHODS for layer in range(model.n_layers)]
    assert list(zip(table["method"], table["layer"], strict=True)) == cells
    assert steps == [(i + 1, 12) for i in range(12)]
    assert table["base_perplexity"].tolist() == pytest.approx([perplexity(model, TEXT)] * 12)
    assert (table["works"] == table["rate"].notna()).all()
    assert (table["works"] == table["perplexity"].notna()).all()
    assert (table["seconds"] > 0).all()
    assert_untouched(model, before)


def test_it_stands_on_top_of_active_edits(model):
    word, active = likely_word(model), random_edit(model, 3)
    table = edit_strength(
        model, PROMPT, word, methods=["sgd"], layers=[2], text=TEXT, edits=[active]
    )
    assert table["base_perplexity"][0] == pytest.approx(perplexity(model, TEXT, edits=[active]))
    assert table["works"][0]
    made = edit_at(model, word, "sgd", 2, table["rate"][0], edits=[active])
    assert lead_of(model, word, [active, made]) >= 0.049
    bare = edit_strength(model, PROMPT, word, methods=["sgd"], layers=[2], text=TEXT)
    assert bare["rate"][0] != pytest.approx(table["rate"][0], rel=0.02)


def test_nothing_is_needed_for_what_is_the_answer_already():
    model = random_model("gpt2")
    answer = answers(model, PROMPT, top_k=1)["token"][0]
    table = edit_strength(model, PROMPT, answer, layers=[1], text=TEXT)
    assert (table["rate"] == 0).all()
    assert table["works"].all()
    assert table["perplexity"].tolist() == pytest.approx(table["base_perplexity"].tolist())


def test_no_rate_for_a_word_that_nothing_makes_likely():
    model = random_model("gpt2")
    token = model.target(PROMPT, TARGET).id
    head = model.network.lm_head
    head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    head.weight.data[token] *= 1e-6
    table = edit_strength(model, PROMPT, TARGET, methods=["forward-shift"], text=TEXT)
    assert not table["works"].any()
    assert table[["rate", "perplexity"]].isna().all(axis=None)
    assert table["base_perplexity"].notna().all()


def test_cancelling_leaves_nothing_behind(model):
    before = weights(model)

    def cancel(done, total):
        if done == 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        edit_strength(model, PROMPT, likely_word(model), text=TEXT, on_step=cancel)
    assert_untouched(model, before)
    with model.lock:  # free again
        pass


def test_the_lock_is_free_between_steps(model):
    def look(done, total):
        assert not model.lock.held

    edit_strength(model, PROMPT, likely_word(model), layers=[1], text=TEXT, on_step=look)


def test_what_does_not_fit_is_refused_before_anything_is_computed(model):
    for methods in ([], ["rome"], "sgd"):
        with pytest.raises(EditError, match="Choose one or more of: forward-shift, sgd, adam"):
            edit_strength(model, PROMPT, TARGET, methods=methods)
    with pytest.raises(EditError, match="Layer 9 does not exist"):
        edit_strength(model, PROMPT, TARGET, layers=[9])
    with pytest.raises(EditError, match="No layer is chosen"):
        edit_strength(model, PROMPT, TARGET, layers=[])
    with pytest.raises(PromptError, match="prompt is empty"):
        edit_strength(model, "", TARGET)
    with pytest.raises(PromptError, match="target is empty"):
        edit_strength(model, PROMPT, "")
    with pytest.raises(PromptError, match="text for the perplexity is empty"):
        perplexity(model, "")
    odd = replace(random_edit(model, 1), changes=(Change("ff2", 1, u=torch.ones(3, 1)),))
    with pytest.raises(EditError):
        perplexity(model, TEXT, edits=[replace(odd, model_fingerprint="another")])


def test_a_text_of_one_token_has_no_perplexity():
    with pytest.raises(PromptError, match="needs at least 2"):
        perplexity(random_model("gpt2"), "a")
