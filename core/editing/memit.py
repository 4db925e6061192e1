"""MEMIT: many facts at once, spread over several layers' FF2 (Meng et al. 2023).

For each fact the shift of the residual stream after the last edited layer is searched. Then layer
by layer, on the partly edited model, each layer takes its share of what is still missing:
(lambda C + K K^T) X = K and W <- W + X R^T, with a column a fact in K (d_mlp, fact) and R
(d_model, fact). The rank is at most the number of facts.

Keys of active edits, K_p, go into the penalty: (lambda C + K_p K_p^T + K K^T) X = K ("aligned":
Labyrinth and Thread, 2026). Then edits one after the other are the edit of all facts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from core.editing.calibrated import calibrated_settings
from core.editing.fallbacks import Attempt, unsaid, ways, weights
from core.editing.hyperparameters import check_layers, check_number, known_settings, relative_layer
from core.editing.penalty import Penalty, factors
from core.editing.rome import GENERAL, PAPER, check_search, check_token, placed
from core.editing.search_parts import Asked, Search
from core.editing.shift_search import find_shift, search_ahead, shared_searches
from core.editing.subject_edits import (
    Templates,
    balanced,
    bare,
    lead_after,
    observe,
    observe_all,
    templates_of,
)
from core.errors import EditError
from core.model.edited import changed, turn
from core.model.edits import Change, Edit, Fact
from core.model.language_model import LanguageModel

DEPTHS = (0.27, 0.36)  # GPT-2 XL's layers 13 to 17 of 48
MAX_FACTS = 1000
# Makes a layer's change of keys (d_mlp, fact) and residual (d_model, fact).
LayerChange = Callable[[int, Tensor, Tensor, Penalty], Change]
PUBLISHED = {
    "gpt2-xl": PAPER | {"layers": tuple(range(13, 18)), "weight": 20_000 / 6400, "clamp": 0.75},
    "meta-llama/Llama-2-7b-hf": PAPER
    | {
        "layers": tuple(range(4, 9)),
        "weight": 15_000 / 11_008,
        "clamp": 4.0,
        "steps": 25,
        "decay": 1e-3,
    },
}
# One layer is best where every fact is looked up in the first.
SMALL = {
    "layers": (0,),
    "weight": 0.1,
    "steps": 40,
    "lr": 0.2,
    "kl": 0.0,
    "decay": 0.0,
    "clamp": 2.0,
    "margin": None,
    "contexts": 4,
}
# SmolLM2: five choices of layers and lambda tried on 12 records that it is not judged by.
MEASURED = {
    "tiny-gpt2": SMALL,
    "tiny-llama2": SMALL,
    "smollm2-135m": {"layers": (13, 14, 15, 16), "weight": 0.1},
}


def defaults(model: LanguageModel) -> dict[str, object]:
    """`weight` is lambda / d_mlp, so that it means the same for models of any width."""
    first, last = (relative_layer(model, depth) for depth in DEPTHS)
    search = {name: value for name, value in GENERAL.items() if name != "in_place"}
    general = {"layers": tuple(range(first, last + 1)), "weight": 1.0, "aligned": True} | search
    known = known_settings(model, PUBLISHED | MEASURED)
    return general | known | calibrated_settings(model, "memit")


def layer_change(layer: int, keys: Tensor, residual: Tensor, penalty: Penalty) -> Change:
    """Solve (penalty + K K^T) X = K; the change is X R^T."""
    return Change("ff2", layer, u=penalty.solve(keys).float(), v=residual.float())


def memit(
    model: LanguageModel,
    facts: Sequence[Fact],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    layers: Sequence[int],
    weight: float,
    contexts: int,
    token: str,
    adapt: bool,
    aligned: bool,
    text_file: str | Path | None,
    change: LayerChange = layer_change,
    **search: float,
) -> tuple[tuple[Change, ...], dict[str, object], dict[int, Tensor]]:
    """A change of rank <= len(facts) for each layer, the settings used and the layers' keys;
    lambda = weight d_mlp.

    Steps are reported for the second moments first (tokens), where they are missing, then for the
    search of the facts' values. With `adapt` the changes are tried out, and facts that the model
    does not say yet are searched for at the prompt's last token, then for their target's first
    token alone, each with a smaller and smaller lambda. `change` is what makes a layer's change of
    keys, residual and penalty. Raises EditError for more than MAX_FACTS facts.
    """
    layers = tuple(sorted(layers))
    check_layers(model, layers)
    check_search(search, contexts)
    check_token(token)
    check_number("weight", weight, 1e-6, 1e6)
    if len(facts) > MAX_FACTS:
        raise EditError(f"{len(facts)} facts are too many at once; edit at most {MAX_FACTS}.")
    templates = [templates_of(model, fact, contexts) for fact in facts]
    factor = factors(model, layers, text_file=text_file, on_step=on_step)
    taken = {layer: earlier_keys(edits, layer, facts) if aligned else None for layer in layers}
    best: Attempt | None = None
    here, goals = list(templates), [torch.empty(0)] * len(templates)
    for place, ask in ways(token, adapt):
        left = unsaid(templates, best, ask)
        asked = Search(**search)
        for i in left:
            here[i], asked = placed(ask(templates[i]), Search(**search), place)
        groups = [here[i] for i in left]
        found = residual_goals(model, groups, layers[-1], asked, edits, on_step)
        for i, goal in zip(left, found, strict=True):
            goals[i] = goal
        for part in weights(weight, adapt) if left else []:
            penalties = {n: Penalty(factor[n], part * model.d_mlp, taken[n]) for n in layers}
            changes, keys = solved(model, here, goals, penalties, edits, change)
            leads = [lead_after(model, group, edits, changes) for group in templates]
            attempt = Attempt(changes, keys, leads, place, part)
            best = attempt if best is None or attempt.said > best.said else best
            if not unsaid(templates, attempt, ask):
                break
    used = {
        "layers": layers,
        "weight": best.weight,
        "contexts": contexts,
        "token": best.token,
        "adapt": adapt,
        "aligned": aligned,
    }
    used |= {"text_file": text_file and str(text_file)} | search
    return best.changes, used, best.keys


def earlier_keys(edits: Sequence[Edit], layer: int, facts: Sequence[Fact]) -> Tensor | None:
    """What a change for `facts` must not move: the edits' keys at a layer, (d_mlp, fact), or None.

    Keys of the facts' own subjects are left out: they are what the new facts are to move.
    """
    subjects = {fact.subject for fact in facts}
    kept = [
        edit.keys[layer][:, [i for i, f in enumerate(edit.facts) if f.subject not in subjects]]
        for edit in edits
        if layer in edit.keys
    ]
    return torch.cat(kept, 1).double() if kept else None


def solved(
    model: LanguageModel,
    templates: Sequence[Templates],
    goals: Sequence[Tensor],
    penalties: dict[int, Penalty],
    edits: Sequence[Edit],
    change: LayerChange,
) -> tuple[tuple[Change, ...], dict[int, Tensor]]:
    """Each layer's share, one after the other, and the keys that it was found with."""
    changes: list[Change] = []
    kept: dict[int, Tensor] = {}
    layers = tuple(penalties)
    for i, layer in enumerate(layers):
        share = 1 / (len(layers) - i)
        keys, missing = state_of(model, templates, goals, layer, layers[-1], edits, changes)
        changes.append(change(layer, keys, share * missing, penalties[layer]))
        kept[layer] = keys.float()
    return tuple(changes), kept


