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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from core.editing.calibrated import calibrated_settings
from core.editing.hyperparameters import (
    AUTO,
    check_layers,
    check_number,
    check_whole,
    known_settings,
    relative_layer,
)
from core.editing.penalty import factors
from core.editing.search_parts import Asked, Search
from core.editing.shift_search import find_shift
from core.editing.subject_edits import (
    Lead,
    Templates,
    at_last_token,
    balanced,
    first_token_only,
    lead_after,
    observe,
    templates_of,
)
from core.errors import EditError
from core.model.edited import turn
from core.model.edits import Change, Edit, Fact
from core.model.language_model import LanguageModel

DEPTH = 0.35  # GPT-2 XL's layer 17 of 48
TOKENS = ("subject", "last")  # whose key is changed: the subject's last token, the prompt's last
# For models that nobody tuned: steps and their limit follow the residual stream's norm, the search
# stops where the target is the answer, and what did not work is tried in another way.
GENERAL = {
    "steps": 60,
    "lr": AUTO,
    "kl": 0.0625,
    "decay": 0.0,
    "clamp": AUTO,
    "margin": 6.0,  # less is enough for the prompt, not for its paraphrases
    "stop_below": 0.05,
    "contexts": 10,
    "in_place": False,
    "token": "subject",
    "adapt": True,
    "text_file": None,
}
PAPER = {
    "steps": 20,
    "lr": 0.5,
    "decay": 0.5,
    "clamp": 4.0,
    "margin": None,
    "adapt": False,
}
PUBLISHED = {
    "gpt2": PAPER | {"layer": 5},
    "gpt2-medium": PAPER | {"layer": 8, "clamp": 3.0},
    "gpt2-large": PAPER | {"layer": 12},
    "gpt2-xl": PAPER | {"layer": 17},
    "meta-llama/Llama-2-7b-hf": PAPER | {"layer": 5, "steps": 25, "decay": 1e-3},
}
_SMALL = {
    "layer": 0,
    "steps": 40,
    "lr": 0.2,
    "kl": 0.0,  # "<subject> is a" has no one continuation in so small a world
    "decay": 0.0,
    "clamp": 4.0,
    "margin": None,
    "contexts": 4,
    "in_place": True,
}
# SmolLM2: layers 3 to 21 tried on records that it is not judged by; of 32, 12, 14, 16, 18 and 20.
MEASURED = {
    "tiny-gpt2": _SMALL,
    "tiny-llama2": _SMALL,
    "smollm2-135m": {"layer": 18},
}


def defaults(model: LanguageModel) -> dict[str, object]:
    """Published for the catalogue's models, measured (data/editing/), or the calibration's."""
    general = {"layer": relative_layer(model, DEPTH)} | GENERAL
    known = known_settings(model, PUBLISHED | MEASURED)
    return general | known | calibrated_settings(model, "rome")


def rome(
    model: LanguageModel,
    facts: Sequence[Fact],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    layer: int,
    contexts: int,
    in_place: bool,
    token: str,
    adapt: bool,
    text_file: str | Path | None,
    **search: float,
) -> tuple[tuple[Change, ...], dict[str, object], dict[int, Tensor]]:
    """One change of rank 1 of one FF2, the settings used and the key that they found.

    Steps are reported for the second moments first (tokens), where they are missing, then for the
    search of the value. Key and value are read on the edited model, second moments on the bare one.
    With `adapt` the change is tried out, and where the bare prompt does not say the target the
    search goes on in place, then at the prompt's last token, then for the target's first token
    alone; what was used is among the hyperparameters.
    """
    (fact,) = facts
    check_layers(model, [layer])
    check_search(search, contexts)
    check_token(token)
    templates = templates_of(model, fact, contexts)
    (factor,) = factors(model, [layer], text_file=text_file, on_step=on_step).values()
    best: Attempt | None = None
    for group, place, whole in attempts(templates, token, in_place, adapt):
        if best and best.lead.meets(group.goal):
            break
        change, key, used_search = change_for(
            model, group, layer, factor, place, whole, Search(**search), edits, on_step
        )
        lead = lead_after(model, templates, edits, [change])
        if best is None or lead.rank > best.lead.rank:
            best = Attempt(change, key, lead, place, whole, used_search)
    used = {
        "layer": best.change.layer,
        "contexts": contexts,
        "in_place": best.in_place,
        "token": best.token,
        "adapt": adapt,
        "text_file": text_file and str(text_file),
    }
    return (best.change,), used | asdict(best.search), {layer: best.key[:, None]}


