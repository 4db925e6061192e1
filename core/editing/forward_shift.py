"""Forward pass shift: an edit from one forward pass, without a gradient (section 7, appendix I).

FF2 <- FF2 + eta x^T D[t]: x is FF2's input at the last prompt token and D[t] the target's row of
the decoding matrix, so that the target's logit at that layer's output rises by
eta |x|^2 |D[t]|^2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.editing.calibrated import calibrated_settings, fixed_settings
from core.editing.hyperparameters import (
    AUTO,
    FIXED,
    check_layers,
    check_number,
    known_settings,
    relative_layer,
)
from core.editing.smallest_strength import leads, smallest_strength
from core.errors import EditError
from core.model.capture import BlockCall, block_calls, capture, check_numbers
from core.model.edited import turn
from core.model.edits import Change, Edit, Fact
from core.model.language_model import LanguageModel

NAME = "forward-shift"
# Of the residual stream's norm: paraphrases begin to follow here (data/calibration/).
FIXED_SHARE = 1.0
DIRECTION_STEPS = 100
DIRECTION_RATE = 0.1  # of the direction's length, a step
DIRECTION_SIZE = 1e3  # the norm's epsilon does not count then
DIRECTION_LEAD = 1.0  # nats
DEPTH = 0.73  # GPT-2 XL's layer 35 of 48
PUBLISHED = {"gpt2-xl": {"layer": 35, "eta": 0.24}}
# The best trade of paraphrases against neighbours: data/editing/FORWARD_SHIFT.md
MEASURED = {
    "tiny-gpt2": {"layer": 7, "eta": AUTO},
    "tiny-llama2": {"layer": 6, "eta": AUTO},
}


def defaults(model: LanguageModel) -> dict[str, object]:
    """Layer and eta: calibrated for this model, published, measured (data/editing/), or "auto".

    `elsewhere`: other layers may be tried where this one cannot do it.
    """
    general = {"layer": relative_layer(model, DEPTH), "eta": AUTO, "elsewhere": True}
    return general | known_settings(model, PUBLISHED | MEASURED) | calibrated_settings(model, NAME)


@dataclass(frozen=True, eq=False)
class Reading:
    """What one pass over a prompt gives for an edit of any layer."""

    wanted: int
    row: Tensor  # (d_model,), the target's row of the decoding matrix
    inputs: tuple[Tensor, ...]  # FF2's input in each layer, (token, d_mlp)
    residuals: tuple[Tensor, ...]  # after each block, (1, token, d_model)
    calls: dict[int, BlockCall]

    def shift(self, layer: int) -> Tensor:
        """What eta = 1 adds after the layer: (token, d_model)."""
        x = self.inputs[layer]
        return torch.outer(x @ x[-1], self.row.to(x.device))


def forward_shift(
    model: LanguageModel,
    facts: Sequence[Fact],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    layer: int,
    eta: float | str,
    elsewhere: bool = False,
) -> tuple[tuple[Change, ...], dict[str, object]]:
    """One change of rank 1, and the layer, eta and direction that were used.

    A longer target is edited by its first token, as in the paper. With "auto", eta is the smallest
    one (to about 1%) that makes the target the answer; it takes at most three batched passes of
    the layers above the edit. With "fixed" it is the model's own, as the paper uses it: from its
    calibration, else what makes the shift FIXED_SHARE of the residual stream. With `elsewhere`,
    an eta that is too small is raised to the smallest that works, then other layers are tried, the
    nearest first, then a direction other than the target's row. Raises EditError if nothing works.
    """
    (fact,) = facts
    check_layers(model, [layer])
    if eta not in (AUTO, FIXED):
        check_number("eta", eta, -1e6, 1e6)
    reading = read_prompt(model, fact, edits)
    if eta == FIXED and elsewhere:
        layer = fixed_settings(model, NAME).get("layer", layer)
    if eta == FIXED:
        eta = fixed_eta(model, reading, layer)
    on_step(1, 1)
    found = (reading, layer, eta)
    if eta == AUTO or elsewhere:
        found = working(model, reading, layer, eta, edits, elsewhere)
    if found is None:
        raise EditError(
            f"No eta makes {fact.target!r} the answer through "
            f"{'any layer' if elsewhere else f'layer {layer}'}. Choose "
            f"{'another method' if elsewhere else 'a later layer, or another method'}."
        )
    used, layer, eta = found
    x, row = used.inputs[layer][-1:], used.row
    change = Change("ff2", layer, u=(eta * x).mT.cpu().contiguous(), v=row[:, None].cpu())
    direction = "the target's row of D" if row is reading.row else "searched"
    return (change,), {"layer": layer, "eta": eta, "elsewhere": elsewhere, "direction": direction}


def read_prompt(model: LanguageModel, fact: Fact, edits: Sequence[Edit]) -> Reading:
    ids = model.encode(fact.prompt)
    wanted = model.target(fact.prompt, fact.target).id
    row = model.unembedding.weight[wanted].detach().float().clone()
    with turn(model, edits, gradients=False):
        with capture(model, ("ff2", "block")) as seen, block_calls(model) as calls:
            hidden = model.read(model.embed(ids))
        check_numbers(hidden)
    layers = range(model.n_layers)
    return Reading(
        wanted,
        row,
        tuple(seen["ff2", i].x[0].float() for i in layers),
        tuple(seen["block", i].outputs[0] for i in layers),
        calls,
    )


def fixed_eta(model: LanguageModel, reading: Reading, layer: int) -> float:
    """The eta of the model's calibration, if it was of this layer; else one from norms."""
    known = fixed_settings(model, NAME)
    if known.get("layer") == layer and isinstance(known.get("eta"), int | float):
        return float(known["eta"])
    residual = reading.residuals[layer][0, -1].float().norm()
    return FIXED_SHARE * float(residual / reading.shift(layer)[-1].norm().clamp_min(1e-30))


