"""ROME: k maps to v exactly, the subject is found, and second moments are means of k k^T."""

import pytest
import torch

from core import Cancelled, EditError, PromptError, edit
from core.editing.rome import defaults
from core.editing.search_parts import Search
from core.editing.second_moments import (
    RIDGE,
    batches_of_text,
    cache_folder,
    estimate_seconds,
    missing_second_moments,
    second_moments,
)
from core.editing.shift_search import find_shift
from core.editing.subject_edits import balanced, contexts, observe, templates_of
from core.gradients.segments import subject_tokens
from core.model.edited import turn
from core.model.edits import Fact
from tests.conftest import random_model
from tests.core.edited_models import PROMPT, SUBJECT, TARGET, assert_untouched, random_edit, weights

LAYER = 1
SEARCH = ("steps", "lr", "kl", "decay", "clamp", "margin", "stop_below")
PLAIN = {"lr": 0.5, "decay": 0.5, "clamp": 4.0, "margin": None, "adapt": False}
FACT = Fact(PROMPT, SUBJECT, TARGET)


def key_and_value(model, edits):
    """Mean input and output of FF2 at the subject's last token."""
    templates = templates_of(model, FACT, defaults(model)["contexts"])
    with turn(model, edits, gradients=False):
        inputs, outputs = observe(model, templates, "ff2", LAYER)
    return balanced(inputs), balanced(outputs)


@pytest.mark.parametrize("target", [TARGET, "Paris and Rome"])
def test_k_maps_to_v_exactly(model, target):
    """After the edit FF2 gives the old mean output plus the shift that was found."""
    found = edit(
        model, PROMPT, target, method="rome", subject=SUBJECT, layer=LAYER, steps=6, **PLAIN
    )
    settings = {k: found.hyperparameters[k] for k in SEARCH}
    templates = templates_of(model, Fact(PROMPT, SUBJECT, target), 10)
    key, value = key_and_value(model, [])
    search = Search(**settings)
    shift = find_shift(
        model, templates, LAYER, value, search, edits=[], on_step=lambda done, total: None
    ).shift
    change = found.changes[0].weight_change
    torch.testing.assert_close(key @ change, shift, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        key_and_value(model, [found])[1], value + shift, rtol=1e-4, atol=1e-4
    )
    assert shift.norm() > 0.1
    assert shift.norm() <= search.clamp * value.norm() * 1.0001
    assert found.rank == 1
    torch.testing.assert_close(found.keys[LAYER], key[:, None])


