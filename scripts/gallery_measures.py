"""What a finding of the gallery says, computed: the table of its picture, and each of its claims.

Tests and scripts/make_gallery.py use the same functions, so that what ships is what is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from typing import Any

import pandas as pd

import core
from app.gallery.finding import Finding, Part
from app.gallery.stored import Stored
from core import LanguageModel, Trace

WORDS, DIGITS = 3, 4  # tokens of a cell, and significant digits of a number, that are kept
Load = Callable[[str], LanguageModel]


class Measures:
    """Everything that a finding's picture and claims ask of its model, computed once."""

    def __init__(self, finding: Finding, load: Load) -> None:
        self.finding, self.load = finding, load
        self.model = load(finding.model)

    @cached_property
    def run(self) -> Trace:
        return core.trace(self.model, self.finding.prompt, self.finding.target)

    @cached_property
    def forward(self) -> pd.DataFrame:
        given = self.finding.prompt, self.finding.target
        return core.forward_lens(self.model, *given, top_k=WORDS)

    @cached_property
    def signal(self) -> pd.DataFrame:
        return core.backward_lens(self.run, "ff2", top_k=WORDS)

    @cached_property
    def inputs(self) -> pd.DataFrame:
        return core.backward_lens(self.run, "ff1", top_k=WORDS)

    @cached_property
    def norms(self) -> pd.DataFrame:
        everything = core.vjp_norms(self.run)
        return everything[everything["module"] == "ff2"].drop(columns="module")

    @cached_property
    def step(self) -> pd.DataFrame:
        chosen = self.finding.picture.values
        step = core.imprint_and_shift(self.run, chosen["layer"], step=chosen["step"])
        return step.table

    @cached_property
    def edit(self) -> core.Edit:
        given = {k: v for k, v in self.finding.picture.values.items() if k in ("method", "eta")}
        return core.edit(self.model, self.finding.prompt, self.finding.target, **given)

    def curve(self, model: LanguageModel, prompt: str) -> pd.DataFrame:
        return core.rank_curve(model, prompt, self.finding.target)

    def answers(self, prompt: str, model: LanguageModel | None = None, edited: bool = False):
        edits = [self.edit] if edited else ()
        model = model or self.model
        return core.answers(model, prompt, edits=edits, top_k=model.vocabulary_size)

    def edited_answers(self) -> pd.DataFrame:
        """A row a prompt and time: prompt, time, token, probability."""
        rows = []
        for prompt in self.finding.picture.values["prompts"]:
            for time in ("before", "after"):
                best = self.answers(prompt, edited=time == "after").iloc[0]
                rows.append((prompt, time, best["token"], best["probability"]))
        return pd.DataFrame(rows, columns=["prompt", "time", "token", "probability"])

    def table(self) -> pd.DataFrame:
        """The table of the finding's picture."""
        lens = ["layer", "position", "token"]
        words = ["norm", "top_tokens", "bottom_tokens", "target_rank", "answer_rank", "near_zero"]
        ranks = ["norm", "target_rank", "near_zero"]
        tables = {
            "forward_lens": lambda: self.forward[
                [*lens, "top_tokens", "top_probabilities", "target_rank"]
            ],
            "backward_lens": lambda: self.signal[[*lens, *words]],
            "input_lens": lambda: self.inputs[[*lens, *words]],
            "norms": lambda: self.norms[[*lens, "norm", "input_norm"]],
            "target_rank": lambda: self.signal[[*lens, *ranks]],
            "rank_curve": lambda: self.curve(self.model, self.finding.prompt),
            "step": lambda: self.step,
            "edited_answers": self.edited_answers,
        }
        return rounded(tables[self.finding.picture.kind]())

    def stored(self) -> Stored:
        finding, model, run = self.finding, self.model, self.run
        return Stored(
            asked=finding.asked,
            fingerprint=core.fingerprint(model),
            versions={name: version(name) for name in ("torch", "transformers")},
            vocabulary=model.vocabulary_size,
            full_rank=min(model.d_model, model.d_mlp),
            target=run.target.token,
            answer=run.answer,
            tokens=tuple(run.tokens),
            subject=subject_positions(finding, model),
            table=self.table(),
        )


def subject_positions(finding: Finding, model: LanguageModel) -> tuple[int, ...]:
    if not finding.subject:
        return ()
    names = core.segments(model, finding.prompt, finding.subject)
    return tuple(i for i, name in enumerate(names) if name in core.SEGMENTS[1:4])


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers that are no ranks to four digits, also those in lists."""
    table = table.reset_index(drop=True)
    for name in table.columns:
        if table[name].map(lambda value: isinstance(value, float | list)).any():
            table[name] = table[name].map(shorter)
    return table


def shorter(value: Any) -> Any:
    if isinstance(value, list):
        return [shorter(part) for part in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def last_token(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last prompt token, by their layers."""
    return table[table["position"] == table["position"].max()].set_index("layer").sort_index()


