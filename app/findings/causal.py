"""What follows when one cell is changed: another prompt's state in it, or a step learned there."""

from __future__ import annotations

import pandas as pd

import core
from app.words import code_span, count, number, percent, plain

SURE = 0.9  # a part of the answer's probability below which it is less sure than before
UNMOVED = 1e-6  # of the size of a state: rounding
STRAIGHT = 0.1  # how far the measured change may be from the predicted one


def said(row: pd.Series) -> str:
    return f"{code_span(row['token'])} ({plain(percent(row['probability']))})"


def swap_finding(result: core.Swap) -> str:
    """What another prompt's state in a cell does to the answer."""
    firsts = {run: result.answers_of(run).iloc[0] for run in ("before", "after", "source")}
    before, after, source = firsts.values()
    other = f"“{plain(result.source_prompt)}”"
    own = result.moved[result.moved["layer"] == result.layer]
    if own["change"].max() <= UNMOVED:
        return (
            f"Nothing changes: at {code_span(result.source_token)} of {other} the model holds in "
            f"layer {result.layer} what it holds here. A token sees only what stands before it."
        )
    where = (
        f"With layer {result.layer} at {code_span(result.token)} taken from "
        f"{code_span(result.source_token)} of {other}, the answer"
    )
    last = result.moved.iloc[-1]
    if not last["reached"]:
        text = f"{where} stays {said(before)}: it is read at the last token, which this cell "
        return text + "does not reach."
    if result.answer_changes:
        text = f"{where} turns from {said(before)} to {said(after)}"
        if after["token"] == source["token"]:
            text += ", which is what that prompt itself answers."
        else:
            text += f". That prompt itself answers {said(source)}."
        if own["reached"].iloc[-1] and result.layer == last["layer"]:
            text += " This cell is the answer itself, so it had to."
    else:
        text = f"{where} stays {code_span(before['token'])} {stays_how(before, after, source)}"
    return text + target_move(result, {before["token"], after["token"]})


def stays_how(before: pd.Series, after: pd.Series, source: pd.Series) -> str:
    old, new = before["probability"], after["probability"]
    shares = f"({plain(percent(old))} → {plain(percent(new))})"
    if source["token"] == before["token"]:
        return f"{shares}. The other prompt has the same answer: one with another tells more."
    if new < SURE * old:
        return f"{shares}, less surely: that layer's state at this token carries a part of it."
    return f"{shares}: that layer's state at this token alone does not carry it."


def target_move(result: core.Swap, named: set[str]) -> str:
    """What happens to the target, where it was not named already."""
    if result.target is None or result.target.token in named:
        return ""
    old, new = (plain(percent(share)) for share in result.target_probability)
    move = f"goes from {old} to {new}" if old != new else f"stays at {old}"
    return f" Your target {code_span(result.target.token)} {move}."


def reach_sentence(result: core.Swap) -> str:
    """Which cells the swap can change, and why no others."""
    reached = result.moved[result.moved["reached"]].iloc[1:]
    zero = (
        "For the same reason δ is zero in the last layer at every token but the last: nothing gets "
        "from there to the answer."
    )
    if reached.empty:
        return f"No layer comes after this cell, so it can change no other. {zero}"
    far = reached.loc[reached["change"].idxmax()]
    return (
        f"Dashes frame the {count(len(reached), 'cell')} that it can reach, in the layers above at "
        "this token and later ones. The others cannot change: a token sees nothing that follows "
        "it, and the layers below have run already. It moves most in layer "
        f"{far['layer']} at {code_span(far['token'])}, by {far['change']:.0%} of what stood there. "
        + zero
    )


def step_finding(
    seen: core.BeforeAfter, share: float, rate: float, matrix: str, layer: int, token: str
) -> str:
    """What one step from one token does to target and answer, predicted and measured."""
    rows = seen.table.set_index("word")
    target, answer = rows.loc["target"], rows.loc["answer"]
    shares = [plain(percent(target[f"probability_{time}"])) for time in ("before", "after")]
    text = (
        f"If {matrix} of layer {layer} alone learned, from {code_span(token)} alone, with a change "
        f"of {share_text(share)} of its size (a learning rate of {number(rate, 2)}), "
        f"{code_span(target['token'])} would go from {shares[0]} to {shares[1]}"
    )
    return f"{text}{outcome(seen, target, answer)} {loss_text(seen)}"


def outcome(seen: core.BeforeAfter, target: pd.Series, answer: pd.Series) -> str:
    now = seen.answers[seen.answers["run"] == "after"].iloc[0]
    if target["token"] == answer["token"]:
        return (
            "; it is the answer already."
            if now["token"] == target["token"]
            else (f", and the answer would turn to {said(now)}.")
        )
    shares = [plain(percent(answer[f"probability_{time}"])) for time in ("before", "after")]
    old = f"{code_span(answer['token'])} ({shares[0]} → {shares[1]})"
    if now["token"] == target["token"]:
        return f" and become the answer, instead of {old}."
    if now["token"] == answer["token"]:
        return f"; the answer would stay {old}."
    return f"; the answer would turn from {old} to {said(now)}."


def loss_text(seen: core.BeforeAfter) -> str:
    """Predicted against measured."""
    predicted, measured = seen.predicted, seen.measured
    text = f"Measured, the loss {moves(measured)}; the gradient predicts that it {moves(predicted)}"
    if abs(measured - predicted) <= STRAIGHT * abs(predicted):
        return f"{text}: they agree."
    return f"{text}. For so large a step the straight line that it draws no longer holds."


def moves(change: float) -> str:
    return f"{'falls' if change <= 0 else 'rises'} by {number(abs(change), 2)} nats"


def share_text(share: float) -> str:
    return f"{100 * share:g}%"


def visible_share(ladder: pd.DataFrame) -> float:
    """The smallest share at which the target is the answer, else the one at which it is most
    probable."""
    works = ladder[ladder["target_rank"] == 0]
    row = works.iloc[0] if len(works) else ladder.loc[ladder["target_probability"].idxmax()]
    return float(row["share"])


def ladder_sentence(ladder: pd.DataFrame, target: str) -> str:
    """How large a step must be."""
    best = ladder[ladder["share"] == visible_share(ladder)].iloc[0]
    if best["target_rank"] == 0:
        return (
            f"Of these steps, {share_text(best['share'])} is the smallest at which "
            f"{code_span(target)} is the answer."
        )
    return (
        f"No step from this token alone makes {code_span(target)} the answer. It is most probable "
        f"with {share_text(best['share'])}: {plain(percent(best['target_probability']))}."
    )


def no_signal(matrix: str, layer: int, token: str, last: str, *, reaches: bool) -> str:
    """Why nothing can be learned at a cell whose δ is zero."""
    if reaches:
        return (
            f"Nothing would change: the signal that reaches {matrix} of layer {layer} at "
            f"{code_span(token)} is zero. What it says there makes no difference to the answer."
        )
    return (
        f"Nothing would change: δ is zero here. The answer is read in the last layer at the last "
        f"token, {code_span(last)}; what {matrix} says in that layer at {code_span(token)} no "
        "longer gets there. Choose a lower layer, or the last token."
    )
