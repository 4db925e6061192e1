"""What a finding of the gallery asks of its model, and the table of its picture.

Tests and scripts/make_gallery.py use the same functions, so that what ships is what is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib.metadata import version
from typing import Any

import pandas as pd

import core
from app.gallery.finding import Finding
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

    def answers(
        self, prompt: str, model: LanguageModel | None = None, edited: bool = False
    ) -> pd.DataFrame:
        """All tokens, most probable first."""
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
