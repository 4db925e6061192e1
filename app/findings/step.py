"""What one step of learning does, predicted and measured."""

from __future__ import annotations

import pandas as pd

import core
from app.words import code_span, count, number, place


def imprint_finding(
    result: core.ImprintAndShift, matrix: str, token: str, target: str, vocabulary: int
) -> str:
    """What one step does to what FF2 says at the token, and to the model's answer."""
    rows = result.table.set_index(["stage", "time"])
    before, after = rows.loc[("mlp", "before")], rows.loc[("mlp", "after")]
    if not result.predicted.any():
        return (
            f"Nothing changes: the learning signal at {code_span(token)} is zero in layer "
            f"{result.layer}, so that a step of any size leaves {matrix} as it is."
        )
    who = "all prompt tokens" if result.all_tokens else f"{code_span(token)} alone"
    old, new = (answer_text(rows.loc[("answer", time)]) for time in ("before", "after"))
    return (
        f"One step of {result.step:g} on {matrix} in layer {result.layer}, learned from {who}: "
        f"{move_text(before['target_rank'], after['target_rank'], target, vocabulary)} The model's "
        f"answer was {old} and is {new}."
    )


def move_text(before: int, after: int, target: str, vocabulary: int) -> str:
    """From which rank of the target to which; <NA> is that of a vector of zeros."""
    ranks = {"before": before, "after": after}
    zero = [time for time, rank in ranks.items() if pd.isna(rank)]
    if len(zero) == 2:
        return "FF2's output stays a vector of zeros, which has no words."
    if zero:
        (time,) = ranks.keys() - zero
        return (
            f"{zero[0]} the step FF2's output is a vector of zeros, which has no words; {time} it, "
            f"{code_span(target)} is {place(ranks[time], vocabulary)}."
        )
    if after < before:
        move = "moves **towards** the target"
    elif after > before:
        move = "moves **away** from the target"
    else:
        move = "keeps the rank of the target"
    return (
        f"what FF2 says {move} {code_span(target)}, from {place(before, vocabulary)} to "
        f"{place(after, vocabulary)}."
    )


def answer_text(row: pd.Series) -> str:
    if not row["top_tokens"]:
        return "a vector of zeros, which has no words,"
    return f"{code_span(row['top_tokens'][0])} ({row['top_probabilities'][0]:.0%})"


def agreement_finding(result: core.ImprintAndShift) -> str:
    """How well the lemma predicts the change."""
    if not result.predicted.any():
        return "Nothing is predicted and nothing has changed: the signal is zero here."
    gap = f"{number(result.error, 2)} of its size"
    if not result.all_tokens:
        verdict = "agree" if result.error < 1e-3 else "differ by rounding"
        return f"Prediction and measurement {verdict}: the difference is {gap}."
    alone = float((result.own - result.predicted).norm() / result.predicted.norm())
    return (
        f"The change is the sum of what every prompt token writes; that sum is met to within {gap}."
        f" This token's own term, −step · ‖x‖² · δ, alone is off by {alone:.0%}."
    )


def duality_finding(run: core.Trace, layer: int) -> str:
    """How few vectors the two gradients are made of."""
    n = run.prompt_length
    x, delta = run.matrix("ff1").x.shape[-1], run.matrix("ff1").delta.shape[-1]
    silent = int((run.matrix("ff2").delta[layer] == 0).all(-1).sum())
    verb = "is" if silent == 1 else "are"
    zero = f" {count(silent, 'signal')} of the {n} {verb} zero here." if silent else ""
    made = "token makes" if n == 1 else "tokens make"
    return (
        f"Each gradient has {x:,} × {delta:,} numbers, but {n} prompt {made} all of them: FF1's "
        f"neurons are mixtures of {count(n, 'input')}, FF2's of {count(n, 'signal')}.{zero}"
    )