def residual_goals(
    model: LanguageModel,
    templates: Sequence[Templates],
    layer: int,
    search: Search,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
) -> list[Tensor]:
    """For each fact the residual stream after `layer` that makes the model say its target:
    (d_model,). Steps are counted over all of them."""
    asked = [goal_search(model, group, layer, search, edits) for group in templates]
    total, goals = len(asked) * search.steps, []
    with shared_searches():
        if len(asked) > 1:
            search_ahead(model, asked, edits=edits, on_step=on_step)
        for one in asked:
            found = find_shift(
                model,
                one.templates,
                layer,
                one.value,
                search,
                edits=edits,
                on_step=on_step if len(asked) == 1 else (lambda *_: on_step(total, total)),
            )
            goals.append(one.value + found.shift)
    return goals


def goal_search(
    model: LanguageModel,
    templates: Templates,
    layer: int,
    search: Search,
    edits: Sequence[Edit],
) -> Asked:
    with turn(model, edits, gradients=False):
        value = observe(model, bare(templates), "block", layer)[1][0]
    return Asked(templates, layer, value, search)


def first_search(model: LanguageModel, fact: Fact, settings: dict[str, object]) -> Asked:
    """What `memit` searches first with these settings on the unedited model. Raises what `memit`
    raises for a fact or settings that do not fit."""
    check_layers(model, settings["layers"])
    check_search(settings, settings["contexts"])
    check_token(settings["token"])
    search = Search(**{field.name: settings[field.name] for field in fields(Search)})
    templates = templates_of(model, fact, settings["contexts"])
    templates, search = placed(templates, search, settings["token"])
    return goal_search(model, templates, max(settings["layers"]), search, ())


def state_of(
    model: LanguageModel,
    templates: Sequence[Templates],
    goals: Sequence[Tensor],
    layer: int,
    last: int,
    edits: Sequence[Edit],
    changes: Sequence[Change],
) -> tuple[Tensor, Tensor]:
    """Keys (d_mlp, fact) of a layer and what is missing after the last (d_model, fact), float64."""
    keys, missing = [], []
    for group, goal in zip(templates, goals, strict=True):
        with turn(model, edits, gradients=False), changed(model, changes):
            seen = observe_all(model, group, ("ff2", "block"), sorted({layer, last}))
            keys.append(balanced(seen["ff2", layer][0]))
            missing.append(goal - seen["block", last][1][0].to(goal.device))
    return torch.stack(keys, 1).double().cpu(), torch.stack(missing, 1).double().cpu()
