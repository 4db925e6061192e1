"""A prompt asked of both models: what was asked of which, and each model's answer as it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import pandas as pd
import streamlit as st

import core
from app.shell import ledger
from app.shell.ledger import Entry
from app.shell.state import chosen_key, prompt_problem
from app.work.job import Job, OnStep
from app.work.memory import MemoryFullError, keep
from app.work.sessions import begin

# In the session: the conversation, the field and its problem, the settings.
TURNS, FIELD, PROBLEM = "ask_turns", "ask_prompt", "ask_problem"
LENGTH, TEMPERATURE, SEED = "ask_length", "ask_temperature", "ask_seed"
MOST_TURNS = 20
SHOWN = 5  # next tokens below each text


@dataclass(frozen=True)
class Asked:
    """What was asked of which model; outlives changes of the sidebar and of the ledger."""

    model_name: str
    edit_ids: tuple[str, ...]
    edit_names: tuple[str, ...]

    @staticmethod
    def now(active: Sequence[Entry]) -> Asked:
        return Asked(chosen_key(), tuple(e.id for e in active), tuple(e.name for e in active))

    def same(self, other: Asked) -> bool:
        return (self.model_name, self.edit_ids) == (other.model_name, other.edit_ids)


@dataclass(eq=False)
class Voice:
    """One model's answer; written by its job, read by the page."""

    edits: tuple[core.Edit, ...] = field(repr=False)
    text: str = ""
    answers: pd.DataFrame | None = None
    job: Job | None = None

    @property
    def running(self) -> bool:
        return self.job is not None and self.job.running

    @property
    def whole(self) -> bool:
        """Whether the model has written to the end."""
        return not (self.running or self.job.ended_early or self.job.error)


@dataclass(eq=False)
class Turn:
    """A prompt and its answers: the original's, and the edited model's if edits are active."""

    asked: Asked
    prompt: str
    length: int
    temperature: float
    seed: int
    voices: tuple[Voice, ...]

    @property
    def running(self) -> bool:
        return any(voice.running for voice in self.voices)

    def start(self, model: core.LanguageModel) -> None:
        for number, voice in enumerate(self.voices):
            work = partial(self.speak, model, voice)
            job = Job("Answering", work, unit="token", total=self.length, lock=model.lock)
            voice.job = begin(f"answer_{number}", job, quick=0)

    def stop(self) -> None:
        """End after the token in hand; what is written stays."""
        for voice in self.voices:
            voice.job.cancelled.set()

    def speak(self, model: core.LanguageModel, voice: Voice, on_step: OnStep) -> None:
        written = 0

        def take(piece: str) -> None:
            nonlocal written
            voice.text += piece
            written += 1
            on_step(written, self.length)

        shown = min(SHOWN, model.vocabulary_size)
        voice.answers = core.answers(model, self.prompt, edits=voice.edits, top_k=shown)
        on_step(0, self.length)
        core.complete(
            model,
            self.prompt,
            edits=voice.edits,
            max_new_tokens=self.length,
            temperature=self.temperature,
            seed=self.seed,
            on_token=take,
        )


def turns() -> list[Turn]:
    return st.session_state.setdefault(TURNS, [])


def ask_typed() -> None:
    """For callbacks."""
    ask(st.session_state.get(FIELD) or "")


def ask(prompt: str) -> None:
    """Begin a turn; a prompt that cannot be asked is put back into the field. For callbacks."""
    model = st.session_state.get("ledger_model")
    known = turns()
    if known and known[-1].running:
        problem = "The last answer is still being written: wait for its end, or press Stop."
    elif model is None:
        problem = "The chosen model cannot be used; the reason is on the left."
    else:
        problem = prompt_problem(model, prompt)
    st.session_state[PROBLEM] = problem
    if problem:
        st.session_state[FIELD] = prompt
        return
    active = ledger.active(model)
    voices = [Voice(())]
    if active:
        voices.append(Voice(tuple(entry.edit for entry in active)))
    turn = Turn(
        Asked.now(active),
        prompt,
        int(st.session_state.get(LENGTH, 20)),
        float(st.session_state.get(TEMPERATURE, 0.0)),
        int(st.session_state.get(SEED) or 0),
        tuple(voices),
    )
    try:
        keep(TURNS, [*known, turn][-MOST_TURNS:])
    except MemoryFullError as error:
        st.session_state[PROBLEM], st.session_state[FIELD] = str(error), prompt
        return
    turn.start(model)
