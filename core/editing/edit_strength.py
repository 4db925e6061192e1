"""How strong an edit of one layer must be, and what that strength costs (Figure 26).

Every method here changes FF2 of one layer by rate times a fixed matrix. FF2's input does not depend
on its own weight, so that the residual stream after the layer moves along a straight line, and one
batched pass of the layers above tries many rates.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from core.editing.forward_shift import smallest_eta
from core.editing.gradient_step import descent
from core.editing.hyperparameters import check_layers
from core.errors import EditError, PromptError
from core.model.capture import BlockCall, block_calls, capture, check_numbers
from core.model.edited import changed, turn
from core.model.edits import Change, Edit, Fact, check_fits
from core.model.language_model import LanguageModel
from core.model.tokens import check_text

STRENGTH_METHODS = ("forward-shift", "sgd", "adam")
TEXT = Path(__file__).resolve().parents[2] / "data" / "perplexity.txt"
ADAM_EPSILON = 1e-8


@dataclass(frozen=True, eq=False)
class Ground:
    """What all searches of one prompt share."""

    wanted: int
    row: Tensor  # (d_model,), the target's row of the decoding matrix
    inputs: tuple[Tensor, ...]  # FF2's input in each layer, (token, d_mlp)
    residuals: tuple[Tensor, ...]  # after each block, (1, token, d_model)
    calls: dict[int, BlockCall]
    steps: dict[int, Change]  # -dL/dW of each layer's FF2


def edit_strength(
    model: LanguageModel,
    prompt: str,
    target: str,
    *,
    methods: Sequence[str] = STRENGTH_METHODS,
    layers: Sequence[int] | None = None,
    text: str | None = None,
    on_step: Callable[[int, int], None] | None = None,
    edits: Sequence[Edit] = (),
) -> pd.DataFrame:
    """The smallest rate at which each method's change of one FF2 makes the target the answer.

    One row for each method and layer. Columns: method, layer, rate (to about 1%; 0 where the
    target is the answer already, NaN where none works within two decades around the strength at
    which the change is as large as the residual stream), works, perplexity (of the model with
    that change, on `text` or a short bundled one; NaN without a rate), base_perplexity (without
    the change) and seconds. The rate is the forward shift's eta, or the learning rate of one step
    of gradient descent (`sgd`) or of one step of Adam (`adam`), whose first step moves every
    weight by the rate in the direction of its gradient's sign. As everywhere in core, the answer
    leads by 0.05 nats, and a longer target is asked for by its first token; the gradient is that
    of all its tokens.

    The model's lock is held for one layer's search, or one pass over a part of the text, at a
    time. `on_step(done, total)` is called after each row and may raise Cancelled. `edits` are
    active throughout. Raises EditError, PromptError and ModelError.
    """
    layers = tuple(range(model.n_layers)) if layers is None else tuple(layers)
    check_methods(methods)
    check_layers(model, layers)
    check_fits(model, edits)
    ids = text_ids(model, text)
    fact = Fact(prompt, None, target)
    ground = prepare(model, fact, layers, edits)
    base = finite(mean_perplexity(model, ids, edits))
    rows = []
    for method in methods:
        for layer in layers:
            start = time.perf_counter()
            rate, change = smallest_change(model, ground, method, layer, edits)
            cost = math.nan if change is None else mean_perplexity(model, ids, edits, [change])
            seconds = time.perf_counter() - start
            works = change is not None
            rows.append((method, layer, rate, works, cost, base, seconds))
            if on_step is not None:
                on_step(len(rows), len(methods) * len(layers))
    columns = ["method", "layer", "rate", "works", "perplexity", "base_perplexity", "seconds"]
    return pd.DataFrame(rows, columns=columns)


def check_methods(methods: Sequence[str]) -> None:
    wrong = [name for name in methods if name not in STRENGTH_METHODS]
    if wrong or not methods or isinstance(methods, str):
        raise EditError(
            f"{', '.join(map(repr, wrong)) or 'Nothing'} is no choice of methods here. Choose one "
            f"or more of: {', '.join(STRENGTH_METHODS)}."
        )


def prepare(
    model: LanguageModel, fact: Fact, layers: Sequence[int], edits: Sequence[Edit]
) -> Ground:
    """One pass over the prompt and one backward pass, for all layers and methods."""
    ids = model.encode(fact.prompt)
    wanted = model.target(fact.prompt, fact.target).id
    row = model.unembedding.weight[wanted].detach().float().clone()
    with turn(model, edits, gradients=False):
        with capture(model, ("ff2", "block")) as seen, block_calls(model) as calls:
            hidden = model.read(model.embed(ids))
        check_numbers(hidden)
    with turn(model, edits, gradients=True):
        steps, _ = descent(model, fact, ("ff2",), layers)
    return Ground(
        wanted=wanted,
        row=row,
        inputs=tuple(seen["ff2", i].x[0].float() for i in range(model.n_layers)),
        residuals=tuple(seen["block", i].outputs[0] for i in range(model.n_layers)),
        calls=calls,
        steps={change.layer: change for change in steps},
    )


def smallest_change(
    model: LanguageModel, ground: Ground, method: str, layer: int, edits: Sequence[Edit]
) -> tuple[float, Change | None]:
    """The smallest rate that works and its change; NaN and None if there is none."""
    unit = unit_change(ground, method, layer)
    x = ground.inputs[layer]
    if unit.dense is None:
        shift = (x @ unit.u.to(x.device)) @ unit.v.to(x.device).mT  # (token, d_model)
    else:
        shift = x @ unit.dense.to(x.device)
    with turn(model, edits, gradients=False):
        residual = ground.residuals[layer]
        rate = smallest_eta(model, layer, residual, shift, ground.calls, ground.wanted)
    if rate is None:
        return math.nan, None
    if unit.dense is None:
        return rate, Change("ff2", layer, u=rate * unit.u, v=unit.v)
    return rate, Change("ff2", layer, dense=rate * unit.dense)


def unit_change(ground: Ground, method: str, layer: int) -> Change:
    """What the method adds to FF2 at a rate of 1."""
    if method == "forward-shift":
        u, v = ground.inputs[layer][-1][:, None], ground.row[:, None]
        return Change("ff2", layer, u=u.cpu(), v=v.cpu())
    step = ground.steps[layer]
    if method == "sgd":
        return step
    dense = step.weight_change  # -dL/dW, (d_mlp, d_model)
    return Change("ff2", layer, dense=dense / (dense.abs() + ADAM_EPSILON))


def perplexity(
    model: LanguageModel, text: str | None = None, *, edits: Sequence[Edit] = ()
) -> float:
    """exp of the mean -log p of each token of a text but its first, given those before it.

    The default is a short bundled text about everyday life. A text longer than the context is
    read in windows, which share one token, so that each token is predicted once. The lock is held
    for one window at a time. Raises PromptError for a text of fewer than two tokens, EditError
    for an edit that does not fit, and ModelError.
    """
    check_fits(model, edits)
    return finite(mean_perplexity(model, text_ids(model, text), edits))


def text_ids(model: LanguageModel, text: str | None) -> tuple[int, ...]:
    if text is None:
        text = TEXT.read_text(encoding="utf-8").strip()
    check_text(text, "text for the perplexity")
    ids = tuple(model.tokenizer(text, verbose=False)["input_ids"])
    if len(ids) < 2:
        raise PromptError(
            f"The text for the perplexity has {len(ids)} tokens; it needs at least 2. Give a "
            "longer one."
        )
    return ids


def mean_perplexity(
    model: LanguageModel,
    ids: tuple[int, ...],
    edits: Sequence[Edit],
    changes: Sequence[Change] = (),
) -> float:
    """Like `perplexity`, of the model with `changes` on top of the edits; infinite or NaN where a
    change breaks the model."""
    total, width = 0.0, model.context_length
    for start in range(0, len(ids) - 1, width - 1):
        window = ids[start : start + width]
        with turn(model, edits, gradients=False), changed(model, changes):
            logits = model.unembedding(model.read(model.embed(window))[0, :-1]).float()
            following = torch.tensor(window[1:], device=logits.device)
            losses = torch.nn.functional.cross_entropy(logits, following, reduction="none")
            total += float(losses.double().sum())
    return float(torch.tensor(total / (len(ids) - 1), dtype=torch.float64).exp())


def finite(value: float) -> float:
    check_numbers(torch.tensor(value))
    return value
