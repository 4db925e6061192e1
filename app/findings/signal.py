"""How strong the learning signal is, and how alike it is from layer to layer."""

from __future__ import annotations

import pandas as pd

from app.findings.lenses import last_token
from app.outliers import ordinary_limit, times_the_median
from app.words import code_span, number


def norm_finding(norms: pd.DataFrame, module: str) -> str:
    """Where the learning signal is strongest, and how much of it is at the last token."""
    if norms["norm"].max() == 0:
        return "Nothing to see here: the learning signal is zero everywhere."
    strongest = norms.loc[norms["norm"].idxmax()]
    total = norms["norm"].sum()
    share = last_token(norms)["norm"].sum() / total
    return (
        f"For {module}, the signal is strongest in layer {strongest['layer']} at "
        f"{code_span(strongest['token'])} (‖δ‖ = {number(strongest['norm'])}); the last prompt "
        f"token receives {share:.0%} of it.{sink_note(norms)}"
    )


def sink_note(norms: pd.DataFrame) -> str:
    """A sentence about inputs so large that the colours leave them out; empty without any."""
    if ordinary_limit(norms["input_norm"], norms["position"]) is None:
        return ""
    top = norms.loc[norms["input_norm"].idxmax()]
    times = times_the_median(norms, "input_norm")
    far = f": {number(times)} times the median of the other tokens" if times else ""
    size = f"in layer {top['layer']}, ‖x‖ = {number(top['input_norm'], 4)}{far}"
    if top["position"] == norms["position"].min():
        return (
            f" The first token, {code_span(top['token'])}, is an **attention sink**: its input is "
            f"huge there whatever it says ({size})."
        )
    return f" One input stands out, that of {code_span(top['token'])} ({size})."


def similarity_finding(cosines: pd.DataFrame, where: str) -> str:
    """How alike neighbouring layers are, and how alike the first and the last; `where` is
    Markdown."""
    known = cosines.dropna(subset="cosine")
    apart = known[known["layer"] != known["other_layer"]]
    if apart.empty:
        return f"Nothing to compare at {where}: fewer than two layers have a signal there."
    near = apart.loc[(apart["layer"] - apart["other_layer"]).abs() == 1, "cosine"]
    ends = apart[(apart["layer"] == apart["layer"].min())]
    far = ends.loc[ends["other_layer"].idxmax()]
    low = apart.loc[apart["cosine"].idxmin()]
    beside = f"{near.mean():.2f} on average between neighbouring layers, and " if len(near) else ""
    return (
        f"At {where} the cosine is {beside}{far['cosine']:.2f} between layers "
        f"{int(far['layer'])} and {int(far['other_layer'])}, the furthest apart; its lowest is "
        f"{low['cosine']:.2f}, between layers {int(low['layer'])} and {int(low['other_layer'])}."
    )