def working(
    model: LanguageModel,
    reading: Reading,
    layer: int,
    eta: float | str,
    edits: Sequence[Edit],
    elsewhere: bool,
) -> tuple[Reading, int, float] | None:
    """The first layer, from this one outwards, and its eta that make the target the answer.

    Where no layer does with the target's row of D, the reading has another direction for it.
    """
    if eta != AUTO and answers_at(model, reading, layer, eta, edits):
        return reading, layer, eta
    order = sorted(range(model.n_layers), key=lambda i: (abs(i - layer), -i))
    for place in order if elsewhere else [layer]:
        smallest = search(model, reading, place, edits)
        if smallest is not None:
            return reading, place, smallest
    if not elsewhere:
        return None
    ahead = replace(reading, row=leading_direction(model, reading.wanted, edits))
    for place in (layer, model.n_layers - 1):
        smallest = search(model, ahead, place, edits)
        if smallest is not None:
            return ahead, place, smallest
    return None


def search(
    model: LanguageModel, reading: Reading, layer: int, edits: Sequence[Edit]
) -> float | None:
    with turn(model, edits, gradients=False):
        return smallest_eta(
            model,
            layer,
            reading.residuals[layer],
            reading.shift(layer),
            reading.calls,
            reading.wanted,
        )


def leading_direction(model: LanguageModel, wanted: int, edits: Sequence[Edit]) -> Tensor:
    """A direction of the residual stream, as long as D[t], that is read as the target: (d_model,).

    D[t] itself is not, where other rows of D are longer and point the same way (a word that the
    model has hardly ever said). Gradient ascent on log p(t) of the final norm and D alone.
    """
    row = model.unembedding.weight[wanted].detach().float()
    size = row.norm()
    direction = row.clone()
    goal = torch.tensor([wanted], device=row.device)
    for _ in range(DIRECTION_STEPS):
        with turn(model, edits, gradients=True):
            vector = (direction / direction.norm() * DIRECTION_SIZE).requires_grad_()
            states = model.normalize_final(vector[None]).to(model.dtype)
            logits = model.unembedding(states).float()
            if leads(logits.detach(), wanted, DIRECTION_LEAD):
                break
            loss = torch.nn.functional.cross_entropy(logits, goal.to(logits.device))
            (slope,) = torch.autograd.grad(loss, vector)
        slope = slope / slope.norm().clamp_min(1e-30)
        direction = direction / direction.norm() - DIRECTION_RATE * slope
    return direction / direction.norm() * size


def answers_at(
    model: LanguageModel, reading: Reading, layer: int, eta: float, edits: Sequence[Edit]
) -> bool:
    """Whether this eta makes the target the answer."""
    with turn(model, edits, gradients=False):
        residual = reading.residuals[layer]
        shifted = residual + (eta * reading.shift(layer)).to(residual.dtype)
        return bool(leads(logits_from(model, layer + 1, shifted, reading.calls), reading.wanted))


def smallest_eta(
    model: LanguageModel,
    layer: int,
    residual: Tensor,
    shift: Tensor,
    calls: dict[int, BlockCall],
    wanted: int,
) -> float | None:
    """The smallest eta for which the shifted residual stream ends in the wanted token.

    residual: (1, token, d_model) after the block; shift: (token, d_model), what eta = 1 adds.
    """

    def works(etas: Tensor) -> Tensor:
        weights = etas.to(shift.device, shift.dtype)[:, None, None]
        shifted = residual + (weights * shift).to(residual.dtype)
        return leads(logits_from(model, layer + 1, shifted, calls), wanted).cpu()

    size = residual[0, -1].float().norm() / shift[-1].norm().clamp_min(1e-30)
    return smallest_strength(works, float(size))


def logits_from(
    model: LanguageModel, layer: int, residual: Tensor, calls: dict[int, BlockCall]
) -> Tensor:
    """Run the blocks from `layer` up: (row, token, d_model) -> (row, vocabulary), last token."""
    for i in range(layer, model.n_layers):
        others, named = calls[i]
        output = model.blocks[i](residual, *others, **named)
        residual = output if isinstance(output, Tensor) else output[0]
    return model.unembedding(model.final_norm(residual[:, -1])).float()
