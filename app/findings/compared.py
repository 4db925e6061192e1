"""What differs between two runs: which side has more, in how many layers, and where most.

Names of the sides are Markdown. Differences are right less left.
"""

from __future__ import annotations

import pandas as pd

from app.findings.lenses import last_token
from app.titles import SEGMENT_TITLES
from app.words import code_span, count, number, percent

Names = tuple[str, str]
NOTHING = "Nothing differs here: both sides have the same numbers."
SAME = 1e-6  # of the larger value: rounding


HARDLY = 0.01  # of the vocabulary: two places so near to one another are as good as the same


def spot(token: str) -> str:
    """A prompt's token, or the segment of that name, as Markdown."""
    return f"“{SEGMENT_TITLES[token]}”" if token in SEGMENT_TITLES else code_span(token)


def words_finding(table: pd.DataFrame) -> str:
    """In how many cells the two sides have another word."""
    known = table["same_word"].dropna()
    other = int((~known.astype(bool)).sum())
    if not other:
        return "Both sides have the same word in every cell."
    first = table.loc[known.index[~known.astype(bool)], "layer"].min()
    return f"The word differs in {other} of {count(len(known), 'cell')}, from layer {first} on."


def leaders(left: pd.Series, right: pd.Series) -> tuple[int, int, int]:
    """Which side has more in more layers (0 left, 1 right), in how many, and of how many.

    left, right: a value a layer; layers without one on either side do not count.
    """
    both = pd.DataFrame({"left": left, "right": right}).dropna()
    close = (both["right"] - both["left"]).abs() <= SAME * both.abs().max(axis=1)
    more = [int(((both[a] > both[b]) & ~close).sum()) for a, b in SWAPPED]
    lead = int(
        more[1] > more[0] or (more[1] == more[0] and both["right"].sum() > both["left"].sum())
    )
    return lead, more[lead], len(both)


SWAPPED = (("left", "right"), ("right", "left"))


def probability_finding(table: pd.DataFrame, names: Names) -> str:
    """Whose target is more probable at the last token, and where the gap is widest."""
    end = last_token(table).set_index("layer")
    lead, layers, of = leaders(end["left_probability"], end["right_probability"])
    if not layers:
        return "At the last token both targets are equally probable in every layer."
    gap = end["probability_difference"] * (1 if lead else -1)
    layer, row = gap.idxmax(), end.loc[gap.idxmax()]
    sides = [row["left_probability"], row["right_probability"]]
    return (
        f"At the last token the target is more probable for {names[lead]} than for "
        f"{names[1 - lead]} in {layers} of {count(of, 'layer')}; most in layer {layer} "
        f"({percent(sides[lead])} against {percent(sides[1 - lead])})."
    )


def strength_finding(
    left: pd.DataFrame,
    right: pd.DataFrame,
    table: pd.DataFrame,
    names: Names,
    column: str = "norm",
    thing: str = "signal is stronger",
    symbol: str = "‖δ‖",
) -> str:
    """Whose signal is stronger in more layers, and at which cell the most.

    left, right: the tables of either side, with the column by cell; table: their difference.
    """
    sums = [side.groupby("layer")[column].sum() for side in (left, right)]
    lead, layers, of = leaders(*sums)
    if not layers:
        return NOTHING
    # Where the leading side is ahead the most; the other way round it would be another story.
    ahead = table[f"{column}_difference"] * (1 if lead else -1)
    row = table.loc[ahead.idxmax()]
    sides = [row[f"left_{column}"], row[f"right_{column}"]]
    return (
        f"For {names[lead]} the {thing} than for {names[1 - lead]} in {layers} of "
        f"{count(of, 'layer')}; most in layer {row['layer']} at {spot(row['token'])} "
        f"({symbol} {number(sides[lead])} against {number(sides[1 - lead])})."
    )


