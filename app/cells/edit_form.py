"""Making an edit: the method, its settings, what it will cost, and the work itself."""

from __future__ import annotations

from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import core
from app.shell import ledger
from app.shell.models import load
from app.shell.state import Request
from app.words import code_span, duration, plain
from app.work import panel as tasks
from core.editing.comparison import Preflight

TASK = "edit_task"  # in the session
RATES = {"forward-shift": "eta", "sgd": "lr", "adam": "lr"}


def form(request: Request) -> None:
    """The controls and the button; the new edit goes to the end of the ledger."""
    method = st.segmented_control(
        "Method",
        list(core.METHODS),
        format_func=lambda name: core.METHODS[name].title,
        default="forward-shift",
        required=True,
        key="edit_method",
        bind="query-params",
    )
    chosen = core.METHODS[method]
    st.caption(plain(chosen.description))
    row = st.columns([2, 3, 3], vertical_alignment="bottom", gap="medium")
    automatic = row[0].toggle("Let the app choose", True, key="edit_auto")
    defaults = chosen.defaults(request.model)
    settings = {} if automatic else own_settings(row[1:], request, method, defaults)
    if chosen.needs_subject and request.subject is None:
        st.warning(f"{chosen.title} needs the subject of the prompt: write it on the left.")
        return
    describe_cost(request, method, settings, defaults)
    label = f"Make it say {code_span(request.model.target(request.prompt, request.target).token)}"
    st.button(
        label,
        type="primary",
        key="make_edit",
        on_click=start_edit,
        args=(request, method, settings),
    )


def own_settings(
    row: list[DeltaGenerator], request: Request, method: str, defaults: dict[str, object]
) -> dict[str, object]:
    """Layer and strength, as far as the method has them."""
    settings: dict[str, object] = {}
    last = request.model.n_layers - 1
    usual = defaults.get("layer")
    if usual is not None and last > 0:
        key = f"edit_layer_{method}_{last}"
        settings["layer"] = row[0].slider("Layer", 0, last, int(usual), key=key)
    elif "layers" in defaults:
        settings["layers"] = tuple(
            row[0].multiselect(
                "Layers",
                range(last + 1),
                default=list(defaults["layers"]),
                key=f"edit_layers_{method}_{last}",
                placeholder="Choose at least one layer",
            )
        )
    if method in RATES:
        name = RATES[method]
        value = row[1].number_input(
            "Strength (η)" if name == "eta" else "Learning rate",
            min_value=0.0,
            max_value=1e6,
            value=None if defaults[name] == "auto" else float(defaults[name]),
            format="%.4g",
            placeholder="empty: the smallest that works",
            key=f"edit_rate_{method}",
        )
        if value is not None:
            settings[name] = float(value)
    return settings


def describe_cost(
    request: Request, method: str, settings: dict[str, object], defaults: dict[str, object]
) -> None:
    """The line above the button: time, memory, and second moments that are missing."""
    try:
        cost = estimate(request, method, settings, defaults)
    except core.BackwardLensError as error:
        st.error(plain(str(error)))
        return
    used = defaults | settings
    where = used.get("layers") or used.get("layer")
    several = isinstance(where, tuple) and len(where) > 1
    only = where[0] if isinstance(where, tuple) and where else where
    layers = f"layers {min(where)} to {max(where)}" if several else f"layer {only}"
    parts = [
        seconds(cost.seconds),
        f"{size(cost.bytes)} beside the model",
        f"{layers} of {request.model.n_layers - 1}",
    ]
    if cost.missing:
        parts.append(
            "second moments are computed first, once for this model: "
            f"{seconds(cost.missing_seconds)}"
        )
    st.caption(plain(f"This edit: {', '.join(parts)}."))


def estimate(
    request: Request, method: str, settings: dict[str, object], defaults: dict[str, object]
) -> Preflight:
    """What the edit will cost, timed once for these settings and what is missing."""
    used = defaults | settings
    layers = used.get("layers") or (used["layer"],)
    missing = ()
    if core.METHODS[method].needs_subject:
        missing = core.missing_second_moments(request.model, layers)
    given = tuple(sorted(settings.items()))
    return timed(request.model_name, request.prompt, method, given, missing)


@st.cache_data(max_entries=256, show_spinner="Estimating …")
def timed(
    model_name: str,
    prompt: str,
    method: str,
    settings: tuple[tuple[str, object], ...],
    missing: tuple[int, ...],
) -> Preflight:
    return core.preflight(load(model_name), prompt, method, **dict(settings))


def seconds(value: float) -> str:
    return "less than a second" if value < 1 else f"about {duration(value)}"


def size(value: int) -> str:
    return f"{value / 1e3:.0f} kB" if value < 1e6 else f"{value / 1e6:.1f} MB"


def start_edit(request: Request, method: str, settings: dict[str, object]) -> None:
    """For the button's callback."""
    title = f"{core.METHODS[method].title}"
    work = partial(
        make_edit,
        request.model,
        request.prompt,
        request.target,
        request.subject,
        method,
        request.edits,
        settings,
    )
    start(title, work)


def make_edit(
    model: core.LanguageModel,
    prompt: str,
    target: str,
    subject: str | None,
    method: str,
    edits: tuple[core.Edit, ...],
    settings: dict[str, object],
    on_step,
) -> core.Edit:
    return core.edit(
        model,
        prompt,
        target,
        method=method,
        subject=subject,
        edits=edits,
        on_step=on_step,
        **settings,
    )


def start(title: str, work, about: object = None) -> None:
    """Begin a task for this session, unless one is running."""
    current = st.session_state.get(TASK)
    if current is not None and current.running:
        return
    st.session_state[TASK] = task = tasks.Task(title, work, about)
    task.start()


def collect() -> None:
    """Take what a finished task has made: an edit into the ledger, a comparison to its place."""
    task = st.session_state.get(TASK)
    if task is None or task.running or task.result is None:
        return
    if isinstance(task.result, core.Edit):
        st.session_state["shown_edit"] = ledger.add(task.result).id
    else:
        st.session_state["comparison"] = (task.about, task.result)
    st.session_state[TASK] = None


def outcome() -> None:
    """Why the last task made nothing, if so."""
    task = st.session_state.get(TASK)
    if task is None or task.running:
        return
    if task.error:
        st.error(plain(task.error))
    elif task.ended_early:
        st.info("Cancelled. Nothing has changed.")
