"""Helpers of the editing tests: a dense reference, and edits of any size."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from core import Change, Edit, Fact, LanguageModel, fingerprint
from core.model.architectures import weight_in_out
from core.model.edits import matrix_shape

PROMPT, SUBJECT, TARGET = "Obama grew up in", "Obama", "Paris"
# Hyperparameters under which each method changes a random model, whose words no edit can choose.
SETTINGS = {
    "forward-shift": {"eta": 0.3},
    "sgd": {"lr": 0.01},
    "adam": {"lr": 0.01, "steps": 5},
    "rome": {"layer": 1, "steps": 5},
    "memit": {"layers": (1, 2), "steps": 5},
    "emmet": {"layer": 1, "steps": 5},
    "mend": {"scale": 1e-3},  # with the random network of tests.core.mend_networks
}
OTHER_PROMPT = "The capital of France is"


def logits_of(network: torch.nn.Module, ids: tuple[int, ...]) -> Tensor:
    """(token, vocabulary), without anything of core."""
    with torch.no_grad():
        return network(torch.tensor([ids])).logits[0]


def merged(model: LanguageModel, edits: list[Edit]) -> torch.nn.Module:
    """The dense reference: a copy of the network with each change added to its weight."""
    copied = LanguageModel(copy.deepcopy(model.network), model.tokenizer)
    for edit in edits:
        for change in edit.changes:
            delta, first = change.weight_change, 0
            for module in copied.modules(change.matrix, change.layer):
                weight = weight_in_out(module)
                weight.data += delta[:, first : first + weight.shape[1]]
                first += weight.shape[1]
    return copied.network


def random_edit(
    model: LanguageModel, seed: int, matrix: str = "ff2", layer: int = 1, dense: bool = False
) -> Edit:
    """A change large enough to move every logit."""
    generator = torch.Generator().manual_seed(seed)
    d_in, d_out = matrix_shape(model, matrix, layer)
    if dense:
        parts = {"dense": 0.05 * torch.randn(d_in, d_out, generator=generator)}
    else:
        parts = {
            "u": 0.2 * torch.randn(d_in, 2, generator=generator),
            "v": 0.2 * torch.randn(d_out, 2, generator=generator),
        }
    return Edit(
        name=f"random {seed}",
        changes=(Change(matrix, layer, **parts),),
        method="forward-shift",
        hyperparameters={"layer": layer, "eta": 0.5},
        facts=(Fact(PROMPT, SUBJECT, TARGET),),
        model_name=model.name,
        model_fingerprint=fingerprint(model),
        seconds=0.1,
    )


def weights(model: LanguageModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def assert_untouched(model: LanguageModel, before: dict[str, Tensor]) -> None:
    """The same bits in every weight, no gradient and no hook."""
    after = model.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None and not p.requires_grad for p in model.network.parameters())
    for module in model.network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
