"""Whether the gradient in factors is the gradient."""

from __future__ import annotations

MOST = 1e-3  # of the largest entry: more is no rounding, not even of 16-bit numbers


def checked_finding(error: float | None, layer: int) -> str:
    """The reconstruction error of FF2 in a layer, as a mark with its figure."""
    where = f"gradient of FF2 in layer {layer}, put together from x and δ"
    if error is None:
        return f"Not checked: autograd cannot differentiate weights of 8 bits ({where})."
    if not error <= MOST:
        return (
            f"✗ Differs from autograd: largest relative difference {error:.1g} ({where}). Do not "
            "trust these pictures; the model's weights may be too coarse."
        )
    figure = f"largest relative difference {error:.0e}" if error else "no difference"
    return f"✓ Checked against autograd: {figure} ({where})."
