"""Fine-tuning as an edit: several steps of Adam on one matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.editing.calibrated import calibrated_settings
from core.editing.gradient_step import check_mlp, descent, says_target
from core.editing.hyperparameters import (
    AUTO,
    check_layers,
    check_number,
    check_whole,
    known_settings,
    relative_layer,
)
from core.editing.upper_layers import UpperLayers, upper_layers
from core.errors import EditError
from core.model.capture import check_numbers
from core.model.edited import changed, turn
from core.model.edits import Change, Edit, Fact, matrix_shape
from core.model.forcing import forced_ids, target_losses
from core.model.language_model import LanguageModel

STEPS_TO_TARGET = 10
RATE_FACTORS = (4.0, 0.25)
OTHER_DEPTHS = (1.0, 0.85, 0.6, 0.4)  # from the first layer to the last
PUBLISHED_ADAM = {"gpt2-xl": {"layer": 0, "lr": 5e-4, "bound": 5e-4}}
MEASURED_ADAM = {
    "tiny-gpt2": {"layer": 6, "lr": 1e-3},
    "tiny-llama2": {"layer": 6, "lr": 1e-3},
}


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

    def loss(self, upper: UpperLayers, change: Sequence[Change]) -> Tensor:
        """The teacher-forced loss in nats with these changes; use it inside `turn`."""
        ids = self.model.encode(self.fact.prompt)
        goal = self.model.target(self.fact.prompt, self.fact.target)
        with changed(self.model, change):
            hidden = upper.run([forced_ids(self.model, ids, goal)])
            loss = target_losses(self.model, hidden, [len(ids)], goal).mean()
        check_numbers(loss)
        return loss

    def above(self, layer: int) -> UpperLayers:
        """The blocks that a change of this layer reaches; what lies below is run once."""
        ids = self.model.encode(self.fact.prompt)
        goal = self.model.target(self.fact.prompt, self.fact.target)
        rows = [forced_ids(self.model, ids, goal)]
        return upper_layers(self.model, rows, layer, edits=self.edits)

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
        upper = self.above(layer)
        with torch.inference_mode(False):
            shape = matrix_shape(self.model, self.matrix, layer)
            difference = torch.zeros(shape, device=place).requires_grad_()
            optimizer = torch.optim.Adam([difference], lr=lr)
        taken, changes = 0, [Change(self.matrix, layer, dense=difference)]
        for step in range(self.steps):
            with turn(self.model, self.edits, gradients=True):
                loss = self.loss(upper, changes)
                if loss < self.stop_below:
                    break
                (difference.grad,) = torch.autograd.grad(loss, difference)
                optimizer.step()
            if self.bound is not None:
                difference.detach().clamp_(-self.bound, self.bound)
            taken = step + 1
            report()
        works = says_target(self.model, self.fact, changes, self.edits)
        return difference.detach(), taken, works


def check_adam(lr: float, steps: int, stop_below: float, bound: float | None) -> None:
    check_number("lr", lr, 0, 1e3)
    check_whole("steps", steps, 1, 25)
    check_number("stop_below", stop_below, 0, 100)
    if bound is not None:
        check_number("bound", bound, 0, 1e3)