def at_layers(table: pd.DataFrame, chosen: tuple[int, ...]) -> pd.DataFrame:
    return last_token(table).loc[list(chosen)]


def words_at(table: pd.DataFrame, column: str = "top_tokens") -> pd.Series:
    """The first word at the last prompt token, by layer."""
    return last_token(table)[column].map(lambda tokens: tokens[0] if tokens else "")


def probability(answers: pd.DataFrame, token: str) -> float:
    rows = answers[answers["token"] == token]
    return float(rows["probability"].iloc[0]) if len(rows) else 0.0


def is_answer(answers: pd.DataFrame, token: str, least: float) -> bool:
    return answers["token"].iloc[0] == token and answers["probability"].iloc[0] >= least


def input_stands_out(norms: pd.DataFrame, token: str, times: float) -> bool:
    """The largest input is this token's, and so many times the median of all other tokens'."""
    top = norms.loc[norms["input_norm"].idxmax()]
    others = norms.loc[norms["position"] != top["position"], "input_norm"].median()
    return top["token"] == token and top["input_norm"] >= times * others


def holds(claim: Part, m: Measures) -> bool:
    """Whether a claim is what the model says now."""
    v = claim.values
    model = m.load(v["model"]) if "model" in v else m.model
    prompt = v.get("prompt", m.finding.prompt)
    size = m.model.vocabulary_size

    def ranks() -> pd.DataFrame:
        curve = m.curve(model, prompt)
        return curve[curve["layer"].isin(v["layers"])]

    def step(stage: str, time: str) -> pd.Series:
        return m.step.set_index(["stage", "time"]).loc[(stage, time)]

    def strongest() -> pd.Series:
        top = m.norms.loc[m.norms.groupby("layer")["norm"].idxmax()].set_index("layer")
        return top.loc[list(v["layers"]), "token"]

    checks: dict[str, Callable[[], bool]] = {
        # The model's most probable next token, with at least this probability.
        "answer": lambda: is_answer(m.answers(prompt, model), v["token"], v["at_least"]),
        # A token has at most this probability.
        "at_most": lambda: probability(m.answers(prompt, model), v["token"]) <= v["share"],
        # By the forward lens the token is first from this layer on, and not in the one before.
        "leads_from": lambda: (
            (words_at(m.forward).loc[v["layer"] :] == v["token"]).all()
            and words_at(m.forward).get(v["layer"] - 1) != v["token"]
        ),
        # By the forward lens these layers say the token.
        "says": lambda: (words_at(m.forward).loc[list(v["layers"])] == v["token"]).all(),
        # At the last prompt token the target is the very last word of δ in these layers alone.
        "target_is_lowest": lambda: (
            tuple(last_token(m.signal).query(f"target_rank == {size - 1}").index) == v["layers"]
        ),
        # In none of these layers is it among this share of the least probable words.
        "target_not_in_lowest": lambda: (
            at_layers(m.signal, v["layers"])["target_rank"] < (1 - v["share"]) * size
        ).all(),
        # Rank = prompt length for every beginning of the prompt, in all MLP matrices.
        "rank_equals_length": lambda: (ranks()["rank"] == ranks()["prompt_length"]).all(),
        "rank_is": lambda: (ranks()["rank"] == v["rank"]).all(),
        # The prompt's pieces.
        "tokens": lambda: tuple(model.tokenize(prompt)) == v["tokens"],
        # `model` has so many times the numbers of `of_model`.
        "parameters": lambda: size_of(model) >= v["times"] * size_of(m.load(v["of_model"])),
        # FF2's signal is strongest at this token in each of these layers.
        "signal_strongest_at": lambda: (strongest() == v["token"]).all(),
        "input_stands_out": lambda: input_stands_out(m.norms, v["token"], v["times"]),
        # The first word of FF1's input at the last prompt token.
        "reads": lambda: (words_at(m.inputs).loc[list(v["layers"])] == v["token"]).all(),
        "target_tokens": lambda: tuple(m.run.target.tokens) == v["tokens"],
        # One step moves the target to the top of FF2's output, from below so many words.
        "step_shifts_to_target": lambda: (
            step("mlp", "before")["target_rank"] >= v["from_below"]
            and step("mlp", "after")["target_rank"] == 0
        ),
        "step_answer": lambda: (
            step("answer", "after")["top_tokens"][0] == v["token"]
            and step("answer", "after")["top_probabilities"][0] >= v["at_least"]
        ),
        "edited_answer": lambda: is_answer(
            m.answers(prompt, edited=True), v["token"], v["at_least"]
        ),
    }
    return bool(checks[claim.kind]())


def size_of(model: LanguageModel) -> int:
    return sum(weight.numel() for weight in model.network.parameters())


def failing(m: Measures) -> list[str]:
    """Each claim of the finding that does not hold, as it stands in the file."""
    return [
        f"claim {i}, {claim.kind}: {dict(claim.values)}"
        for i, claim in enumerate(m.finding.claims, 1)
        if not holds(claim, m)
    ]