def test_in_place_the_search_sees_the_edit_itself(model):
    """k maps to the old value and the shift; the loss of the search is that of the edited model."""
    settings = {"layer": LAYER, "contexts": 0, "kl": 0.0, "decay": 0.0, "lr": 0.2, "clamp": 50.0}
    settings |= {"margin": None, "adapt": False}
    found = edit(model, PROMPT, TARGET, method="rome", subject=SUBJECT, in_place=True, **settings)
    templates = templates_of(model, FACT, 0)
    with turn(model, [], gradients=False):
        inputs, value = observe(model, templates, "ff2", LAYER)
    with turn(model, [found], gradients=False):
        _, after = observe(model, templates, "ff2", LAYER)
    torch.testing.assert_close(after[0], value[0] + found.changes[0].v[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(inputs[0] @ found.changes[0].u[:, 0], torch.tensor(1.0))
    others = edit(model, PROMPT, TARGET, method="rome", subject=SUBJECT, **settings)
    assert chance(model, [found]) >= chance(model, [others]) > chance(model, [])


def chance(model, edits):
    with turn(model, edits, gradients=False):
        hidden = model.read(model.embed(model.encode(PROMPT)))
    return model.unembedding(hidden[0, -1]).softmax(-1)[model.target(PROMPT, TARGET).id].item()


def test_the_change_is_the_one_that_disturbs_other_keys_least(model):
    """Among all changes with the same k W, u ~ C^-1 k has the smallest E |k' W|^2."""
    found = edit(
        model, PROMPT, TARGET, method="rome", subject=SUBJECT, layer=LAYER, steps=4, adapt=False
    )
    moment = second_moments(model, [LAYER])[LAYER]
    key, _ = key_and_value(model, [])
    u = found.changes[0].u[:, 0].double()
    k = key.double()

    def disturbance(direction):
        return (direction @ moment @ direction) / (k @ direction) ** 2

    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        other = u + 0.1 * torch.randn(len(u), generator=generator).double()
        assert disturbance(u) < disturbance(other)


def test_the_shift_lowers_the_loss_of_every_token_of_the_target(model):
    fact = Fact(PROMPT, SUBJECT, "Paris and Rome")
    templates = templates_of(model, fact, 3)
    with turn(model, [], gradients=False):
        value = balanced(observe(model, templates, "ff2", LAYER)[1])
    search = Search(steps=20, lr=0.2, kl=0.0, decay=0.0, clamp=100.0)
    seen = []
    find_shift(
        model,
        templates,
        LAYER,
        value,
        search,
        edits=[],
        on_step=lambda done, total: seen.append(done),
    )
    assert 1 <= len(seen) <= 19
    free = {"layer": LAYER, "clamp": 100.0, "lr": 0.2, "contexts": 0, "kl": 0.0, "decay": 0.0}
    free |= {"margin": None, "adapt": False}
    found = edit(model, PROMPT, fact.target, method="rome", subject=SUBJECT, **free)
    assert target_loss(model, [found]) < target_loss(model, []) - 0.5


def target_loss(model, edits):
    ids = model.encode(PROMPT) + model.target(PROMPT, "Paris and Rome").ids
    with turn(model, edits, gradients=False):
        logits = model.unembedding(model.read(model.embed(ids)))[0].log_softmax(-1)
    start = len(model.encode(PROMPT))
    return -sum(logits[i - 1, ids[i]].item() for i in range(start, len(ids)))


def test_subjects_are_found_by_characters(model):
    for prompt, subject in [
        ("Obama grew up in", "Obama"),
        ("The mother tongue of Danielle Darrieux is", "Danielle Darrieux"),
        ("Ipod Nano, developed by", "Ipod Nano"),
        ("Beyoncé sings", "Beyoncé"),
        ("I like sky", "sky"),
    ]:
        ids = model.encode(prompt)
        found = subject_tokens(model, prompt, subject)
        part = model.tokenizer.decode([ids[i] for i in found])
        assert part.strip() == subject
    with pytest.raises(PromptError, match="not in the prompt"):
        subject_tokens(model, "Obama grew up in", "Trump")


def test_templates_end_alike_and_point_at_the_subject(model):
    templates = templates_of(model, FACT, 10)
    assert templates.rows[0] == model.encode(PROMPT)
    assert len(templates.rows) > 3
    assert contexts(model, 10) is contexts(model, 10)
    for row, place in zip(templates.rows, templates.places, strict=True):
        assert row[place + 1 :] == templates.rows[0][templates.places[0] + 1 :]
        assert model.tokenizer.decode(row[: place + 1]).endswith(SUBJECT)


def test_second_moments_are_the_mean_outer_product(tmp_path):
    """Against a plain loop over the same text, row by row and token by token."""
    model = random_model("llama")
    text = tmp_path / "text.txt"
    text.write_text("Obama grew up in Hawaii. Jack Dorsey founded Twitter. " * 6)
    got = second_moments(model, [2], text_file=text)[2]
    total, count = torch.zeros(model.d_mlp, model.d_mlp, dtype=torch.float64), 0
    for batch in batches_of_text(model, text, lambda: None):
        for row in batch:
            seen = []
            hook = model.modules("ff2", 2)[0].register_forward_hook(
                lambda module, inputs, output, seen=seen: seen.append(inputs[0][0])
            )
            model.network(row[None])
            hook.remove()
            for k in seen[0].double():
                total += torch.outer(k, k)
                count += 1
    expected = total / count
    expected += RIDGE * expected.diagonal().mean() * torch.eye(model.d_mlp)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_second_moments_are_kept_and_a_damaged_file_is_made_again(model, own_cache):
    calls = []
    assert missing_second_moments(model, [1, 3]) == (1, 3)
    assert estimate_seconds(model, [1, 3]) > 0
    first = second_moments(model, [1, 3], on_step=lambda *step: calls.append(step))
    assert calls[-1][0] == calls[-1][1] == 20 * model.d_mlp
    assert estimate_seconds(model, [1, 3]) == 0
    again = second_moments(model, [1, 3], on_step=lambda *step: pytest.fail("computed twice"))
    assert torch.equal(first[3], again[3])
    files = sorted(cache_folder().iterdir())
    assert len(files) == 2
    files[0].write_bytes(b"broken")
    assert torch.equal(second_moments(model, [1])[1], first[1])


def test_cancelled_second_moments_leave_nothing(model, own_cache):
    before = weights(model)

    def cancel(done, total):
        if done > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        second_moments(model, [1], on_step=cancel)
    assert missing_second_moments(model, [1]) == (1,)
    assert not list(cache_folder().rglob("*"))
    assert_untouched(model, before)


def test_cancel_in_the_middle_of_the_search(model):
    before = weights(model)
    second_moments(model, [LAYER])

    def cancel(done, total):
        if done == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        edit(model, PROMPT, TARGET, method="rome", subject=SUBJECT, layer=LAYER, on_step=cancel)
    assert_untouched(model, before)


def test_bad_requests_get_a_sentence(model, tmp_path):
    with pytest.raises(PromptError, match="ROME needs the subject"):
        edit(model, PROMPT, TARGET, method="rome")
    with pytest.raises(EditError, match="clamp is 0"):
        edit(model, PROMPT, TARGET, method="rome", subject=SUBJECT, clamp=0)
    with pytest.raises(EditError, match="cannot be read"):
        second_moments(model, [0], text_file=tmp_path / "nothing")
    (tmp_path / "latin").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(EditError, match="not in UTF-8"):
        second_moments(model, [0], text_file=tmp_path / "latin")
    (tmp_path / "empty").write_text("")
    with pytest.raises(EditError, match="empty"):
        second_moments(random_model("gpt2"), [0], text_file=tmp_path / "empty")
    with pytest.raises(PromptError, match="Shorten"):
        edit(model, "Obama " * 78 + "is", "Paris and Rome", method="rome", subject="Obama")


def test_an_active_edit_changes_key_and_value(model):
    """ROME on top of an edit below its layer reads the keys of the edited model."""
    below = random_edit(model, 2, "ff2", 0)
    found = edit(
        model, PROMPT, TARGET, method="rome", subject=SUBJECT, layer=LAYER, edits=[below], steps=4
    )
    key, value = key_and_value(model, [below])
    _, after = key_and_value(model, [below, found])
    expected = value + key @ found.changes[0].weight_change
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-4)
