"""Forward pass shift: an edit from one forward pass, without a gradient (section 7, appendix I).

FF2 <- FF2 + eta x^T D[t]: x is FF2's input at the last prompt token and D[t] the target's row of
the decoding matrix, so that the target's logit at that layer's output rises by
eta |x|^2 |D[t]|^2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from core.editing.hyperparameters import (
    AUTO,
    check_layers,
    check_number,
    known_settings,
    relative_layer,
)
from core.editing.smallest_strength import leads, smallest_strength
from core.errors import EditError
from core.model.capture import capture, check_numbers
from core.model.edited import turn
from core.model.edits import Change, Edit, Fact
from core.model.language_model import LanguageModel

BlockCall = tuple[tuple, dict]  # what a block gets besides the residual stream
DEPTH = 0.73  # GPT-2 XL's layer 35 of 48
PUBLISHED = {"gpt2-xl": {"layer": 35, "eta": 0.24}}
# The best trade of paraphrases against neighbours: data/editing/FORWARD_SHIFT.md
MEASURED = {
    "tiny-gpt2": {"layer": 7, "eta": AUTO},
    "tiny-llama2": {"layer": 6, "eta": AUTO},
}


def defaults(model: LanguageModel) -> dict[str, object]:
    """Layer and eta: the published ones, the measured ones (data/editing/), or "auto"."""
    general = {"layer": relative_layer(model, DEPTH), "eta": AUTO}
    return general | known_settings(model, PUBLISHED | MEASURED)


def forward_shift(
    model: LanguageModel,
    facts: Sequence[Fact],
    *,
    edits: Sequence[Edit],
    on_step: Callable[[int, int], None],
    layer: int,
    eta: float | str,
) -> tuple[tuple[Change, ...], dict[str, object]]:
    """One change of rank 1 and the eta that was used.

    A longer target is edited by its first token, as in the paper. With "auto", eta is the smallest
    one (to about 1%) that makes the target the answer; it takes at most three batched passes of
    the layers above the edit. Raises EditError if there is none.
    """
    (fact,) = facts
    check_layers(model, [layer])
    if eta != AUTO:
        check_number("eta", eta, -1e6, 1e6)
    ids = model.encode(fact.prompt)
    wanted = model.target(fact.prompt, fact.target).id
    row = model.unembedding.weight[wanted].detach().float().clone()  # (d_model,)
    with turn(model, edits, gradients=False):
        with capture(model, ("ff2", "block")) as seen, block_calls(model) as calls:
            hidden = model.read(model.embed(ids))
        check_numbers(hidden)
        x = seen["ff2", layer].x[0].float()  # (token, d_mlp)
        if eta == AUTO:
            residual = seen["block", layer].outputs[0]  # (1, token, d_model)
            shift = torch.outer(x @ x[-1], row.to(x.device))  # of eta 1, at every token
            eta = smallest_eta(model, layer, residual, shift, calls, wanted)
    on_step(1, 1)
    if eta is None:
        raise EditError(
            f"No eta makes {fact.target!r} the answer through layer {layer}. Choose a later layer, "
            "or another method."
        )
    change = Change("ff2", layer, u=(eta * x[-1:]).mT.cpu().contiguous(), v=row[:, None].cpu())
    return (change,), {"layer": layer, "eta": eta}


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


@contextmanager
def block_calls(model: LanguageModel) -> Iterator[dict[int, BlockCall]]:
    """Note how the model calls its blocks (positions, masks), to call them again alone."""
    calls: dict[int, BlockCall] = {}

    def noting(layer: int):
        def note(_: nn.Module, inputs: tuple, named: dict) -> None:
            calls[layer] = (inputs[1:], dict(named))

        return note

    hooks = [
        block.register_forward_pre_hook(noting(i), with_kwargs=True)
        for i, block in enumerate(model.blocks)
    ]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()
