"""Fine-tuning as an edit: one step of gradient descent on factors, or several steps of Adam."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from core.editing.smallest_strength import leads, smallest_strength
from core.errors import EditError
from core.model.capture import capture, check_numbers
from core.model.edited import changed, turn
from core.model.edits import Change, Edit, Fact, matrix_shape
from core.model.forcing import forced_ids, target_losses
from core.model.language_model import LanguageModel

MLP = ("ff1", "gate", "ff2")
STEPS_TO_TARGET = 10
RATE_FACTORS = (4.0, 0.25)
OTHER_DEPTHS = (1.0, 0.85, 0.6, 0.4)  # from the first layer to the last
TEMPERATURES = (1.0, 4.0, 16.0)
PUBLISHED_ADAM = {"gpt2-xl": {"layer": 0, "lr": 5e-4, "bound": 5e-4}}
MEASURED_ADAM = {
    "tiny-gpt2": {"layer": 6, "lr": 1e-3},
    "tiny-llama2": {"layer": 6, "lr": 1e-3},
}


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


def adam_defaults(model: LanguageModel) -> dict[str, object]:
    """FF2 of one layer, at most 25 steps; published for GPT-2 XL, measured in data/editing/."""
    general = {
        "matrix": "ff2",
        "layer": relative_layer(model, 0.73),
        "lr": AUTO,
        "steps": 25,
        "stop_below": 0.01,
        "bound": None,
        "elsewhere": True,
    }
    known = known_settings(model, PUBLISHED_ADAM | MEASURED_ADAM)
    return general | known | calibrated_settings(model, "adam")


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
        with turn(model, edits, gradients=False):
            if rate == AUTO:
                rate = smallest_rate(model, fact, step, loss)
            elif elsewhere and not step_works(model, fact, step, rate):
                rate = None
        on_step(2 * done + 2, 2 * len(tries))
        if rate is not None:
            scaled = tuple(Change(c.matrix, c.layer, u=rate * c.u, v=c.v) for c in step)
            used = {"matrices": matrices, "layers": layers, "lr": rate}
            return scaled, used | {"temperature": temperature, "elsewhere": elsewhere}
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


def step_works(model: LanguageModel, fact: Fact, step: Sequence[Change], rate: float) -> bool:
    """Whether the step at this rate makes the target's first token the answer."""
    ids, wanted = model.encode(fact.prompt), model.target(fact.prompt, fact.target).id
    with changed(model, [Change(c.matrix, c.layer, u=rate * c.u, v=c.v) for c in step]):
        logits = model.unembedding(model.read(model.embed(ids))[:, -1]).float()
    return bool(leads(logits, wanted))


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
    lr: float | str,
    steps: int,
    stop_below: float,
    bound: float | None,
    elsewhere: bool = False,
) -> tuple[tuple[Change, ...], dict[str, object]]:
    """Adam on one matrix, as the reference fine-tunes: a dense change.

    Up to `steps` steps on the teacher-forced loss of the target; ends when it is below
    `stop_below` nats. With a bound each weight moves by at most that much (L-infinity). With
    "auto", lr is such that STEPS_TO_TARGET straight steps would bring the loss to zero. With
    `elsewhere`, a search after which the target is not the answer begins anew with a larger lr,
    then a smaller one, then in another layer; EditError if none succeeds. The lock is taken step
    by step.
    """
    (fact,) = facts
    check_mlp(model, [matrix])
    check_layers(model, [layer], matrix)
    check_adam(1.0 if lr == AUTO else lr, steps, stop_below, bound)
    search = Descent(model, fact, tuple(edits), matrix, steps, stop_below, bound)
    tries = search.tries(layer, lr) if elsewhere else ((layer, lr, 1.0),)
    done = 0

    def report() -> None:
        nonlocal done
        done += 1
        on_step(min(done, len(tries) * steps), len(tries) * steps if done > steps else steps)

    for place, rate, factor in tries:
        if rate == AUTO:
            rate = factor * search.natural_rate(place)
        difference, taken, works = search.run(place, rate, report)
        if works or not elsewhere:
            result = Change(matrix, place, dense=difference.cpu())
            used = {"matrix": matrix, "layer": place, "lr": rate, "steps": taken}
            used |= {"stop_below": stop_below, "bound": bound, "elsewhere": elsewhere}
            return (result,), used
    raise EditError(
        f"{steps} steps of fine-tuning do not make {fact.target!r} the answer, at any learning "
        "rate and in any layer that was tried. Choose another method."
    )


