"""Single neurons of a gradient."""

from __future__ import annotations

import numpy as np
import pandas as pd

from app.words import code_span, number


def neuron_finding(neurons: pd.DataFrame, matrix: str, layer: int, target: str) -> str:
    """How unequal the neurons are, and whether the largest turn towards the target."""
    largest = neurons[neurons["group"] == "largest"]
    median = neurons.loc[neurons["group"] == "median", "norm"].median()
    top = float(largest["norm"].iloc[0])
    if top == 0:
        return f"Nothing to see here: every neuron of {matrix} is zero in layer {layer}."
    times = f"{top / median:,.0f} times the median's" if median > 0 else "while the median is zero"
    towards = sum(target in tokens for tokens in largest["bottom_tokens"])
    away = sum(target in tokens for tokens in largest["top_tokens"])
    return (
        f"The largest neuron of {matrix} in layer {layer} has a norm of {number(top)}, {times}. Of "
        f"the {len(largest)} largest, {towards} hold {code_span(target)} at the bottom (the update "
        f"turns them **towards** it) and {away} at the top (away from it)."
    )


def overlap_finding(overlap: pd.DataFrame, symbol: str) -> str:
    """Which spanning vector most neurons look like."""
    if not overlap["cosine"].notna().any():
        return "Nothing to compare: every neuron is zero here."
    size = overlap["cosine"].abs().to_numpy().reshape(-1, overlap["position"].nunique())
    size = size[~np.isnan(size).all(1)]  # neurons of zero are alike to nothing
    winners = np.nan_to_num(size).argmax(1)
    best = int(pd.Series(winners).mode().iloc[0])
    share = (winners == best).mean()
    token = overlap.loc[overlap["position"] == best, "token"].iloc[0]
    return (
        f"{share:.0%} of the {len(winners):,} neurons are most alike to the {symbol} of "
        f"{code_span(token)}, as it is or turned round (cosine, without its sign)."
    )


def one_neuron_finding(neuron: pd.Series, width: int) -> str:
    """What the update does to one neuron."""
    if neuron["norm"] == 0:
        return f"Neuron {neuron['neuron']} is zero: the update leaves it as it is."
    bottom, top = (
        ", ".join(code_span(token) for token in neuron[f"{end}_tokens"][:5])
        for end in ("bottom", "top")
    )
    return (
        f"Neuron {neuron['neuron']} is number {neuron['order'] + 1:,} of {width:,} by norm "
        f"({number(neuron['norm'])}). The update turns it **towards** {bottom} and "
        f"**away** from {top}."
    )
