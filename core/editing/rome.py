"""ROME: one fact in one FF2, as a key and a value (Meng et al. 2022).

The key k is FF2's input at the subject's last token, averaged over contexts; the value v is its
output there plus the shift that makes the model say the target. The change of rank 1 that sends k
to v and disturbs other keys least is u r^T with u ~ C^-1 k and r = (v - (k W + b)) / (k u). The
same average k stands in all places, so that k maps to v exactly.

The reference searches the shift at the subject's last token alone; other tokens then get their part
of the change, too, which in small models can undo it. With `in_place` the change of rank 1 itself
is on the model during the search.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from core.editing.hyperparameters import (
    check_layers,
    check_number,
    check_whole,
    known_settings,
    relative_layer,
)
from core.editing.second_moments import second_moments
from core.editing.subject_edits import Search, balanced, find_shift, observe, templates_of
from core.model.edited import changed, turn
from core.model.edits import Change, Edit, Fact
from core.model.language_model import LanguageModel

DEPTH = 0.35  # GPT-2 XL's layer 17 of 48
GENERAL = {
    "steps": 20,
    "lr": 0.5,
    "kl": 0.0625,
    "decay": 0.5,
    "clamp": 4.0,
    "contexts": 10,
    "in_place": False,
    "text_file": None,
}
PUBLISHED = {
    "gpt2": {"layer": 5},
    "gpt2-medium": {"layer": 8, "clamp": 3.0},
    "gpt2-large": {"layer": 12},
    "gpt2-xl": {"layer": 17},
    "meta-llama/Llama-2-7b-hf": {"layer": 5, "steps": 25, "decay": 1e-3},
}
_SMALL = {
    "layer": 0,
    "steps": 40,
    "lr": 0.2,
    "kl": 0.0,  # "<subject> is a" has no one continuation in so small a world
    "decay": 0.0,
    "contexts": 4,
    "in_place": True,
}
MEASURED = {"tiny-gpt2": _SMALL, "tiny-llama2": _SMALL}


def defaults(model: LanguageModel) -> dict[str, object]:
    """Published for the catalogue's models, measured for the built-in ones (data/editing/)."""
    general = {"layer": relative_layer(model, DEPTH)} | GENERAL
    return general | known_settings(model, PUBLISHED | MEASURED)


def rome(
    model: LanguageModel,
    facts: Sequence[Fact],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    layer: int,
    contexts: int,
    in_place: bool,
    text_file: str | Path | None,
    **search: float,
) -> tuple[tuple[Change, ...], dict[str, object]]:
    """One change of rank 1 of one FF2.

    Steps are reported for the second moments first (tokens), where they are missing, then for the
    search of the value. Key and value are read on the edited model, second moments on the bare one.
    """
    (fact,) = facts
    check_layers(model, [layer])
    check_search(search, contexts)
    templates = templates_of(model, fact, contexts)
    moments = second_moments(model, [layer], text_file=text_file, on_step=on_step)
    with turn(model, edits, gradients=False):
        inputs, outputs = observe(model, templates, "ff2", layer)
    key, value = balanced(inputs), balanced(outputs)
    k = key.double().cpu()
    u = torch.linalg.solve(moments[layer], k)
    u = (u / (k @ u)).float()[:, None]  # now k u = 1
    done = iter(range(1, search["steps"] + 1))
    shift = find_shift(
        model,
        templates,
        "ff2",
        layer,
        value,
        Search(**search),
        edits=edits,
        on_step=lambda: on_step(next(done), search["steps"]),
        adding=(lambda v: changed(model, [rank_1(layer, u, v)])) if in_place else None,
    )
    change = rank_1(layer, u, shift.cpu())
    used = {
        "layer": layer,
        "contexts": contexts,
        "in_place": in_place,
        "text_file": text_file and str(text_file),
    }
    return (change,), used | search


def rank_1(layer: int, u: Tensor, v: Tensor) -> Change:
    return Change("ff2", layer, u=u, v=v[:, None])


def check_search(search: dict[str, float], contexts: int) -> None:
    check_whole("steps", search["steps"], 2, 100)
    check_whole("contexts", contexts, 0, 50)
    check_number("lr", search["lr"], 0, 10)
    for name in ("kl", "decay"):
        check_number(name, search[name], 0, 100)
    check_number("clamp", search["clamp"], 1e-3, 100)
