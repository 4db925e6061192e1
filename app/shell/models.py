"""Loading and downloading models for many users: each model once, each download once."""

from __future__ import annotations

import logging
from pathlib import Path

import streamlit as st

import core
from app import settings
from app.words import megabytes
from app.work.job import BYTES, Job
from app.work.process import freeze
from app.work.results import Store, results, traces
from app.work.turnstile import leave
from app.workshop.visit import pinned_model
from core.model.catalog import BUILTIN, is_elsewhere, looks_like_folder
from core.model.precision import PRECISIONS

OTHER = "other"  # the choice that opens a text field for a folder or a hub name
CARDS = {card.name: card for card in core.CATALOG}

log = logging.getLogger(__name__)


@st.cache_resource(show_spinner=False)
def loaded() -> Store:
    """The server's models by their `model_key`; what was asked of one goes with it."""
    return Store(
        lambda: settings.LOADED_MODELS.value,
        weigh=lambda model: 1,
        dropped=forget,
    )


def forget(key: str) -> None:
    """What was asked of a model that is no longer in memory."""
    for store in (results(), traces()):
        store.forget(lambda asked: asked[1][0] == key)


def load(key: str) -> core.LanguageModel:
    """The one shared instance of a model in a precision, by its `model_key`; raises ModelError."""

    def read() -> core.LanguageModel:
        leave()
        name, precision = split_key(key)
        if problem := refusal(key):
            raise core.ModelError(problem)
        model = core.load_model(name, dtype=precision or None)
        freeze()
        return model

    return loaded().get(key, read)


def model_key(name: str, precision: str) -> str:
    """What caches know a model by: its name, and its precision where that was chosen by hand."""
    return f"{name}@{precision}" if name and precision else name


def split_key(key: str) -> tuple[str, str]:
    """The name and the precision of a `model_key`; the precision may be empty."""
    name, _, precision = key.rpartition("@")
    return (name, precision) if name and precision in PRECISIONS else (key, "")


def preload_default() -> None:
    """Load the default model, and run it once so that the first user does not pay for it."""
    try:
        core.backward_lens(core.trace(load(default_model()), "Obama grew up in", "Paris"))
    except core.ModelError:
        log.exception("the default model cannot be used; visitors can choose another")
    freeze()


def default_model() -> str:
    """The smallest GPT-2 that is on this machine, else the built-in model."""
    gpt2 = (card.name for card in core.CATALOG if card.name.startswith("gpt2"))
    return next((name for name in gpt2 if core.is_on_this_machine(name)), BUILTIN[0])


def label(name: str) -> str:
    """How a model is called in the list, short enough for the sidebar: its size, and whether it
    is here."""
    if name == OTHER:
        return "A folder, or another model …"
    card = CARDS[name]
    where = "download" if not core.is_on_this_machine(name) else "here"
    where = "built in" if card.builtin else where
    return f"{short_name(name)} · {megabytes(card.download)} · {where}"


def refusal(name: str) -> str:
    """Why the operator does not let visitors open this model; empty if they may."""
    name, _ = split_key(name.strip())  # what is typed may end like a key, and is then loaded so
    if looks_like_folder(name) and name == pinned_model():
        return ""  # the operator's own choice
    closed = settings.FOLDERS.value is not None and is_elsewhere(name)
    if looks_like_folder(name) and (closed or not settings.folder_allowed(name)):
        return "This server opens model folders only where its operator allows it. Choose another."
    if (
        not core.is_on_this_machine(name)
        and not looks_like_folder(name)
        and not settings.DOWNLOADS.value
    ):
        return (
            "This model is not on this server, and its operator has switched downloads off. "
            "Choose another."
        )
    return ""


@st.cache_resource(show_spinner=False)
def downloads() -> dict[str, Job]:
    """The server's downloads by the model's name, shared by all who wait for it."""
    return {}


def start_download(name: str) -> None:
    """Fetch a model in the background, unless somebody already does; for callbacks."""
    current = downloads().get(name)
    if current is None or not current.running:
        downloads()[name] = job = Job(
            f"Downloading {short_name(name)}",
            lambda on_step: core.download_model(name, on_progress=on_step),
            unit=BYTES,
            total=CARDS[name].download if name in CARDS else 0,
            keep=True,
        )
        job.start()


def expected_size(name: str) -> str:
    card = CARDS.get(name)
    return megabytes(card.download) if card else "size unknown until it starts"


def short_name(name: str) -> str:
    """A model's name for captions: its title, or the last part of its path."""
    name, _ = split_key(name)
    return CARDS[name].title.split(" · ")[0] if name in CARDS else Path(name).name
