"""How many directions a gradient has."""

from __future__ import annotations

import pandas as pd

from app.words import count, named_layers


def rank_curve_finding(curve: pd.DataFrame) -> str:
    """How many (prefix, layer, matrix) cases lie on the diagonal; the last layer apart."""
    last = curve["layer"].max()
    final = curve.loc[curve["layer"] == last, "rank"]
    always = (final == 1).all()
    end = "is always 1" if always else f"is between {final.min()} and {final.max()}"
    body = curve[curve["layer"] < last]
    if body.empty:
        return f"This model has one layer; in it, the last one, the rank {end}."
    on_diagonal = (body["rank"] == body["prompt_length"]).sum()
    why = ""
    if on_diagonal < len(body):
        why = (
            " Where it is less, a token brings nothing new, or its signal is too weak to be told "
            "from the rounding of a 32-bit gradient."
        )
    return (
        f"Below the last layer the rank equals the number of prompt tokens in {on_diagonal} of "
        f"{len(body)} cases ({on_diagonal / len(body):.0%}); it is never more.{why} In the "
        f"last layer it {end}."
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
