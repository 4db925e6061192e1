"""Making an edit: the method, its settings, what it will cost, and the work itself."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import core
from app.cells.controls import choice
from app.cells.mend_training import trained
from app.shell import ledger
from app.shell.models import load
from app.shell.navigation import EDIT
from app.shell.state import Request
from app.words import code_span, duration, plain
from app.work.job import Job, OnStep
from app.work.results import shared
from app.work.sessions import begin
from core.editing.comparison import Preflight

METHOD_TITLES = {name: method.title for name, method in core.METHODS.items()}
STRENGTHS = {"auto": "Just enough", "fixed": "As the paper does it"}
STRENGTH_HELP = (
    "Just enough: the smallest strength that makes the model say the target for this prompt. "
    "As the paper does it: one layer and one strength for all prompts of this model; mostly "
    "stronger, so that the target also follows in other words (it generalises more), but other "
    "prompts change with it more often (it disturbs more)."
)
RATES = {"forward-shift": "eta", "sgd": "lr", "adam": "lr", "mend": "scale"}
RATE_TITLES = {
    "eta": "Strength (η)",
    "lr": "Learning rate",
    "scale": "Strength (1: as it was trained)",
}


def form(request: Request) -> None:
    """The controls and the button; the new edit goes to the end of the ledger."""
    method = choice(st, "Method", METHOD_TITLES, "edit_method")
    chosen = core.METHODS[method]
    st.caption(plain(chosen.description))
    if method == "mend" and not trained(request):
        return
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    automatic = row.toggle("Let the app choose", True, key="edit_auto", width="content")
    defaults = chosen.defaults(request.model)
    if not automatic:
        columns = st.columns(2, vertical_alignment="bottom", gap="medium")
        settings = own_settings(columns, request, method, defaults)
    else:
        settings = how_strong(row) if method == "forward-shift" else {}
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


def how_strong(place: DeltaGenerator) -> dict[str, object]:
    """The forward shift as the paper uses it, or no stronger than needed."""
    kind = choice(place, "How strong", STRENGTHS, "edit_how_strong", help=STRENGTH_HELP)
    return {"eta": kind}


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
                # MEND's network knows no other layers than its own.
                defaults["layers"] if method == "mend" else range(last + 1),
                default=list(defaults["layers"]),
                key=f"edit_layers_{method}_{last}",
                placeholder="Choose at least one layer",
            )
        )
    if method in RATES:
        name = RATES[method]
        value = row[1].number_input(
            RATE_TITLES[name],
            min_value=0.0,
            max_value=1e6,
            value=None if defaults[name] == "auto" else float(defaults[name]),
            format="%.4g",
            placeholder="empty: 1" if name == "scale" else "empty: the smallest that works",
            key=f"edit_rate_{method}",
        )
        if value is not None:
            settings[name] = float(value)
    return settings


def describe_cost(
    request: Request,
    method: str,
    settings: dict[str, object],
    defaults: dict[str, object],
    *,
    facts: int = 1,
) -> None:
    """The line above the button: time, memory, and second moments that are missing. Each of
    several facts takes about as long as one."""
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
        time_needed(facts * cost.seconds, adapts(used, settings)),
        f"{size(facts * cost.bytes)} beside the model",
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
    if core.METHODS[method].needs_moments:
        missing = core.missing_second_moments(request.model, layers)
    given = tuple(sorted(settings.items()))
    return timed((request.model_name, request.prompt), None, method, given, missing)


@shared("Estimating …")
def timed(
    asked: tuple[str, str],  # model and prompt
    _given: None,
    method: str,
    settings: tuple[tuple[str, object], ...],
    missing: tuple[int, ...],
) -> Preflight:
    model_name, prompt = asked
    return core.preflight(load(model_name), prompt, method, **dict(settings))


def adapts(used: Mapping[str, object], settings: Mapping[str, object]) -> bool:
    """Whether an edit tries other ways, strengths or layers, where its first does not work."""
    other_layers = used.get("elsewhere") and not {"layer", "layers"} & set(settings)
    return bool(used.get("adapt") or other_layers or "auto" in (used.get("eta"), used.get("lr")))


def time_needed(value: float, several: bool) -> str:
    """An estimate: of the first attempt only, where several may follow it."""
    if not several:
        return seconds(value)
    return f"{seconds(value)}, longer where the first attempt does not work"


def seconds(value: float) -> str:
    return "less than a second" if value < 1 else f"about {duration(value)}"


def size(value: int) -> str:
    return f"{value / 1e3:.0f} kB" if value < 1e6 else f"{value / 1e6:.1f} MB"


def start_edit(request: Request, method: str, settings: dict[str, object]) -> None:
    """For the button's callback."""

    def work(on_step: OnStep) -> core.Edit:
        return core.edit(
            request.model,
            request.prompt,
            request.target,
            method=method,
            subject=request.subject,
            edits=request.edits,
            on_step=on_step,
            **settings,
        )

    title, lock = core.METHODS[method].title, request.model.lock
    begin(EDIT, Job(title, work, lock=lock, deliver=ledger.add))
