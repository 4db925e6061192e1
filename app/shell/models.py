"""Loading and downloading models for many users: each model once, each download once."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path

import streamlit as st

import core
from app.shell.settings import downloads_allowed, folder_allowed
from app.words import megabytes
from core.errors import Cancelled
from core.model.catalog import BUILTIN, looks_like_folder

OTHER = "other"  # the choice that opens a text field for a folder or a hub name
CARDS = {card.name: card for card in core.CATALOG}
LOADED_MODELS = 4


log = logging.getLogger(__name__)


@st.cache_resource(max_entries=LOADED_MODELS, show_spinner=False)
def load(name: str) -> core.LanguageModel:
    """The one shared instance of a model; raises core.ModelError."""
    return core.load_model(name)


def preload_default() -> None:
    """Load the default model, and run it once so that the first user does not pay for it."""
    try:
        core.backward_lens(core.trace(load(default_model()), "Obama grew up in", "Paris"))
    except core.ModelError:
        log.exception("the default model cannot be used; visitors can choose another")


def default_model() -> str:
    """The smallest GPT-2 that is on this machine, else the built-in model."""
    here = [c.name for c in core.CATALOG if not c.builtin and core.is_on_this_machine(c.name)]
    return here[0] if here and here[0].startswith("gpt2") else BUILTIN[0]


def label(name: str) -> str:
    """How a model is called in the list: its size, and whether it is here."""
    if name == OTHER:
        return "A folder, or another model …"
    card = CARDS[name]
    if card.builtin:
        return f"{card.title} · {megabytes(card.download)} · built in"
    where = "on this machine" if core.is_on_this_machine(name) else "to download"
    return f"{card.title} · {megabytes(card.download)} · {where}"


def refusal(name: str) -> str:
    """Why the operator does not let visitors open this model; empty if they may."""
    name = name.strip()
    if looks_like_folder(name) and not folder_allowed(name):
        return "This server opens model folders only where its operator allows it. Choose another."
    if (
        not core.is_on_this_machine(name)
        and not looks_like_folder(name)
        and not downloads_allowed()
    ):
        return (
            "This model is not on this server, and its operator has switched downloads off. "
            "Choose another."
        )
    return ""


@dataclass
class Download:
    """A download in progress, shared by all who wait for it."""

    name: str
    done: int = 0
    size: int = 0
    error: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def run(self) -> None:
        try:
            core.download_model(self.name, on_progress=self.report)
        except Cancelled:
            self.error = "The download was cancelled. What has arrived is kept."
        except core.ModelError as error:
            self.error = str(error)

    def report(self, done: int, size: int) -> None:
        if self.cancelled.is_set():
            raise Cancelled
        self.done, self.size = done, size


@st.cache_resource(show_spinner=False)
def downloads() -> dict[str, Download]:
    return {}


def start_download(name: str) -> None:
    """Fetch a model in the background, unless somebody already does."""
    current = downloads().get(name)
    if current is None or not current.running:
        job = Download(name)
        job.thread = threading.Thread(target=job.run, daemon=True, name=f"download {name}")
        downloads()[name] = job
        job.thread.start()


def expected_size(name: str) -> str:
    card = CARDS.get(name)
    return megabytes(card.download) if card else "size unknown until it starts"


def short_name(name: str) -> str:
    """A model's name for captions: its title, or the last part of its path."""
    return CARDS[name].title if name in CARDS else Path(name).name
