"""Fine-tuning as an edit: one step of gradient descent on factors, or several steps of Adam."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.editing.hyperparameters import (
    AUTO,
    check_layers,
    check_number,
    check_whole,
    known_settings,
    relative_layer,
)
from core.editing.smallest_strength import leads, smallest_strength
from core.errors import EditError
from core.model.capture import capture, check_numbers
from core.model.edited import changed, turn
from core.model.edits import Change, Edit, Fact, matrix_shape
from core.model.forcing import forced_ids, target_losses
from core.model.language_model import LanguageModel

MLP = ("ff1", "gate", "ff2")
PUBLISHED_ADAM = {"gpt2-xl": {"layer": 0, "lr": 5e-4, "bound": 5e-4}}
MEASURED_ADAM = {
    "tiny-gpt2": {"layer": 6, "lr": 1e-3},
    "tiny-llama2": {"layer": 6, "lr": 1e-3},
}


def sgd_defaults(model: LanguageModel) -> dict[str, object]:
    """All layers' FF1 and FF2, as the authors' notebook; the learning rate is searched."""
    return {"matrices": ("ff1", "ff2"), "layers": tuple(range(model.n_layers)), "lr": AUTO}


def adam_defaults(model: LanguageModel) -> dict[str, object]:
    """FF2 of one layer, at most 25 steps; published for GPT-2 XL, measured in data/editing/."""
    general = {
        "matrix": "ff2",
        "layer": relative_layer(model, 0.73),
        "lr": 5e-4,
        "steps": 25,
        "stop_below": 0.01,
        "bound": None,
    }
    return general | known_settings(model, PUBLISHED_ADAM | MEASURED_ADAM)


def sgd(
    model: LanguageModel,
    facts: Sequence[Fact],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    matrices: Sequence[str],
    layers: Sequence[int],
    lr: float | str,
) -> tuple[tuple[Change, ...], dict[str, object]]:
    """W <- W - lr dL/dW, once (eq. 8): a change of rank at most n for each matrix and layer.

    L is the mean of the target tokens' losses, teacher forced. With "auto", lr is the smallest one
    (to about 1%) that makes the target's first token the answer. Raises EditError if there is none.
    """
    (fact,) = facts
    matrices, layers = tuple(matrices), tuple(layers)
    check_mlp(model, matrices)
    check_layers(model, layers)
    if lr != AUTO:
        check_number("lr", lr, 0, 1e9)
    with turn(model, edits, gradients=True):
        step, loss = descent(model, fact, matrices, layers)
    on_step(1, 1 if lr != AUTO else 2)
    if lr == AUTO:
        with turn(model, edits, gradients=False):
            lr = smallest_rate(model, fact, step, loss)
        on_step(2, 2)
    if lr is None:
        raise EditError(
            f"No learning rate makes {fact.target!r} the answer in one step on these layers. "
            "Choose more or other layers, or another method."
        )
    scaled = tuple(Change(c.matrix, c.layer, u=lr * c.u, v=c.v) for c in step)
    return scaled, {"matrices": matrices, "layers": layers, "lr": lr}


def check_mlp(model: LanguageModel, matrices: Sequence[str]) -> None:
    choices = [name for name in MLP if name in model.matrices]
    if not matrices or not set(matrices) <= set(choices):
        raise EditError(
            f"{', '.join(map(str, matrices)) or 'Nothing'} is not a choice of MLP matrices of "
            f"{model.name}. Choose one or more of: {', '.join(choices)}."
        )


def descent(
    model: LanguageModel, fact: Fact, matrices: Sequence[str], layers: Sequence[int]
) -> tuple[list[Change], float]:
    """-dL/dW of the chosen matrices as factors, u = x^T and v = -delta^T with a column a token;
    and the loss L in nats."""
    ids, goal = model.encode(fact.prompt), model.target(fact.prompt, fact.target)
    forced = forced_ids(model, ids, goal)
    with capture(model, tuple(matrices)) as seen:
        hidden = model.read(model.embed(forced).requires_grad_())
    loss = target_losses(model, hidden, [len(ids)], goal).mean()
    check_numbers(loss)
    sites = [(matrix, layer) for matrix in matrices for layer in layers]
    outputs = [seen[site].outputs[0] for site in sites]
    changes = []
    for site, delta in zip(sites, torch.autograd.grad(loss, outputs), strict=True):
        x = seen[site].x.detach()[0].float()
        changes.append(Change(*site, u=x.mT.cpu(), v=-delta[0].float().mT.cpu()))
    return changes, loss.item()


def smallest_rate(
    model: LanguageModel, fact: Fact, step: Sequence[Change], loss: float
) -> float | None:
    """The smallest multiple of the step that makes the target's first token the answer.

    The search begins around L / |dL/dW|^2, where a straight line would reach a loss of zero.
    """
    ids, wanted = model.encode(fact.prompt), model.target(fact.prompt, fact.target).id

    def works(rates: Tensor) -> Tensor:
        rows = []
        for rate in rates.tolist():  # a pass each: the step differs from row to row
            with changed(model, [Change(c.matrix, c.layer, u=rate * c.u, v=c.v) for c in step]):
                rows.append(model.unembedding(model.read(model.embed(ids))[:, -1]).float())
        return leads(torch.cat(rows), wanted).cpu()

    squares = [((c.u.mT @ c.u) * (c.v.mT @ c.v)).sum() for c in step]
    return smallest_strength(works, loss / max(float(sum(squares)), 1e-30))


def adam(
    model: LanguageModel,
    facts: Sequence[Fact],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    matrix: str,
    layer: int,
    lr: float,
    steps: int,
    stop_below: float,
    bound: float | None,
) -> tuple[tuple[Change, ...], dict[str, object]]:
    """Adam on one matrix, as the reference fine-tunes: a dense change.

    Up to `steps` steps on the teacher-forced loss of the target; ends when it is below
    `stop_below` nats. With a bound each weight moves by at most that much (L-infinity). The lock
    is taken step by step.
    """
    (fact,) = facts
    check_mlp(model, [matrix])
    check_layers(model, [layer], matrix)
    check_adam(lr, steps, stop_below, bound)
    place = next(model.modules(matrix, layer)[0].parameters()).device
    with torch.inference_mode(False):
        difference = torch.zeros(matrix_shape(model, matrix, layer), device=place)
        optimizer = torch.optim.Adam([difference.requires_grad_()], lr=lr)
    ids, goal = model.encode(fact.prompt), model.target(fact.prompt, fact.target)
    forced, taken = forced_ids(model, ids, goal), 0
    change = Change(matrix, layer, dense=difference)
    for step in range(steps):
        with turn(model, edits, gradients=True), changed(model, [change]):
            loss = target_losses(model, model.read(model.embed(forced)), [len(ids)], goal).mean()
            check_numbers(loss)
            if loss < stop_below:
                break
            (difference.grad,) = torch.autograd.grad(loss, difference)
            optimizer.step()
        if bound is not None:
            difference.detach().clamp_(-bound, bound)
        taken = step + 1
        on_step(taken, steps)
    result = Change(matrix, layer, dense=difference.detach().cpu())
    used = {"matrix": matrix, "layer": layer, "lr": lr, "steps": taken}
    return (result,), used | {"stop_below": stop_below, "bound": bound}


def check_adam(lr: float, steps: int, stop_below: float, bound: float | None) -> None:
    check_number("lr", lr, 0, 1e3)
    check_whole("steps", steps, 1, 25)
    check_number("stop_below", stop_below, 0, 100)
    if bound is not None:
        check_number("bound", bound, 0, 1e3)
