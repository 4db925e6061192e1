"""EMMET: one or many facts in one FF2, each of which is said as it was asked for (Gupta et al.
2024).

Where MEMIT weighs the new facts against other keys, EMMET holds them as a constraint, and among the
changes that keep it takes the one that moves other keys least, as ROME does for one fact:
C'^-1 K (K^T C'^-1 K + rho I)^-1 R^T with C' = lambda C + K_p K_p^T / rho. With rho towards 0 the
constraint K^T dW = R^T holds exactly; for one fact and no earlier keys that is ROME's change.
Earlier keys K_p were held as a constraint with the same slack, hence their 1 / rho: so edits one
after the other are the edit of all facts at once. Goals and keys are MEMIT's, of one layer. The
change is (rho C' + K K^T)^-1 K R^T: MEMIT's of that layer, with rho lambda for its lambda.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from torch import Tensor

from core.editing import memit as spread
from core.editing import rome
from core.editing.calibrated import calibrated_settings
from core.editing.hyperparameters import check_number, known_settings, relative_layer
from core.editing.penalty import Penalty
from core.editing.rome import GENERAL, PAPER
from core.editing.search_parts import Asked
from core.model.edits import Change, Edit, Fact
from core.model.language_model import LanguageModel

PUBLISHED = {
    "gpt2-xl": PAPER | {"layer": 17, "weight": 10_000 / 6400, "rho": 0.1, "clamp": 0.75},
    "meta-llama/Llama-2-7b-hf": PAPER
    | {"layer": 5, "weight": 100_000 / 11_008, "rho": 0.1, "steps": 25, "decay": 1e-3},
}
SMALL = {k: v for k, v in spread.SMALL.items() if k not in ("layers", "weight")} | {"layer": 0}
# rho 0.1 against 0.01 with a tenth of lambda: neighbours +2 to +3, paraphrases 0 to -2 points.
MEASURED = {
    "tiny-gpt2": SMALL,
    "tiny-llama2": SMALL,
    "smollm2-135m": {"layer": 18},
}


def defaults(model: LanguageModel) -> dict[str, object]:
    """`weight` is lambda / d_mlp, as MEMIT's; rho is how far the constraint may give way."""
    search = {name: value for name, value in GENERAL.items() if name != "in_place"}
    general = {"layer": relative_layer(model, rome.DEPTH), "weight": 1.0, "rho": 0.1}
    known = known_settings(model, PUBLISHED | MEASURED)
    return general | {"aligned": True} | search | known | calibrated_settings(model, "emmet")


def emmet(
    model: LanguageModel,
    facts: Sequence[Fact],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    layer: int,
    rho: float,
    **settings: object,
) -> tuple[tuple[Change, ...], dict[str, object], dict[int, Tensor]]:
    """One change of rank <= len(facts), the settings used and the layer's keys.

    The rest is as in `memit`, whose settings these are.
    """
    check_number("rho", rho, 1e-9, 1e3)
    changes, used, keys = spread.memit(
        model,
        facts,
        edits=edits,
        on_step=on_step,
        layers=(layer,),
        change=partial(layer_change, rho=rho),
        **settings,
    )
    used.pop("layers")
    return changes, {"layer": layer, "rho": rho} | used, keys


def first_search(model: LanguageModel, fact: Fact, settings: dict[str, object]) -> Asked:
    """`memit`'s, for EMMET's one layer."""
    return spread.first_search(model, fact, settings | {"layers": (settings["layer"],)})


def layer_change(
    layer: int, keys: Tensor, residual: Tensor, penalty: Penalty, *, rho: float
) -> Change:
    """U R^T with U = C'^-1 K (K^T C'^-1 K + rho I)^-1 = (rho C' + K K^T)^-1 K, C' the penalty."""
    weaker = replace(penalty, weight=rho * penalty.weight)
    return Change("ff2", layer, u=weaker.solve(keys).float(), v=residual.float())
