"""What the forward and the backward lens show: which words, where, and pushed which way."""

from __future__ import annotations

import pandas as pd

from app.outliers import ordinary_limit
from app.words import code_span, named_layers, number, place

MANY_PIECES = 0.4  # of the lower half's cells
LOWEST_SHARE = 0.01  # "the lowest 1%" of the vocabulary


def last_token(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["position"] == table["position"].max()]


def forward_finding(lens: pd.DataFrame, target: str, vocabulary: int) -> str:
    """Where the model's answer appears, and how far the target is from it."""
    end = last_token(lens).sort_values("layer")
    tops = [tokens[0] if tokens else "" for tokens in end["top_tokens"]]
    answer, final = tops[-1], end.iloc[-1]
    if not answer:
        return "After the last prompt token the model ends at a vector of zeros: it has no words."
    since = len(tops) - 1
    while since and tops[since - 1] == answer:
        since -= 1
    probability = final["top_probabilities"][0]
    sure = "over 99%" if probability > 0.99 else f"{probability:.0%}"
    says = (
        f"After the last prompt token the model says {code_span(answer)} ({sure} sure); that word "
        f"leads from layer {end['layer'].iloc[since]} on."
    )
    if answer == target and lens.attrs.get("note"):
        return f"{says} Your target begins with it; what follows is not compared."
    if answer == target:
        return f"{says} It is your target: the model knows it already."
    return f"{says} Your target {code_span(target)} ends {place(final['target_rank'], vocabulary)}."


def backward_finding(
    lens: pd.DataFrame, target: str, vocabulary: int, answer: str | None = None
) -> str:
    """What FF2's update pushes towards, where its signal is strongest, sign included.

    `answer` is what the model says now; where it is the target's first token, the finding says so.
    """
    if lens["near_zero"].all():
        return (
            f"Nothing much here: the model already says {code_span(target)}, so that there is "
            "almost nothing to learn."
        )
    strongest, apart = strongest_cell(lens)
    where = (
        f"{apart} strongest signal is in layer {strongest['layer']} at "
        f"{code_span(strongest['token'])} (‖δ‖ = {number(strongest['norm'])})."
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
    known = ""
    if answer == target:
        begins = "begins your target" if lens.attrs.get("note") else "is your target"
        known = (
            f" The model says {code_span(target)} already, which {begins}: what is learned here "
            "would only make it surer."
        )
    return where + " " + spot + meaning + also + known


def strongest_cell(lens: pd.DataFrame) -> tuple[pd.Series, str]:
    """The cell with the strongest signal, and the words before it.

    Where the first token's signal dwarfs all others, as an attention sink's may, it is named and
    the strongest of the other tokens is taken.
    """
    top = lens.loc[lens["norm"].idxmax()]
    first = lens["position"].min()
    others = lens[(lens["position"] != first) & ~lens["near_zero"]]
    sink = top["position"] == first and ordinary_limit(lens["norm"], lens["position"]) is not None
    if not sink or others.empty:
        return top, "The"
    words = (
        f"The first token, {code_span(top['token'])}, is an attention sink (‖δ‖ = "
        f"{number(top['norm'])} in layer {top['layer']}). Apart from it, the"
    )
    return others.loc[others["norm"].idxmax()], words


def pieces_note(lens: pd.DataFrame, words: str, *, normalised: bool) -> str:
    """A sentence where early layers read as word pieces; empty where they do not.

    words: the column of the words shown. `normalised` is whether a normalised lens can help.
    """
    shown = lens[lens[words].str.len() > 0]
    early = shown[shown["layer"] < lens["layer"].max() / 2]
    share = early[words].map(is_piece).mean() if len(early) else 0.0
    if share < MANY_PIECES:
        return ""
    advice = " “Normalised lens” reads weak signals better." if normalised else ""
    return (
        f" {share:.0%} of the cells of the lower half read as signs or pieces of words: signals "
        f"in early layers are far from the vocabulary, so trust the upper layers more.{advice}"
    )


def is_piece(token: str) -> bool:
    """Whether a token is no beginning of a word: no space before it, or no letter in it."""
    return not token.startswith(" ") or not any(map(str.isalpha, token))


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
        f"{named_layers(list(bottom))}: subtracting δ pushes those layers **towards** it."
    )


def token_rank_finding(
    lens: pd.DataFrame, column: str, word: str, symbol: str, vocabulary: int
) -> str:
    """Where a word stands at the last token, and what that means for the update."""
    end = last_token(lens)
    ranks = end[column].dropna().astype("int64")
    if ranks.empty:
        return f"At the last prompt token {symbol} is zero: it says nothing."
    low = (ranks >= vocabulary * (1 - LOWEST_SHARE)).sum()
    high = (ranks < vocabulary * LOWEST_SHARE).sum()
    middle = place(int(ranks.median()), vocabulary)
    text = (
        f"At the last prompt token {code_span(word)} is, in the median layer, {middle} in {symbol}:"
        f" among the most probable 1% in {high} of {len(ranks)} layers, among the least probable "
        f"1% in {low}."
    )
    if "δ" not in symbol or not (low or high):
        return text
    if low == high:
        return text
    if low > high:
        return f"{text} Subtracting δ pushes **towards** it."
    return f"{text} Subtracting δ pushes **away** from it."
