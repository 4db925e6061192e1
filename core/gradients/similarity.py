"""How alike the learning signals of two layers are (Figures 22, 23)."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from core.errors import PromptError
from core.gradients.trace import Trace


def layer_similarity(
    trace: Trace, matrix: str = "ff2", *, position: int | None = None
) -> pd.DataFrame:
    """The cosine of a matrix's VJPs at one token between all pairs of layers (Figure 22).

    One row per pair: layer, other_layer, cosine (-1 ... 1; NaN where either VJP is zero).
    `position` counts from 0, BOS included; the last prompt token if not given. Raises PromptError
    for a position that is not in the prompt.
    """
    position = check_position(trace, position)
    delta = trace.matrix(matrix).delta[:, position]  # (layer, d_out)
    cosines = cosine_matrix(delta.double()).cpu()
    layers = range(len(delta))
    table = pd.DataFrame(
        [(a, b, cosines[a, b].item()) for a in layers for b in layers],
        columns=["layer", "other_layer", "cosine"],
    )
    table.attrs["note"] = trace.target.note
    return table


def cosine_matrix(vectors: Tensor) -> Tensor:
    """Cosines of all pairs: (..., row, width) -> (..., row, row); NaN for a vector of zeros.

    Use float64: the squares of tiny VJPs underflow in float32.
    """
    units = vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return (units @ units.mT).clamp(-1, 1)


def check_position(trace: Trace, position: int | None) -> int:
    """A position in the prompt, the last one for None; raises PromptError."""
    last = trace.prompt_length - 1
    if position is None:
        return last
    if not 0 <= position <= last:
        raise PromptError(
            f"The prompt has no token at position {position}. Choose one from 0 to {last}."
        )
    return position


def check_layer(trace: Trace, layer: int) -> int:
    """A layer of the model; raises PromptError with the layers that there are."""
    last = trace.model.n_layers - 1
    if not 0 <= layer <= last:
        raise PromptError(f"The model has no layer {layer}. Choose one from 0 to {last}.")
    return layer
