"""Forward pass shift: its formula, and "auto"."""

import pytest
import torch

from core import EditError, answers, edit
from core.model.capture import capture, exclusive
from core.model.edited import turn
from tests.conftest import random_model
from tests.core.edited_models import PROMPT, TARGET


def ff2_of(model, edits, layer):
    """Input and output of FF2 at the last token."""
    with turn(model, edits, gradients=False), capture(model, ("ff2",)) as seen:
        model.read(model.embed(model.encode(PROMPT)))
    return seen["ff2", layer].x[0, -1], seen["ff2", layer].outputs[0][0, -1]


def likely_word(model) -> str:
    """A word of one token that is likely after the prompt, but not the answer."""
    candidates = answers(model, PROMPT, top_k=60)["token"].iloc[1:]
    return next(w for w in candidates if w[0] == " " and model.target(PROMPT, w).tokens == (w,))


def test_the_direct_logit_rises_by_eta_x2_d2(model):
    eta, layer = 0.3, 2
    shift = edit(model, PROMPT, TARGET, method="forward-shift", layer=layer, eta=eta)
    row = model.unembedding.weight[model.target(PROMPT, TARGET).id]
    x, before = ff2_of(model, [], layer)
    _, after = ff2_of(model, [shift], layer)
    expected = eta * x.square().sum() * row.square().sum()
    torch.testing.assert_close((after - before) @ row, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(shift.changes[0].weight_change, eta * torch.outer(x, row))
    assert shift.rank == 1


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_auto_is_the_smallest_eta_that_works(model, layer):
    word = likely_word(model)
    found = edit(model, PROMPT, word, method="forward-shift", layer=layer, eta="auto")
    eta = found.hyperparameters["eta"]
    assert eta > 0
    assert answers(model, PROMPT, edits=[found], top_k=1)["token"].tolist() == [word]
    weaker = edit(model, PROMPT, word, method="forward-shift", layer=layer, eta=0.9 * eta)
    top = answers(model, PROMPT, edits=[weaker], top_k=2)
    lead = top["logit"][0] - top["logit"][1]
    assert top["token"][0] != word or lead < 0.05


def test_auto_takes_few_passes_of_the_layers_above(model, monkeypatch):
    word = likely_word(model)
    passes = [0] * model.n_layers
    for i, block in enumerate(model.blocks):
        original = block.forward

        def counted(*args, _original=original, _i=i, **kwargs):
            passes[_i] += 1
            return _original(*args, **kwargs)

        monkeypatch.setattr(block, "forward", counted)
    edit(model, PROMPT, word, method="forward-shift", layer=1, eta="auto")
    assert passes[:2] == [1, 1]
    assert passes[2] == passes[3] <= 4


def test_auto_for_an_answer_that_is_there_already_is_no_change(model):
    word = likely_word(model)
    first = edit(model, PROMPT, word, method="forward-shift")
    second = edit(model, PROMPT, word, method="forward-shift", edits=[first])
    assert first.hyperparameters["eta"] > 0
    assert second.hyperparameters["eta"] == 0
    assert not second.changes[0].weight_change.any()


def test_auto_that_finds_nothing_says_so():
    model = random_model("gpt2")
    row = model.target(PROMPT, TARGET).id
    with exclusive(model, gradients=False):
        model.network.lm_head.weight = torch.nn.Parameter(
            model.network.lm_head.weight.clone(), requires_grad=False
        )
        model.network.lm_head.weight[row] *= 1e-6  # a token that nothing can make likely
    with pytest.raises(EditError, match="No eta makes 'Paris' the answer through layer 3"):
        edit(model, PROMPT, TARGET, method="forward-shift", layer=3, eta="auto")
