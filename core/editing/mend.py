"""MEND (Mitchell et al. 2022): a trained network turns one gradient step into an edit.

Same prompt and target, same backward pass as the plain step; what the network has learned is which
parts of x and delta make an edit that holds in other words and disturbs little else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.editing.gradient_step import descent, scaled, smallest_rate
from core.editing.hyperparameters import AUTO, check_layers, check_number
from core.editing.mend_network import MendNetwork, mend_network, usual_sites
from core.errors import EditError
from core.model.edited import turn
from core.model.edits import Change, Edit, Fact
from core.model.language_model import LanguageModel


def mend_defaults(model: LanguageModel) -> dict[str, object]:
    """All that the model's network edits, at the strength that it was trained for."""
    network = mend_network(model)
    sites = usual_sites(model) if network is None else network.sites
    return {
        "matrices": tuple(dict.fromkeys(matrix for matrix, _ in sites)),
        "layers": tuple(sorted({layer for _, layer in sites})),
        "scale": 1.0,
    }


def mend(
    model: LanguageModel,
    facts: Sequence[Fact],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    matrices: Sequence[str],
    layers: Sequence[int],
    scale: float | str,
) -> tuple[tuple[Change, ...], dict[str, object]]:
    """What the model's MEND network makes of one gradient step: a change of rank at most n for each
    matrix and layer that it edits.

    The step's loss is the mean of the target tokens' losses, teacher forced. `scale` multiplies the
    change (the published runs' lr_scale); with "auto" it is the smallest one (to about 1%) that
    makes the target's first token the answer. Raises EditError where there is no network for the
    model, where it does not edit the chosen matrices and layers, or if no scale can do it.
    """
    (fact,) = facts
    matrices, layers = tuple(matrices), tuple(layers)
    check_layers(model, layers)
    if scale != AUTO:
        check_number("scale", scale, 0, 1e6)
    network = needed_network(model)
    check_sites(model, network, matrices, layers)
    with turn(model, edits, gradients=True):
        step, loss = descent(model, fact, matrices, layers)
    on_step(1, 2)
    changes = network.edit(step)
    if not changes:
        raise EditError(
            f"{fact.target!r} after this prompt gives no gradient in these layers, so that MEND "
            "has nothing to work with. Choose another prompt or target, or all layers."
        )
    if scale == AUTO:
        scale = smallest_rate(model, fact, changes, loss, edits)
    if scale is None:
        raise EditError(
            f"No strength of MEND's edit makes {fact.target!r} the answer here. Choose all layers, "
            "or another method."
        )
    on_step(2, 2)
    return scaled(changes, scale), {"matrices": matrices, "layers": layers, "scale": scale}


def needed_network(model: LanguageModel) -> MendNetwork:
    """The model's network. Raises EditError that says how to get one."""
    network = mend_network(model)
    if network is None:
        raise EditError(
            f"MEND needs a network that was trained for {model.name}, and there is none yet. Train "
            "one: “Train for this model” on the Edit page, or python -m scripts.train_mend "
            f"{model.name}. It takes about {usual_time(model)} on two cores, once for this model. "
            "Other methods need no training."
        )
    return network


def usual_time(model: LanguageModel) -> str:
    """How long training takes, in words; `core.training_estimate` measures it."""
    if model.size < 10_000_000:
        return "5 minutes"
    return "half an hour" if model.size < 200_000_000 else "an hour for each 300 million parameters"


def check_sites(
    model: LanguageModel, network: MendNetwork, matrices: Sequence[str], layers: Sequence[int]
) -> None:
    """Refuse a choice of which the network edits nothing."""
    wrong = [name for name in matrices if name not in network.matrices]
    others = [layer for layer in layers if layer not in network.layers]
    if not matrices or wrong or others:
        raise EditError(
            f"The MEND network of {model.name} edits {', '.join(network.matrices)} of layers "
            f"{', '.join(map(str, network.layers))}. Choose of these."
        )