def cosine_finding(cosines: pd.DataFrame) -> str:
    """How alike two signals are, and where least."""
    known = cosines.dropna(subset="cosine")
    if known.empty:
        return "No cell has a signal on both sides."
    low = known.loc[known["cosine"].idxmin()]
    opposite = int((known["cosine"] < 0).sum())
    against = f" In {count(opposite, 'cell')} they point against each other." if opposite else ""
    return (
        f"The two signals have a cosine of {cosine(known['cosine'].mean())} on average (1: the "
        f"same lesson, 0: nothing in common); least in layer {low['layer']} at "
        f"{spot(low['token'])}, {cosine(low['cosine'])}.{against}"
    )


def cosine(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def apart_finding(
    left: pd.DataFrame, right: pd.DataFrame, names: Names, column: str, symbol: str
) -> str:
    """Where either side is strongest, for sides that have no cells in common."""
    parts = []
    for table, name in ((left, names[0]), (right, names[1])):
        row = table.loc[table[column].astype("float64").idxmax()]
        depth = row["layer"] / max(int(table["layer"].max()), 1)
        parts.append(
            f"for {name} it is largest in layer {row['layer']} (depth {depth:.2f}) at "
            f"{spot(row['token'])}"
        )
    return f"{symbol}: {parts[0]}; {parts[1]}."


def place_finding(curves: pd.DataFrame, names: Names, *, gradient: bool) -> str:
    """On which side the target is further down (in δ: pushed towards more clearly), or further up
    (in the forward lens: more probable), by layer.

    curves: core.both_sides with a place a side and layer, from 0 (most probable) to 1.
    """
    left, right = (curves[curves["side"] == s].set_index("layer")["place"] for s in SIDES)
    sign = 1 if gradient else -1
    where = (
        "lower in δ, so that the update pushes towards it more" if gradient else "nearer the top"
    )
    if curves["layer"].nunique() != len(left) or len(left) != len(right):
        means = [left.mean(), right.mean()]
        if pd.isna(means).any() or means[0] == means[1]:
            return NOTHING
        lead = int(sign * means[1] > sign * means[0])
        return (
            f"On average over its layers the target of {names[lead]} stands {where}: "
            f"{percent(means[lead])} of the way down against {percent(means[1 - lead])}."
        )
    lead, layers, of = leaders(sign * left, sign * right)
    if not of:
        return "No layer has a signal on both sides."
    if (right - left).abs().max() < HARDLY:
        return (
            "Hardly any difference: in every layer the two targets stand within "
            f"{HARDLY:.0%} of the vocabulary of one another."
        )
    ahead = ((right - left) * sign * (1 if lead else -1)).dropna()
    sides = [left[ahead.idxmax()], right[ahead.idxmax()]]
    return (
        f"The target of {names[lead]} stands {where} than that of {names[1 - lead]} in {layers} of "
        f"{count(of, 'layer')}; most in layer {ahead.idxmax()} ({percent(sides[lead])} of the way "
        f"down against {percent(sides[1 - lead])})."
    )


SIDES = ("left", "right")


def ranks_finding(left: pd.DataFrame, right: pd.DataFrame, names: Names) -> str:
    """Which side's change has more directions, and whether that is only its longer prompt.

    left, right: gradient_rank's rows of one matrix.
    """
    lengths = [int(side["prompt_length"].iloc[0]) for side in (left, right)]
    body = [side.loc[side["layer"] < side["layer"].max(), "rank"] for side in (left, right)]
    if body[0].empty or body[1].empty:
        return "With one layer there is nothing to compare below the last one."
    means = [ranks.mean() for ranks in body]
    end = f" ({lengths[0]} and {lengths[1]} prompt tokens)" if lengths[0] != lengths[1] else ""
    if means[0] == means[1]:
        return f"Below the last layer both have {number(means[0])} directions on average{end}."
    lead = int(means[1] > means[0])
    text = (
        f"Below the last layer the change has more directions for {names[lead]}: "
        f"{number(means[lead])} on average against {number(means[1 - lead])}{end}."
    )
    full = all((ranks == length).all() for ranks, length in zip(body, lengths, strict=True))
    return text + (
        " That is only the longer prompt: either is as high as it can be." if full else ""
    )
