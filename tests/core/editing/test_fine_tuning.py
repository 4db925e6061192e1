"""Fine-tuning runs what lies below its layer once; its steps are those of whole passes."""

import pytest
import torch

from core import edit
from core.model.architectures import weight_in_out
from core.model.edited import turn
from core.model.forcing import forced_ids
from tests.core.edited_models import PROMPT, TARGET, merged, random_edit


@pytest.mark.parametrize("target", [TARGET, "Paris and Rome"])
@pytest.mark.parametrize("edits", [0, 1])
def test_its_first_steps_are_adams_on_a_copy(model, target, edits):
    """torch's own optimizer on the weight of a network with the active edit merged into it."""
    active = [random_edit(model, 3, "ff1", 0)][:edits]
    asked = {"method": "adam", "layer": 2, "lr": 1e-3, "steps": 3, "stop_below": 0.0}
    found = edit(model, PROMPT, target, edits=active, elsewhere=False, **asked)
    copy = type(model)(merged(model, active), model.tokenizer)
    ids, goal = copy.encode(PROMPT), copy.target(PROMPT, target)
    weight = weight_in_out(copy.modules("ff2", 2)[0])
    start = weight.detach().clone()
    (parameter,) = [p for n, p in copy.modules("ff2", 2)[0].named_parameters() if n == "weight"]
    parameter.requires_grad_()
    optimizer = torch.optim.Adam([parameter], lr=1e-3)
    for _ in range(3):
        row = torch.tensor([forced_ids(copy, ids, goal)])
        logits = copy.network(input_ids=row).logits[0, len(ids) - 1 :]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(goal.ids))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    wanted = weight_in_out(copy.modules("ff2", 2)[0]).detach() - start
    got = found.changes[0].weight_change
    # Adam's first step is lr times the gradient's sign: of entries near zero either may come.
    same = (got - wanted).abs() < 1e-4
    assert same.float().mean() > 0.98
    assert got.abs().max() > 1e-3


def test_the_layers_below_are_run_once(model):
    seen = []
    hook = model.blocks[0].register_forward_hook(lambda *_: seen.append(1))
    asked = {"method": "adam", "layer": 3, "lr": 1e-3, "steps": 5, "stop_below": 0.0}
    edit(model, PROMPT, TARGET, elsewhere=False, **asked)
    hook.remove()
    assert len(seen) == 2  # and once to see whether the target is the answer


def test_an_edit_below_is_on_all_the_time(model):
    """What lies below is the edited model's, not the bare one's."""
    active = [random_edit(model, 3, "ff2", 0)]
    asked = {"method": "adam", "layer": 3, "lr": 1e-3, "steps": 5, "stop_below": 0.0}
    alone = edit(model, PROMPT, TARGET, elsewhere=False, **asked).changes[0].weight_change
    found = edit(model, PROMPT, TARGET, edits=active, elsewhere=False, **asked)
    assert (found.changes[0].weight_change - alone).norm() > 0.1 * alone.norm()

    def loss(edits):
        with turn(model, edits, gradients=False):
            hidden = model.read(model.embed(model.encode(PROMPT)))
            logits = model.unembedding(hidden[0, -1])
        return -logits.log_softmax(-1)[model.target(PROMPT, TARGET).id]

    assert loss([*active, found]) < loss(active)
