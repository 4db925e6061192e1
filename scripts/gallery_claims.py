"""The claims of a finding, each checked on the model itself. `v` are a claim's values by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from app.gallery.finding import Part
from core import LanguageModel
from scripts.gallery_measures import Measures

Values = Mapping[str, Any]


def failing(m: Measures) -> list[str]:
    """Each claim of the finding that does not hold, as it stands in the file."""
    return [
        f"claim {i}, {claim.kind}: {dict(claim.values)}"
        for i, claim in enumerate(m.finding.claims, 1)
        if not holds(claim, m)
    ]


def holds(claim: Part, m: Measures) -> bool:
    """Whether a claim is what the model says now."""
    return bool(CHECKS[claim.kind](m, claim.values))


def answer(m: Measures, v: Values) -> bool:
    """The model's most probable next token, with at least this probability."""
    return is_answer(m.answers(asked(m, v), model_of(m, v)), v)


def at_most(m: Measures, v: Values) -> bool:
    """A token has at most this share of the probability."""
    table = m.answers(asked(m, v), model_of(m, v))
    return table.loc[table["token"] == v["token"], "probability"].sum() <= v["share"]


def leads_from(m: Measures, v: Values) -> bool:
    """By the forward lens the token is first from this layer on, and not in the one before."""
    words = words_at(m.forward)
    return (words.loc[v["layer"] :] == v["token"]).all() and words.get(v["layer"] - 1) != v["token"]


def says(m: Measures, v: Values) -> bool:
    """By the forward lens these layers say the token."""
    return (words_at(m.forward).loc[list(v["layers"])] == v["token"]).all()


def target_is_lowest(m: Measures, v: Values) -> bool:
    """At the last prompt token the target is the very last word of δ in these layers alone."""
    ranks = last_token(m.signal)["target_rank"]
    return tuple(ranks.index[ranks.eq(m.model.vocabulary_size - 1).fillna(False)]) == v["layers"]


def target_not_in_lowest(m: Measures, v: Values) -> bool:
    """In none of these layers is it among this share of the least probable words."""
    ranks = last_token(m.signal).loc[list(v["layers"]), "target_rank"]
    return (ranks < (1 - v["share"]) * m.model.vocabulary_size).all()


def rank_equals_length(m: Measures, v: Values) -> bool:
    """For every beginning of the prompt, in all MLP matrices."""
    table = ranks(m, v)
    return (table["rank"] == table["prompt_length"]).all()


def rank_is(m: Measures, v: Values) -> bool:
    """For every beginning of the prompt, in all MLP matrices."""
    return (ranks(m, v)["rank"] == v["rank"]).all()


def tokens(m: Measures, v: Values) -> bool:
    """The prompt's pieces."""
    return tuple(model_of(m, v).tokenize(asked(m, v))) == v["tokens"]


def parameters(m: Measures, v: Values) -> bool:
    """`model` has so many times the numbers of `of_model`."""
    return size(m.load(v["model"])) >= v["times"] * size(m.load(v["of_model"]))


def signal_strongest_at(m: Measures, v: Values) -> bool:
    """FF2's signal is strongest at this token in each of these layers."""
    top = m.norms.loc[m.norms.groupby("layer")["norm"].idxmax()].set_index("layer")
    return (top.loc[list(v["layers"]), "token"] == v["token"]).all()


def input_stands_out(m: Measures, v: Values) -> bool:
    """FF2's largest input is this token's, and so many times the median of all other tokens'."""
    top = m.norms.loc[m.norms["input_norm"].idxmax()]
    usual = m.norms.loc[m.norms["position"] != top["position"], "input_norm"].median()
    return top["token"] == v["token"] and top["input_norm"] >= v["times"] * usual


def reads(m: Measures, v: Values) -> bool:
    """The most probable word of FF1's input at the last prompt token, in each of these layers."""
    return (words_at(m.inputs).loc[list(v["layers"])] == v["token"]).all()


def target_tokens(m: Measures, v: Values) -> bool:
    """The target's pieces."""
    return tuple(m.run.target.tokens) == v["tokens"]


def step_shifts_to_target(m: Measures, v: Values) -> bool:
    """The step moves the target to the top of FF2's output, from below so many words."""
    before, after = (step(m, "mlp", time)["target_rank"] for time in ("before", "after"))
    return before >= v["from_below"] and after == 0


def step_answer(m: Measures, v: Values) -> bool:
    """The model's answer after the step, with at least this probability."""
    row = step(m, "answer", "after")
    return row["top_tokens"][0] == v["token"] and row["top_probabilities"][0] >= v["at_least"]


def edited_answer(m: Measures, v: Values) -> bool:
    """The edited model's answer, with at least this probability."""
    return is_answer(m.answers(v["prompt"], edited=True), v)


CHECKS: dict[str, Callable[[Measures, Values], bool]] = {
    check.__name__: check
    for check in (
        answer,
        at_most,
        leads_from,
        says,
        target_is_lowest,
        target_not_in_lowest,
        rank_equals_length,
        rank_is,
        tokens,
        parameters,
        signal_strongest_at,
        input_stands_out,
        reads,
        target_tokens,
        step_shifts_to_target,
        step_answer,
        edited_answer,
    )
}


def model_of(m: Measures, v: Values) -> LanguageModel:
    return m.load(v["model"]) if "model" in v else m.model


def asked(m: Measures, v: Values) -> str:
    return v.get("prompt", m.finding.prompt)


def is_answer(table: pd.DataFrame, v: Values) -> bool:
    best = table.iloc[0]
    return best["token"] == v["token"] and best["probability"] >= v["at_least"]


def last_token(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last prompt token, by their layers."""
    return table[table["position"] == table["position"].max()].set_index("layer").sort_index()


def words_at(table: pd.DataFrame) -> pd.Series:
    """The first word at the last prompt token, by layer."""
    return last_token(table)["top_tokens"].map(lambda words: words[0] if words else "")


def ranks(m: Measures, v: Values) -> pd.DataFrame:
    """The rank curve in the layers that a claim is about."""
    curve = m.curve(model_of(m, v), asked(m, v))
    return curve[curve["layer"].isin(v["layers"])]


def step(m: Measures, stage: str, time: str) -> pd.Series:
    return m.step.set_index(["stage", "time"]).loc[(stage, time)]


def size(model: LanguageModel) -> int:
    return sum(weight.numel() for weight in model.network.parameters())
