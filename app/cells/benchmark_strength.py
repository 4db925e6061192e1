"""What a stronger shift brings and costs, from the model's calibration."""

from __future__ import annotations

import streamlit as st

import core
from app.charts.benchmark import generalisation_curve
from app.findings.benchmark import curve_finding
from app.notebook.cell import cell, is_dark
from app.notebook.code import program
from app.shell.models import load
from app.shell.navigation import page_at
from app.words import plain
from app.workshop.visit import page_is_open

METHOD = "forward-shift"


def strength_cell(number: int, model_key: str) -> None:
    """Strength against generalisation, for the chosen model."""
    model = load(model_key)
    place = cell(
        number,
        "Strength against generalisation",
        f"The forward pass shift on {plain(model.name)}, from weak to strong. Further up: the new "
        "fact also follows in other words. Further right: other answers stay.",
        key="benchmark_strength",
        original=True,
    )
    found = core.known_calibration(model, METHOD)
    layer = None if found is None else found.fixed.get("layer", found.settings.get("layer"))
    if layer is None:
        how_to_calibrate(place.picture, found is not None)
        return
    eta = found.fixed.get("eta")
    place.show(
        curve_finding(found.table, layer),
        generalisation_curve(found.table, layer, eta, dark=is_dark()),
        "Curve of the share of paraphrases that follow against the share of neighbours that keep "
        "their answer, from a weak shift to a strong one",
        fit=True,
    )
    place.controls.caption(
        f"Measured on {found.known} facts that the model knows, at layer {layer}. “One strength "
        "for all” is how the paper uses the shift; “just enough” is the smallest that works, fact "
        "by fact."
    )
    line = f'table = known_calibration(model, "{METHOD}").table'
    place.finish(program(model_key, [line]), found.table.astype({"strength": str}))


def how_to_calibrate(place: st.delta_generator.DeltaGenerator, tried: bool) -> None:
    """Why there is no curve, and the way to one."""
    edit = page_at("edit")
    why = "no setting wrote 99% of the facts" if tried else "it has not been measured"
    place.info(
        f"No curve for this model yet: {why}. “Tune for this model” at the end of the page Edit "
        "measures it, in the background."
    )
    if page_is_open(edit.path):
        place.page_link(edit.script, label="Go to Edit")
