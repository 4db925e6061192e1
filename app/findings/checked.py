"""Whether the gradient in factors is the gradient."""

from __future__ import annotations

from app.words import number

# Of the largest entry; more is no rounding. bfloat16 itself rounds by up to 4e-3, float32 by 6e-8.
MOST, MOST_OF_16_BITS = 1e-4, 2e-2


def checked_finding(error: float, layer: int, *, half: bool = False) -> str:
    """The reconstruction error of FF2 in a layer, as a mark with its figure; `half` where
    what flows between the layers has 16 bits."""
    where = f"FF2, layer {layer}"
    figure = f"largest relative difference {number(error, 1)}" if error else "no difference"
    if not error <= (MOST_OF_16_BITS if half else MOST):
        return f"✗ Differs from autograd: {figure} ({where}). Do not trust these pictures."
    return f"✓ Checked against autograd: {figure} ({where})."
