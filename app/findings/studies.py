"""What holds over many prompts."""

from __future__ import annotations

import pandas as pd

import core
from app.findings.lenses import LOWEST_SHARE
from app.words import count, number, plain


def full_rank_finding(study: core.Study, matrix: str, answered: str) -> str:
    """In how many cases below the last layer the rank equals the prompt's length."""
    table = study.gradient_ranks
    table = table[(table["answered"] == answered) & (table["matrix"] == matrix)]
    last = study.header.n_layers - 1
    body, end = table[table["layer"] < last], table[table["layer"] == last]
    if not table["n"].any():
        return f"{study.header.model} has no such prompt: choose other prompts or another study."
    rank = float(end["gradient_rank"].iloc[0])
    always = "always 1" if rank == 1 else f"{rank:.2f} on average"
    if body.empty:
        return f"This model has one layer; in it, the last one, the rank is {always}."
    share, worst = body["rank_is_full"].mean(), body.loc[body["rank_is_full"].idxmin()]
    exception = ""
    if worst["rank_is_full"] < 1:
        exception = f" (least often, {worst['rank_is_full']:.1%}, in layer {int(worst['layer'])})"
    prompts = count(int(body["n"].iloc[0]), "prompt")
    return (
        f"Below the last layer the rank equals the number of prompt tokens in {share:.1%} of "
        f"cases{exception}, over {prompts}; in the last layer it is "
        f"{always}."
    )


def length_finding(table: pd.DataFrame, matrix: str) -> str:
    """How the mean rank goes with the prompt's length, beside what the paper found.

    table: prompt_length, layer, n, gradient_rank, as Study.ranks_by_length has them, of one matrix.
    """
    last = table["layer"].max()
    body, end = table[table["layer"] < last], table[table["layer"] == last]
    shortest, longest = table["prompt_length"].min(), table["prompt_length"].max()
    lengths = f"{shortest} to {longest} tokens" if longest > shortest else f"{longest} tokens"
    prompts = count(int(end["n"].sum()), "prompt")
    rank = (end["gradient_rank"] * end["n"]).sum() / end["n"].sum()
    always = "always 1" if end["highest"].max() == 1 else f"{number(rank)} on average"
    if body.empty:
        return f"{prompts} of {lengths}: this model has one layer, and the rank is {always}."
    missing = body["prompt_length"] - body["gradient_rank"]
    mean = (missing * body["n"]).sum() / body["n"].sum()
    if mean < 1e-9:
        follows = f"{matrix}'s gradient has **exactly as many directions as the prompt has tokens**"
    else:
        worst = body.loc[missing.idxmax()]
        follows = (
            f"{matrix}'s gradient has {number(mean, 2)} directions fewer than the prompt has "
            f"tokens on average, most in layer {int(worst['layer'])} at "
            f"{int(worst['prompt_length'])} tokens (mean rank {number(worst['gradient_rank'])})"
        )
    return (
        f"Over {prompts} of {lengths}, below the last layer {follows}; in the last layer it is "
        f"{always}. The paper found the same number in more than 98.5% of cases, and 1 in the last "
        "layer."
    )


def study_norm_finding(table: pd.DataFrame, column: str, module: str) -> str:
    """The layer and segment with the largest mean norm."""
    known = table[table["n"] > 0]
    if not known[column].any():
        return f"Nothing to see here: for {module} every mean is zero."
    top = known.loc[known[column].idxmax()]
    what = "the learning signal" if column == "norm" else "the input"
    error = top[f"{column}_error"]
    give = f" ± {number(error, 2)}" if pd.notna(error) else ""
    prompts = count(int(top["n"]), "prompt")
    note = f"± standard error, {prompts}" if give else prompts
    return (
        f"For {module}, {what} is strongest in layer {int(top['layer'])} "
        f"{where_in_prompt(top['segment'])}: {number(top[column])}{give} on average ({note})."
    )


def where_in_prompt(segment: str) -> str:
    """A segment's name as the end of "the signal is strongest"."""
    return "before the subject" if segment == core.SEGMENTS[0] else f"at the {segment}"


def study_rank_finding(table: pd.DataFrame, word: str, symbol: str, vocabulary: int) -> str:
    """Where a word stands at the last token, on average."""
    end = table[(table["segment"] == core.SEGMENTS[-1]) & (table["n"] > 0)]
    share = end[f"{word}_rank"].dropna() / (vocabulary - 1)
    if share.empty:
        return f"At the last prompt token {symbol} is zero: it says nothing."
    low, high = f"{share.min():.1%}", f"{share.max():.1%}"
    text = (
        f"At the last prompt token the {word}'s mean rank in {symbol} lies "
        f"{low if low == high else f'between {low} and {high}'} of the way from the most probable "
        "token to the least probable one."
    )
    if "δ" not in symbol:
        return text
    if share.min() > 1 - LOWEST_SHARE:
        return f"{text} Subtracting δ pushes **towards** it in every layer."
    if share.max() < LOWEST_SHARE:
        return f"{text} Subtracting δ pushes **away** from it in every layer."
    return text


def claims_finding(model: str, table: pd.DataFrame) -> str:
    """How many of the paper's claims hold for a model. table: verdict, as core.claims gives it."""
    asked = table[table["verdict"] != "unknown"]
    counts = [(asked["verdict"] == word).sum() for word in ("holds", "in part", "fails")]
    if asked.empty:
        return f"{plain(model)} has no such prompt: choose other prompts or another study."
    return (
        f"Of {count(len(asked), 'claim')} of the paper that were asked, **{counts[0]} hold** for "
        f"{plain(model)}, {counts[1]} in part, and {counts[2]} fail."
    )
