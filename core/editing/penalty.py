"""What it costs to move other keys: lambda C + K_p K_p^T, with earlier edits' keys K_p.

C's Cholesky factor is found once for each layer and stays in memory with the model; the few keys
are added by Woodbury's identity. So a solution costs d_mlp^2 instead of d_mlp^3 products, for every
lambda, method and fact after the first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from core.editing.second_moments import OnStep, cache_file, second_moments, source_name
from core.errors import EditError
from core.model.language_model import LanguageModel
from core.model.memory import available_memory

OF_MODEL = 1 / 2  # of a model's own bytes, for all its factors in memory
OF_CARD = 1 / 3  # of the card's free bytes, for one matrix that is factored there
Kept = OrderedDict[tuple[int, str], Tensor]
_kept: WeakKeyDictionary[LanguageModel, Kept] = WeakKeyDictionary()
_guard = threading.Lock()


@dataclass(frozen=True)
class Penalty:
    """lambda C + K_p K_p^T of one layer's keys."""

    factor: Tensor  # L, lower, with C = L L^T: (d_mlp, d_mlp) float64
    weight: float  # lambda
    earlier: Tensor | None = None  # K_p, a column a fact: (d_mlp, fact) float64

    def solve(self, keys: Tensor) -> Tensor:
        """X of (lambda C + K_p K_p^T + K K^T) X = K for keys K and X (d_mlp, fact), float64.

        With A = [K_p K] it is a part of (lambda C)^-1 A (I + A^T (lambda C)^-1 A)^-1.
        """
        held = keys if self.earlier is None else torch.cat([self.earlier, keys], 1)
        free = torch.cholesky_solve(held, self.factor) / self.weight
        inner = torch.eye(held.shape[1], dtype=held.dtype) + held.mT @ free
        asked = torch.eye(held.shape[1], dtype=held.dtype)[:, -keys.shape[1] :]
        return free @ torch.linalg.solve(inner, asked)


def factors(
    model: LanguageModel,
    layers: Sequence[int],
    *,
    text_file: str | Path | None = None,
    on_step: OnStep = lambda done, total: None,
) -> dict[int, Tensor]:
    """The lower Cholesky factor of each layer's C, (d_mlp, d_mlp) float64 on the CPU.

    From memory where it is there, else from `second_moments`, which reports its steps and raises
    what it raises. Raises EditError for a C that cannot be inverted.
    """
    source = source_name(model, text_file)
    with _guard:
        own = _kept.setdefault(model, OrderedDict())
        found = {layer: own[layer, source] for layer in layers if (layer, source) in own}
    if missing := [layer for layer in layers if layer not in found]:
        moments = second_moments(model, missing, text_file=text_file, on_step=on_step)
        for layer in missing:
            found[layer] = factor_of(moments.pop(layer), model.device)
            if found[layer] is None:
                raise EditError(
                    f"What was computed of layer {layer} for ROME and MEMIT cannot be used. Delete "
                    f"{cache_file(model, layer, source)} and try again, or choose another layer."
                )
    with _guard:
        for layer in layers:
            own[layer, source] = found[layer]
            own.move_to_end((layer, source))
        forget_some(own, OF_MODEL * bytes_of(model))
    return {layer: found[layer] for layer in layers}


def forget_some(own: Kept, most: float) -> None:
    """Those that were not used for longest, until the rest takes at most `most` bytes."""
    while own and sum(factor.nbytes for factor in own.values()) > min(most, available_memory()):
        own.popitem(last=False)


def bytes_of(model: LanguageModel) -> int:
    return sum(parameter.nbytes for parameter in model.network.parameters())


def factor_of(moment: Tensor, device: torch.device) -> Tensor | None:
    """Computed on a card that has room for it, and knows float64; None of a matrix that has none,
    as a layer whose keys are all zero gives it, or a damaged file."""
    if device.type == "cuda" and moment.nbytes < OF_CARD * torch.cuda.mem_get_info(device)[0]:
        moment = moment.to(device)
    factor, failed = torch.linalg.cholesky_ex(moment)
    return None if failed else factor.cpu()