@dataclass(frozen=True)
class Descent:
    """Adam on one matrix of one fact."""

    model: LanguageModel
    fact: Fact
    edits: tuple[Edit, ...]
    matrix: str
    steps: int
    stop_below: float
    bound: float | None

    def tries(self, layer: int, lr: float | str) -> tuple[tuple[int, float | str, float], ...]:
        """(layer, lr, factor of an automatic lr), the one that was asked for first."""
        n = self.model.n_layers
        others = {round(share * (n - 1)) for share in OTHER_DEPTHS} - {layer}
        order = sorted(others, key=lambda i: (abs(i - layer), -i))
        factors = (1.0, *RATE_FACTORS)
        first = [(layer, lr, 1.0)] if lr != AUTO else []
        return (*first, *((i, AUTO, f) for i in (layer, *order) for f in factors))

    def loss(self, change: Sequence[Change]) -> Tensor:
        """The teacher-forced loss in nats with these changes; use it inside `turn`."""
        ids = self.model.encode(self.fact.prompt)
        goal = self.model.target(self.fact.prompt, self.fact.target)
        forced = forced_ids(self.model, ids, goal)
        with changed(self.model, change):
            hidden = self.model.read(self.model.embed(forced))
            loss = target_losses(self.model, hidden, [len(ids)], goal).mean()
        check_numbers(loss)
        return loss

    def natural_rate(self, layer: int) -> float:
        """Adam's first step moves every weight by lr along its gradient's sign, so that the loss
        falls by lr |dL/dW|_1 on a straight line."""
        with turn(self.model, self.edits, gradients=True):
            (step,), loss = descent(self.model, self.fact, (self.matrix,), (layer,))
        slope = float((step.u @ step.v.mT).abs().sum())
        return loss / (STEPS_TO_TARGET * max(slope, 1e-30))

    def run(self, layer: int, lr: float, report: Callable[[], None]) -> tuple[Tensor, int, bool]:
        """The change (d_in, d_out), the steps taken, and whether the target is the answer."""
        place = next(self.model.modules(self.matrix, layer)[0].parameters()).device
        with torch.inference_mode(False):
            shape = matrix_shape(self.model, self.matrix, layer)
            difference = torch.zeros(shape, device=place).requires_grad_()
            optimizer = torch.optim.Adam([difference], lr=lr)
        taken, changes = 0, [Change(self.matrix, layer, dense=difference)]
        for step in range(self.steps):
            with turn(self.model, self.edits, gradients=True):
                loss = self.loss(changes)
                if loss < self.stop_below:
                    break
                (difference.grad,) = torch.autograd.grad(loss, difference)
                optimizer.step()
            if self.bound is not None:
                difference.detach().clamp_(-self.bound, self.bound)
            taken = step + 1
            report()
        return difference.detach(), taken, self.says_target(changes)

    def says_target(self, changes: Sequence[Change]) -> bool:
        """Whether the target's first token is the answer, with a lead."""
        ids = self.model.encode(self.fact.prompt)
        wanted = self.model.target(self.fact.prompt, self.fact.target).id
        with turn(self.model, self.edits, gradients=False), changed(self.model, changes):
            logits = self.model.unembedding(self.model.read(self.model.embed(ids))[:, -1])
        return bool(leads(logits.float(), wanted))


def check_adam(lr: float, steps: int, stop_below: float, bound: float | None) -> None:
    check_number("lr", lr, 0, 1e3)
    check_whole("steps", steps, 1, 25)
    check_number("stop_below", stop_below, 0, 100)
    if bound is not None:
        check_number("bound", bound, 0, 1e3)
