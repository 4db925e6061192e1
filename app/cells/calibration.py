"""Tune for this model: a calibration in the background, its table and its curve."""

from __future__ import annotations

import streamlit as st

import core
from app.cells.controls import choice
from app.charts.calibration import TITLES, strength_curve
from app.charts.spec import specification
from app.notebook.cell import is_dark
from app.shell.navigation import TUNE
from app.shell.state import Request
from app.words import plain
from app.work.job import Job, OnStep
from app.work.panel import outcome, show
from app.work.sessions import begin, current, running
from core.studies.counterfact import MINI_COUNTERFACT

LIMIT = 30  # facts: enough to tell 97% from 100%
METHOD_TITLES = {name: method.title for name, method in core.METHODS.items()}


def tuning(request: Request) -> None:
    """What is used for this model now, what was measured for it, and the button."""
    if running(TUNE):
        show(TUNE)
        return
    with st.container(border=True, key="cell_tuning"):
        st.markdown(
            "**Tune for this model**  \nTries layers and strengths on facts that this model knows, "
            "and from then on uses the best: at least 99% of the facts rewritten, and the best "
            "balance of that, of following in other words, and of leaving other answers alone."
        )
        method = choice(st, "Method to tune", METHOD_TITLES, "tune_method", bound=False)
        outcome(TUNE, "Cancelled. The settings are as before.")
        in_use(request, method)
        file = st.file_uploader(
            "Facts to tune on: a CounterFact or EasyEdit file (empty: the built-in facts)",
            type=["json", "jsonl"],
            key="tune_records",
        )
        st.button(
            "Tune for this model",
            key="start_tuning",
            on_click=start_tuning,
            args=(request, method, file),
        )
        found = core.known_calibration(request.model, method)
        job = current(TUNE)
        just_made = job is not None and job.result is not None
        if found is not None and st.toggle("Show what was measured", just_made, key="show_tuning"):
            measured(found)


def in_use(request: Request, method: str) -> None:
    defaults = core.METHODS[method].defaults(request.model)
    shown = ("layer", "layers", "eta", "lr")
    parts = [f"{name} {defaults[name]}" for name in shown if name in defaults]
    st.caption(plain(f"In use for {request.model.name} now: {', '.join(parts)}."))


def measured(found: core.Calibration) -> None:
    """The finding, the curve of the chosen layer, and the table."""
    if found.settings:
        kept = ", ".join(f"{name} {value}" for name, value in found.settings.items())
        finding = f"Measured on {found.known} facts that the model knows; kept: {kept}."
    else:
        finding = f"Measured on {found.known} facts: no setting rewrote 99% of them; none is kept."
    st.markdown(plain(finding))
    layer = found.fixed.get("layer", found.settings.get("layer"))
    if layer is not None and (found.table["strength"] != "auto").any():
        curve = strength_curve(found.table, layer, dark=is_dark())
        st.vega_lite_chart(None, specification(curve), width="stretch")
        st.caption(f"Layer {layer}: a stronger shift generalises more and disturbs more.")
    table = found.table.astype({"strength": str})
    shares = st.column_config.NumberColumn(format="percent")
    st.dataframe(
        table.rename(columns=TITLES),
        hide_index=True,
        column_config=dict.fromkeys((*TITLES.values(), "harmonic_mean"), shares),
        key="tuning_rows",
    )


def start_tuning(request: Request, method: str, file: object) -> None:
    """For the button's callback."""
    source = MINI_COUNTERFACT if file is None else file

    def work(on_step: OnStep) -> core.Calibration:
        records = core.load_counterfact(source)
        return core.calibrate(request.model, method, records, limit=LIMIT, on_step=on_step)

    begin(TUNE, Job("Tuning", work, lock=request.model.lock))
