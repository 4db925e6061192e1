"""What the user asks, shared by every page and kept in the URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import streamlit as st

import core
from app.settings import PROMPT_CHARACTERS, TARGET_CHARACTERS
from app.shell.examples import EXAMPLES, examples_for
from app.shell.ledger import Entry
from app.shell.models import CARDS, OTHER, default_model, load, model_key
from app.shell.navigation import JOB_PAGES
from app.shell.precision_field import chosen_precision
from app.shell.subjects import subject_of
from app.words import plain
from app.work.panel import show
from app.work.sessions import running
from app.workshop import limits
from app.workshop.visit import pinned_model, starter
from core.gradients.segments import find_subject

# Widget keys. Prompt and target are bound to the URL by their key; a picker would write its label
# there, which says whether a model is downloaded, so that the model's name is put there by hand.
MODEL, OTHER_MODEL, PROMPT, TARGET = "model_choice", "other_model", "prompt", "target"
SUBJECT, PROPOSED = "subject", "proposed_subject"
PAGE = "page"  # in the session: the path of the page that is drawn


@dataclass(frozen=True)
class Request:
    """A model, a prompt and a target that have passed every check."""

    model_name: str  # with its precision where that was chosen by hand: a `model_key`
    prompt: str
    target: str
    subject: str | None = None  # None where the field's text is not in the prompt
    entries: tuple[Entry, ...] = ()  # the active edits

    @property
    def edits(self) -> tuple[core.Edit, ...]:
        return tuple(entry.edit for entry in self.entries)

    @property
    def edit_ids(self) -> tuple[str, ...]:
        """What caches know the edits by."""
        return tuple(entry.id for entry in self.entries)

    @property
    def model(self) -> core.LanguageModel:
        return load(self.model_name)


def set_defaults() -> None:
    """On a first visit without a link: the default model and the paper's first example, or those
    of the session's workshop.

    They stand in the URL as well, so that a copied link names everything and opens the same view
    on a machine with another default.
    """
    first = starter() or (EXAMPLES[0].prompt, EXAMPLES[0].target)
    defaults = dict(zip((PROMPT, TARGET), first, strict=True))
    for key, default in defaults.items():
        if key not in st.session_state and key not in st.query_params:
            st.session_state[key] = st.query_params[key] = default
    if MODEL not in st.session_state:
        name = st.query_params.get("model") or default_model()
        st.session_state[MODEL] = name if name in CARDS else OTHER
        if name not in CARDS:
            st.session_state[OTHER_MODEL] = name


def use_example(index: int) -> None:
    """Put an example of the chosen model into the prompt and target fields; for callbacks."""
    example = examples_for(chosen_model())[index]
    st.session_state[PROMPT], st.session_state[TARGET] = example.prompt, example.target


def use_model(name: str) -> None:
    """Choose a model; for callbacks."""
    st.session_state[MODEL] = name


def chosen_model() -> str:
    """The name or path of the chosen model; empty while the text field for others is.

    In a workshop with a model of its own it is that one, whatever a link or a field says.
    """
    if pinned_model():
        return pinned_model()
    choice = st.session_state.get(MODEL)
    if choice == OTHER:
        return (st.session_state.get(OTHER_MODEL) or "").strip()
    return choice or ""


def chosen_key() -> str:
    """The chosen model in the chosen precision, as caches know it."""
    return model_key(chosen_model(), chosen_precision())


def propose_subject(prompt: str) -> None:
    """Put a subject into its field, unless the user has written one."""
    # Thousands of known subjects are looked for, which in an endless prompt would take minutes.
    proposal = subject_of(prompt) if len(prompt) <= PROMPT_CHARACTERS else ""
    current = st.session_state.get(SUBJECT)
    untouched = current is None and SUBJECT not in st.query_params
    if untouched or current == st.session_state.get(PROPOSED) or (current == "" and proposal):
        st.session_state[SUBJECT] = proposal
    if untouched and proposal:
        # Else it came into the URL with the first click, and a picture that is not drawn anew
        # looks for the colours of its legend under the old URL.
        st.query_params[SUBJECT] = proposal
    st.session_state[PROPOSED] = proposal


def use_proposed_subject() -> None:
    """For callbacks."""
    st.session_state[SUBJECT] = st.session_state[PROPOSED]


def subject_problem(prompt: str, subject: str) -> str:
    """What is wrong with a subject, as a sentence; empty if nothing is."""
    try:
        find_subject(prompt, subject)
    except core.PromptError as error:
        return str(error)
    return ""


def prompt_problem(model: core.LanguageModel, prompt: str, most: int | None = None) -> str:
    """What is wrong with a prompt, as a sentence; empty if nothing is.

    `most` tokens are allowed, by default what this session may have.
    """
    if len(prompt) > PROMPT_CHARACTERS:
        return (
            f"The prompt has {len(prompt):,} characters; the limit is {PROMPT_CHARACTERS:,}. "
            "Shorten it: a sentence or two is best."
        )
    try:
        length = len(model.encode(prompt))
    except core.PromptError as error:
        return str(error)
    most = limits.prompt_tokens() if most is None else most
    if length > most:
        return (
            f"The prompt is {length} tokens long; the pages show at most {most}. "
            "Shorten it: a sentence or two is best."
        )
    return ""


def target_problem(model: core.LanguageModel, prompt: str, target: str) -> str:
    """What is wrong with a target, as a sentence; empty if nothing is."""
    if len(target) > TARGET_CHARACTERS:
        return (
            f"The target has {len(target):,} characters; the limit is {TARGET_CHARACTERS}. "
            "One word is best: only its first token is used."
        )
    try:
        model.target(prompt, target)
    except core.PromptError as error:
        return str(error)
    return ""


def require_request() -> Request:
    """The checked request; where something is missing, says what and ends the page's run."""
    request = st.session_state.get("request")
    if request is None:
        stop_with("Choose a model, a prompt and a target.")
    return request


def require_model() -> None:
    """Where the chosen model cannot be used, says so and ends the page's run."""
    if not st.session_state.get("model_is_loaded"):
        stop_with("Choose a model.")


def stop_with(advice: str) -> NoReturn:
    """End the page's run with the problem, or this advice; the page's running work stays in sight,
    so that it can be cancelled."""
    problem = st.session_state.get("problem") or advice
    st.info(f"Nothing to show yet. {plain(problem)}")
    for slot, page in JOB_PAGES.items():
        if page == st.session_state.get(PAGE) and running(slot):
            show(slot)
    st.stop()
