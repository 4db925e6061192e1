"""One sentence above each picture: what it says for this prompt, with the sign right.

Tables come from core; text of users and models goes through code_span.
"""

from __future__ import annotations

import pandas as pd

from app.words import code_span, layer_list, place

LOWEST_SHARE = 0.01  # "the lowest 1%" of the vocabulary


def last_token(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["position"] == table["position"].max()]


def forward_finding(lens: pd.DataFrame, target: str, vocabulary: int) -> str:
    """Where the model's answer appears, and how far the target is from it."""
    end = last_token(lens).sort_values("layer")
    tops = [tokens[0] for tokens in end["top_tokens"]]
    answer, final = tops[-1], end.iloc[-1]
    since = len(tops) - 1
    while since and tops[since - 1] == answer:
        since -= 1
    probability = final["top_probabilities"][0]
    sure = "over 99%" if probability > 0.99 else f"{probability:.0%}"
    says = (
        f"After the last prompt token the model says {code_span(answer)} ({sure} sure); that word "
        f"leads from layer {end['layer'].iloc[since]} on."
    )
    if answer == target:
        return f"{says} It is your target: the model knows it already."
    return f"{says} Your target {code_span(target)} ends {place(final['target_rank'], vocabulary)}."


def backward_finding(lens: pd.DataFrame, target: str, vocabulary: int) -> str:
    """What FF2's update pushes towards, where its signal is strongest, sign included."""
    if lens["near_zero"].all():
        return (
            f"Nothing much here: the model already says {code_span(target)}, so that there is "
            "almost nothing to learn."
        )
    strongest = lens.loc[lens["norm"].idxmax()]
    where = (
        f"The strongest signal is in layer {strongest['layer']} at {code_span(strongest['token'])} "
        f"(‖δ‖ = {strongest['norm']:.3g})."
    )
    rank = int(strongest["target_rank"])
    spot = f"There {code_span(target)} is {place(rank, vocabulary)} in δ"
    share = share_of_layers_at_the_bottom(lens, vocabulary)
    also = (
        f" At the last prompt token it is among the lowest 1% in {share[0]} of {share[1]} layers."
    )
    if rank >= vocabulary * (1 - LOWEST_SHARE):
        meaning = ", and the update subtracts δ: it pushes the output **towards** that word."
    elif rank >= vocabulary / 2:
        meaning = ", in the lower half: the update, which subtracts δ, pushes towards it weakly."
    else:
        meaning = (
            ", in the upper half: right there the update, which subtracts δ, does **not** push "
            "towards it; it changes what later layers read."
        )
    return where + " " + spot + meaning + also


def share_of_layers_at_the_bottom(lens: pd.DataFrame, vocabulary: int) -> tuple[int, int]:
    """In how many layers the last token's delta has the target among the lowest 1%, and of how
    many."""
    end = last_token(lens)
    ranks = end.loc[~end["near_zero"], "target_rank"]
    return int((ranks >= vocabulary * (1 - LOWEST_SHARE)).sum()), len(end)


def input_finding(lens: pd.DataFrame) -> str:
    """What FF1 would write down, at the cell with the strongest signal."""
    if lens["near_zero"].all():
        return "Nothing much here: the learning signal of FF1 is zero everywhere."
    strongest = lens.loc[lens["norm"].idxmax()]
    words = ", ".join(code_span(token) for token in strongest["top_tokens"][:3])
    return (
        f"The strongest signal for FF1 is in layer {strongest['layer']} at "
        f"{code_span(strongest['token'])}: the update adds or subtracts copies of what is read "
        f"there, which looks like {words}."
    )


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
    exception = f", but less in {layers(short)}" if short else ""
    return (
        f"{count(n, 'prompt token')} give{'s' if n == 1 else ''} a change with "
        f"{count(most, 'independent direction')}{exception}, of {full_size:,} that the matrix has "
        f"room for; {end}, since only the last token is corrected there."
    )


def count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def norm_finding(norms: pd.DataFrame, module: str) -> str:
    """Where the learning signal is strongest, and how much of it is at the last token."""
    if norms["norm"].max() == 0:
        return "Nothing to see here: the learning signal is zero everywhere."
    strongest = norms.loc[norms["norm"].idxmax()]
    total = norms["norm"].sum()
    share = last_token(norms)["norm"].sum() / total
    return (
        f"For {module}, the signal is strongest in layer {strongest['layer']} at "
        f"{code_span(strongest['token'])} (‖δ‖ = {strongest['norm']:.3g}); the last prompt token "
        f"receives {share:.0%} of it."
    )


def target_rank_finding(lens: pd.DataFrame, target: str, vocabulary: int) -> str:
    """In which layers the last token's update pushes towards the target."""
    end = last_token(lens)
    end = end[~end["near_zero"]]
    bottom = end.loc[end["target_rank"] >= vocabulary * (1 - LOWEST_SHARE), "layer"]
    if bottom.empty:
        return (
            f"At the last prompt token, {code_span(target)} is in no layer among the lowest 1%: "
            "no layer alone is pushed towards it clearly."
        )
    return (
        f"At the last prompt token, {code_span(target)} is among the least probable 1% in "
        f"{layers(list(bottom))}: subtracting δ pushes those layers **towards** it."
    )


def layers(numbers: list[int]) -> str:
    word = "layer" if len(numbers) == 1 else "layers"
    return f"{word} {layer_list(sorted(numbers))}"