@dataclass(frozen=True)
class Attempt:
    """A change, its key (d_mlp,), how the target stands after it, and its settings."""

    change: Change
    key: Tensor
    lead: Lead
    token: str
    in_place: bool
    search: Search


def attempts(
    templates: Templates, token: str, in_place: bool, adapt: bool
) -> Iterator[tuple[Templates, str, bool]]:
    """What is tried, one after the other: (templates, token, in_place)."""
    asked = (token, in_place)
    others = [(token, True), ("last", False), ("last", True)] if adapt else []
    goals = [templates, first_token_only(templates)] if adapt else [templates]
    for group in goals:
        for ways in dict.fromkeys([asked, *others]):
            yield group, *ways


def change_for(
    model: LanguageModel,
    templates: Templates,
    layer: int,
    factor: Tensor,
    token: str,
    in_place: bool,
    search: Search,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
) -> tuple[Change, Tensor, Search]:
    """One way's change, its key (d_mlp,), and the numbers that its search took."""
    templates, search = placed(templates, search, token)
    with turn(model, edits, gradients=False):
        inputs, outputs = observe(model, templates, "ff2", layer)
    value, key = balanced(outputs), balanced(inputs).cpu()
    u = direction(factor, key)
    found = find_shift(
        model,
        templates,
        layer,
        value,
        search,
        edits=edits,
        on_step=on_step,
        direction=u if in_place else None,
    )
    change = Change("ff2", layer, u=u[:, None], v=found.shift.cpu()[:, None])
    return change, key, found.search


def placed(templates: Templates, search: Search, token: str) -> tuple[Templates, Search]:
    """Templates whose key is that token's, and their search: the last one has no essence."""
    if token == "subject":
        return templates, search
    return at_last_token(templates), replace(search, kl=0.0)


def first_search(model: LanguageModel, fact: Fact, settings: dict[str, object]) -> Asked | None:
    """What `rome` searches first with these settings on the unedited model; None where no other
    method can search the same. Raises what `rome` raises for a fact or settings that do not fit."""
    if settings["in_place"]:
        return None
    check_layers(model, [settings["layer"]])
    check_search(settings, settings["contexts"])
    check_token(settings["token"])
    search = Search(**{field.name: settings[field.name] for field in fields(Search)})
    templates = templates_of(model, fact, settings["contexts"])
    templates, search = placed(templates, search, settings["token"])
    with turn(model, (), gradients=False):
        outputs = observe(model, templates, "ff2", settings["layer"])[1]
    return Asked(templates, settings["layer"], balanced(outputs), search)


def direction(factor: Tensor, key: Tensor) -> Tensor:
    """u ~ C^-1 k with k u = 1 for the average key k, C by its Cholesky factor: (d_mlp,)."""
    k = key.double()
    u = torch.cholesky_solve(k[:, None], factor)[:, 0]
    return (u / (k @ u)).float()


def check_search(search: dict[str, float], contexts: int) -> None:
    check_whole("steps", search["steps"], 2, 100)
    check_whole("contexts", contexts, 0, 50)
    for name, low, high in (("lr", 0, 1e3), ("clamp", 1e-3, 1e4)):
        if search[name] != AUTO:
            check_number(name, search[name], low, high)
    for name in ("kl", "decay", "stop_below"):
        check_number(name, search[name], 0, 100)
    if search["margin"] is not None:
        check_number("margin", search["margin"], 0, 100)


def check_token(token: str) -> None:
    if token not in TOKENS:
        raise EditError(f"token is {token!r}; choose one of: {', '.join(TOKENS)}.")
