"""How many directions a gradient has."""

from __future__ import annotations

import pandas as pd

from app.titles import MATRIX_TITLES
from app.words import count, named_layers


def rank_curve_finding(curve: pd.DataFrame, full_size: int | None = None) -> str:
    """In how many layers every length lies on the diagonal, and where the rank falls furthest below
    it; the last layer apart. The diagonal ends at `full_size`, the matrices' narrower side."""
    last = curve["layer"].max()
    final = curve.loc[curve["layer"] == last, "rank"]
    always = (final == 1).all()
    end = "is always 1" if always else f"is between {final.min()} and {final.max()}"
    body = curve[curve["layer"] < last]
    if body.empty:
        return f"This model has one layer; in it, the last one, the rank {end}."
    short = body["prompt_length"].clip(upper=full_size) - body["rank"]
    by_layer = short.groupby(body["layer"]).max()
    layers, whole = len(by_layer), int((by_layer == 0).sum())
    most = "the number of prompt tokens"
    if full_size is not None and full_size < curve["prompt_length"].max():
        most += f" (or {full_size:,}, all that the matrix has room for)"
    if whole == layers:
        every = "every layer" if layers > 1 else "the layer"
        return f"In {every} below the last the rank equals {most}, at each length. In the last " + (
            f"layer it {end}."
        )
    worst = body.loc[short.idxmax()]
    possible = int(worst["rank"] + short.max())
    return (
        f"In {whole} of {count(layers, 'layer')} below the last the rank equals {most}, at each "
        f"length. It falls furthest below in layer {worst['layer']}: {worst['rank']} instead of "
        f"{possible} in {MATRIX_TITLES[worst['matrix']]}, at "
        f"{count(worst['prompt_length'], 'token')}. There a token brings nothing new, or its "
        "signal is too weak to be told from the "
        f"rounding of a 32-bit gradient. In the last layer it {end}."
    )


def rank_finding(ranks: pd.DataFrame, full_size: int) -> str:
    """The rank of the whole prompt's gradients, against the most that the matrix could have."""
    n = int(ranks["prompt_length"].iloc[0])
    last = ranks["layer"].max()
    end = f"in the last layer {int(ranks.loc[ranks['layer'] == last, 'rank'].max())}"
    body = ranks[ranks["layer"] < last]
    if body.empty:
        return f"{count(n, 'prompt token')}, and {end}: only the last token is corrected there."
    most = int(body["rank"].max())
    short = sorted(set(body.loc[body["rank"] < most, "layer"]))
    exception = f", but less in {named_layers(short)}" if short else ""
    return (
        f"{count(n, 'prompt token')} give{'s' if n == 1 else ''} a change with "
        f"{count(most, 'independent direction')}{exception}, of {full_size:,} that the matrix has "
        f"room for; {end}, since only the last token is corrected there."
    )
