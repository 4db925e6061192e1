"""Swapping a cell: against plain hooks, and the identities that must hold exactly."""

import math

import pytest
import torch

from core import (
    PromptError,
    answers,
    edit,
    forward_lens,
    load_model,
    reach,
    reaches_the_answer,
    swap,
    trace,
)
from core.gradients.swap import run_above
from core.gradients.trace import residual_stream
from core.model.capture import capture
from core.model.edited import turn
from tests.conftest import PROMPT, TARGET

SOURCE = "Messi was born in the city of"
PLACES = [(0, 0), (0, 4), (1, 2), (2, 1), (3, 0), (3, -1)]  # layer, position


def hooked(model, ids, layer, position, vector, edits=()):
    """The residual stream (layer, token, d_model) and the last logits of a whole plain pass in
    which a hook of its own puts the vector in."""

    def put(_, inputs, output):
        first = (output if isinstance(output, torch.Tensor) else output[0]).clone()
        first[0, position] = vector
        return first if isinstance(output, torch.Tensor) else (first, *output[1:])

    with turn(model, edits, gradients=False):
        hook = model.blocks[layer].register_forward_hook(put)
        try:
            with capture(model, ("block",)) as seen:
                hidden = model.read(model.embed(ids))
        finally:
            hook.remove()
        logits = model.unembedding(hidden[0, -1]).float()
    states = [seen["block", i].outputs[0][0] for i in range(model.n_layers)]
    return torch.stack(states), logits


@pytest.mark.parametrize(("layer", "position"), PLACES)
def test_it_is_what_a_plain_hook_does(model, layer, position):
    ids, source_ids = model.encode(PROMPT), model.encode(SOURCE)
    position %= len(ids)
    before = residual_stream(model, ids)
    source = residual_stream(model, source_ids)
    seen = swap(
        model,
        PROMPT,
        layer=layer,
        position=position,
        source_prompt=SOURCE,
        source_layer=2,
        source_position=3,
        target=TARGET,
        top_k=7,
    )
    states, logits = hooked(model, ids, layer, position, source[2, 3])
    best = logits.softmax(-1).topk(7)
    after = seen.answers_of("after")
    assert after["token"].tolist() == [model.token_text(int(i)) for i in best.indices]
    assert after["probability"].tolist() == pytest.approx(best.values.tolist(), rel=1e-5)
    goal = model.target(PROMPT, TARGET).id
    assert seen.target_probability[1] == pytest.approx(float(logits.softmax(-1)[goal]), rel=1e-5)
    assert seen.target_rank[1] == int((logits > logits[goal]).sum())
    gaps = (states - before).norm(dim=-1) / before.norm(dim=-1)
    assert seen.moved["change"].tolist() == pytest.approx(gaps.flatten().tolist(), rel=1e-4)
    assert seen.moved["change"].max() > 0.01
    assert (seen.token, seen.source_token) == (
        model.token_text(ids[position]),
        model.token_text(source_ids[3]),
    )
    for run, text in (("before", PROMPT), ("source", SOURCE)):
        assert seen.answers_of(run).equals(answers(model, text, top_k=7))


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(("layer", "position"), PLACES)
def test_a_cell_swapped_with_itself_changes_nothing_at_all(model, layer, position, traced):
    if traced:  # the remembered residual stream is then that of a pass with gradients
        trace(model, PROMPT, TARGET)
    position %= len(model.encode(PROMPT))
    seen = swap(
        model,
        PROMPT,
        layer=layer,
        position=position,
        source_prompt=PROMPT,
        source_position=position,
        target=TARGET,
    )
    assert (seen.moved["change"] == 0).all()
    assert seen.answers_of("after").equals(seen.answers_of("before"))
    assert seen.target_probability[0] == seen.target_probability[1]
    assert not seen.answer_changes


def test_the_last_cell_of_all_is_the_whole_answer(model):
    last = len(model.encode(PROMPT)) - 1
    seen = swap(
        model, PROMPT, layer=model.n_layers - 1, position=last, source_prompt=SOURCE, target=TARGET
    )
    assert seen.answers_of("after").equals(answers(model, SOURCE, top_k=5))
    assert (seen.moved["change"] > 0).sum() == 1


