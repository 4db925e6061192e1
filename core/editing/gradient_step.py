"""One step of gradient descent as an edit: the step that the pictures show, kept as factors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.editing.calibrated import calibrated_settings
from core.editing.hyperparameters import AUTO, check_layers, check_number
from core.editing.smallest_strength import leads, smallest_strength
from core.errors import EditError
from core.model.capture import capture, check_numbers
from core.model.edited import changed, hooked, hooks_of, turn
from core.model.edits import Change, Edit, Fact
from core.model.forcing import forced_ids, target_losses
from core.model.language_model import LanguageModel

MLP = ("ff1", "gate", "ff2")
TEMPERATURES = (1.0, 4.0, 16.0)
RATES_A_TURN = 8  # that are tried in one pass


def sgd_defaults(model: LanguageModel) -> dict[str, object]:
    """All layers' FF1 and FF2, as the authors' notebook; the learning rate is searched."""
    general = {
        "matrices": ("ff1", "ff2"),
        "layers": tuple(range(model.n_layers)),
        "lr": AUTO,
        "temperature": 1.0,
        "elsewhere": True,
    }
    return general | calibrated_settings(model, "sgd")


def sgd(
    model: LanguageModel,
    facts: Sequence[Fact],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    matrices: Sequence[str],
    layers: Sequence[int],
    lr: float | str,
    temperature: float = 1.0,
    elsewhere: bool = False,
) -> tuple[tuple[Change, ...], dict[str, object]]:
    """W <- W - lr dL/dW, once (eq. 8): a change of rank at most n for each matrix and layer.

    L is the mean of the target tokens' losses, teacher forced, of the logits / temperature: above
    1 the step turns away from more of the other words. With "auto", lr is the smallest one (to
    about 1%) that makes the target's first token the answer. With `elsewhere`, a step that cannot
    do it is tried on fewer matrices and at higher temperatures. Raises EditError if none can.
    """
    (fact,) = facts
    matrices, layers = tuple(matrices), tuple(layers)
    check_mlp(model, matrices)
    check_layers(model, layers)
    check_number("temperature", temperature, 1e-3, 1e6)
    if lr != AUTO:
        check_number("lr", lr, 0, 1e9)
    tries = attempts(matrices, layers, temperature) if elsewhere else ()
    tries = ((matrices, layers, temperature, lr), *tries)
    for done, (matrices, layers, temperature, rate) in enumerate(tries):
        with turn(model, edits, gradients=True):
            step, loss = descent(model, fact, matrices, layers, temperature)
        on_step(2 * done + 1, 2 * len(tries))
        if rate == AUTO:
            rate = smallest_rate(model, fact, step, loss, edits)
        elif elsewhere and not says_target(model, fact, scaled(step, rate), edits):
            rate = None
        on_step(2 * done + 2, 2 * len(tries))
        if rate is not None:
            used = {"matrices": matrices, "layers": layers, "lr": rate}
            return scaled(step, rate), used | {"temperature": temperature, "elsewhere": elsewhere}
    raise EditError(
        f"No learning rate makes {fact.target!r} the answer in one step on these layers. "
        "Choose more or other layers, or another method."
    )


def attempts(
    matrices: tuple[str, ...], layers: tuple[int, ...], temperature: float
) -> tuple[tuple[tuple[str, ...], tuple[int, ...], float, str], ...]:
    """What else one step can be taken on: all of it again, the upper half, FF2 of the upper half,
    of the upper quarter and of the last layer; each at higher temperatures, too."""
    half, quarter = layers[len(layers) // 2 :], layers[3 * len(layers) // 4 :]
    places = [(matrices, layers), (matrices, half)]
    if "ff2" in matrices:
        places += [(("ff2",), half), (("ff2",), quarter), (("ff2",), layers[-1:])]
    return tuple(
        (*place, factor * temperature, AUTO) for factor in TEMPERATURES for place in places
    )


def says_target(
    model: LanguageModel, fact: Fact, changes: Sequence[Change], edits: Sequence[Edit] = ()
) -> bool:
    """Whether the target's first token is the answer with these changes, by a lead."""
    ids, wanted = model.encode(fact.prompt), model.target(fact.prompt, fact.target).id
    with turn(model, edits, gradients=False), changed(model, changes):
        logits = model.unembedding(model.read(model.embed(ids))[:, -1]).float()
    return bool(leads(logits, wanted))


def scaled(step: Sequence[Change], rate: float) -> tuple[Change, ...]:
    """A multiple of a step."""
    return tuple(Change(c.matrix, c.layer, u=rate * c.u, v=c.v) for c in step)


def check_mlp(model: LanguageModel, matrices: Sequence[str]) -> None:
    choices = [name for name in MLP if name in model.matrices]
    if not matrices or not set(matrices) <= set(choices):
        raise EditError(
            f"{', '.join(map(str, matrices)) or 'Nothing'} is not a choice of MLP matrices of "
            f"{model.name}. Choose one or more of: {', '.join(choices)}."
        )


def descent(
    model: LanguageModel,
    fact: Fact,
    matrices: Sequence[str],
    layers: Sequence[int],
    temperature: float = 1.0,
) -> tuple[list[Change], float]:
    """-dL/dW of the chosen matrices as factors, u = x^T and v = -delta^T with a column a token;
    and the loss L in nats."""
    ids, goal = model.encode(fact.prompt), model.target(fact.prompt, fact.target)
    forced = forced_ids(model, ids, goal)
    with capture(model, tuple(matrices)) as seen:
        hidden = model.read(model.embed(forced).requires_grad_())
    loss = target_losses(model, hidden, [len(ids)], goal, temperature).mean()
    check_numbers(loss)
    sites = [(matrix, layer) for matrix in matrices for layer in layers]
    outputs = [seen[site].outputs[0] for site in sites]
    changes = []
    for site, delta in zip(sites, torch.autograd.grad(loss, outputs), strict=True):
        x = seen[site].x.detach()[0].float()
        changes.append(Change(*site, u=x.mT.cpu(), v=-delta[0].float().mT.cpu()))
    return changes, loss.item()


def smallest_rate(
    model: LanguageModel,
    fact: Fact,
    step: Sequence[Change],
    loss: float,
    edits: Sequence[Edit] = (),
) -> float | None:
    """The smallest multiple of the step that makes the target's first token the answer.

    The search begins around L / |dL/dW|^2, where a straight line would reach a loss of zero.
    """
    ids, wanted = model.encode(fact.prompt), model.target(fact.prompt, fact.target).id

    def works(rates: Tensor) -> Tensor:
        parts = []
        for some in rates.split(RATES_A_TURN):  # each rate's change is on its own row
            groups = [(slice(i, i + 1), scaled(step, rate)) for i, rate in enumerate(some.tolist())]
            with turn(model, edits, gradients=False), hooked(hooks_of(model, groups)):
                hidden = model.read(model.embed(ids).repeat(len(some), 1, 1))
                parts.append(model.unembedding(hidden[:, -1]).float())
        return leads(torch.cat(parts), wanted).cpu()

    squares = [((c.u.mT @ c.u) * (c.v.mT @ c.v)).sum() for c in step]
    return smallest_strength(works, loss / max(float(sum(squares)), 1e-30))