@pytest.mark.parametrize(("layer", "position"), PLACES)
def test_what_it_cannot_reach_stays_bit_for_bit(model, layer, position):
    ids = model.encode(PROMPT)
    position %= len(ids)
    with turn(model, (), gradients=False), capture(model, ("block",)) as plain:
        model.read(model.embed(ids))
    before = torch.stack([plain["block", i].outputs[0][0] for i in range(model.n_layers)])
    vector = residual_stream(model, model.encode(SOURCE))[layer, -1]
    states, _ = hooked(model, ids, layer, position, vector)
    state = before[layer].clone()
    state[position] = vector
    with turn(model, (), gradients=False):
        above = run_above(model, ids, layer, state)
    reached = reach(model.n_layers, len(ids), layer, position)["reached"].tolist()
    reached = torch.tensor(reached).view(model.n_layers, len(ids))
    assert torch.equal(states[~reached], before[~reached])
    assert torch.equal(above[~reached[layer:]], before[layer:][~reached[layer:]])
    seen = swap(model, PROMPT, layer=layer, position=position, source_prompt=SOURCE)
    assert seen.moved["reached"].tolist() == reached.flatten().tolist()
    assert (seen.moved.loc[~seen.moved["reached"], "change"] == 0).all()
    assert (seen.moved.loc[seen.moved["reached"], "change"] > 0).all()


def test_the_cone_by_hand():
    table = reach(3, 4, 1, 2)
    cells = set(table.loc[table["reached"], ["layer", "position"]].itertuples(index=False))
    assert {tuple(cell) for cell in cells} == {(1, 2), (2, 2), (2, 3)}
    assert len(table) == 12
    assert not reaches_the_answer(3, 4, 2, 2)
    assert reaches_the_answer(3, 4, 2, 3)
    assert reaches_the_answer(3, 4, 1, 0)


def test_no_signal_comes_from_cells_that_cannot_reach_the_answer(model):
    run = trace(model, PROMPT, TARGET)
    for name in ("block", "ff1", "ff2"):
        norms = run.matrix(name).delta.norm(dim=-1)
        for layer in range(model.n_layers):
            for position in range(run.prompt_length):
                reaches = reaches_the_answer(model.n_layers, run.prompt_length, layer, position)
                assert bool(norms[layer, position] > 0) == reaches


def test_a_single_word_is_a_source(model):
    seen = swap(model, PROMPT, layer=0, position=1, source_prompt="Messi")
    assert seen.source_position == len(model.encode("Messi")) - 1
    assert seen.target is None
    assert math.isnan(seen.target_probability[0])
    assert seen.target_rank == (None, None)
    assert len(seen.answers) == 15


def test_with_edits_on_it_is_the_edited_model(model):
    new = edit(model, PROMPT, TARGET, method="forward-shift", layer=1, eta=0.5)
    plain = swap(model, PROMPT, layer=2, position=2, source_prompt=SOURCE, target=TARGET)
    seen = swap(
        model, PROMPT, layer=2, position=2, source_prompt=SOURCE, target=TARGET, edits=[new]
    )
    assert seen.answers_of("before").equals(answers(model, PROMPT, edits=[new], top_k=5))
    source = residual_stream(model, model.encode(SOURCE), [new])
    _, logits = hooked(model, model.encode(PROMPT), 2, 2, source[2, -1], [new])
    values = logits.topk(5).values.tolist()
    assert seen.answers_of("after")["logit"].tolist() == pytest.approx(values, rel=1e-5)
    assert seen.target_probability != plain.target_probability
    assert plain.answers_of("before").equals(answers(model, PROMPT, top_k=5))


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", ["tiny-gpt2", "tiny-llama2"])
def test_compact_models_can_be_swapped_too(name, kind):
    model = load_model(name, dtype=kind)
    ids = model.encode(PROMPT)
    seen = swap(model, PROMPT, layer=3, position=2, source_prompt=SOURCE, top_k=3)
    vector = residual_stream(model, model.encode(SOURCE))[3, -1]
    _, logits = hooked(model, ids, 3, 2, vector)
    values = logits.topk(3).values.tolist()
    assert seen.answers_of("after")["logit"].tolist() == pytest.approx(values, rel=1e-3)
    assert (seen.moved.loc[~seen.moved["reached"], "change"] == 0).all()
    same = swap(model, PROMPT, layer=3, position=2, source_prompt=PROMPT, source_position=2)
    assert (same.moved["change"] == 0).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layer": 4}, "The model has no layer 4. Choose one from 0 to 3."),
        ({"layer": -1}, "no layer -1"),
        ({"layer": True}, "no layer True"),
        ({"source_layer": 9}, "no layer 9"),
        ({"position": 99}, "The prompt has no token at position 99. Choose one from 0 to"),
        ({"source_position": 99}, "The source prompt has no token at position 99"),
        ({"source_prompt": "  "}, "only spaces"),
        ({"top_k": 0}, "top_k is 0"),
    ],
)
def test_what_does_not_exist_is_said_in_a_sentence(model, wrong, message):
    given = {"layer": 1, "position": 1, "source_prompt": SOURCE} | wrong
    with pytest.raises(PromptError, match=message):
        swap(model, PROMPT, **given)


def test_it_leaves_no_hook_and_no_trace(model):
    table = forward_lens(model, PROMPT)
    swap(model, PROMPT, layer=1, position=1, source_prompt=SOURCE)
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in model.network.modules()
    )
    assert forward_lens(model, PROMPT).equals(table)
