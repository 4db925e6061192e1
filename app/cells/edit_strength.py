"""How strong an edit of each layer must be, and what that strength costs."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from app.cells.tooltips import is_dark
from app.charts.strength import METHOD_TITLES, perplexity_by_layer, rate_by_layer
from app.notebook.cell import cell, code_lines
from app.shell.models import short_name
from app.shell.state import Request
from app.words import code_span, layer_list, plain
from app.work.panel import watch
from app.work.strength import TASK, key_of, known_table, session_task, start_search
from core.editing.edit_strength import STRENGTH_METHODS


def setup(request: Request) -> bool:
    """The start button, or the progress of the running search; whether one runs."""
    task = session_task()
    if task is not None and task.running:
        if task.about != key_of(request):
            name, prompt, target, _ = task.about
            st.markdown(
                f"A search for {plain(short_name(name))}, {code_span(prompt)} → "
                f"{code_span(target)} is running; the next one can start when it has ended."
            )
        watch(TASK)
        return True
    if task is not None and task.about == key_of(request):
        if task.error:
            st.error(plain(task.error))
        if task.ended_early:
            st.info("The search was cancelled; nothing of it is kept.")
    if known_table(request) is None:
        n, methods = request.model.n_layers, len(STRENGTH_METHODS)
        st.button(
            f"Measure all {n} layers: {methods} methods × {n} layers = {methods * n} searches",
            type="primary",
            key="start_strength",
            on_click=start_search,
            args=(request,),
        )
        st.caption(
            "A search takes a tenth of a second on the small built-in models and several seconds "
            "on a large one. The time that is left is shown while it runs."
        )
    return False


def rates_cell(number: int, request: Request, table: pd.DataFrame) -> None:
    place = cell(
        number,
        "The smallest step that is enough",
        "Each dot: the smallest rate at which a change of this layer's FF2 alone makes the model "
        "say the target; lower is easier. The methods' rates have different units, so compare a "
        "line with itself, not with the others.",
        key="strength_rates",
    )
    target = request.model.target(request.prompt, request.target).token
    finding = rates_finding(table, target)
    if not (table["works"] & (table["rate"] > 0)).any():
        place.picture.info(finding)
    else:
        place.show(
            finding,
            rate_by_layer(table, dark=is_dark()),
            "Line chart of the smallest rate that makes the target the answer, by layer, a line "
            "for each method",
            fit=True,
        )
    place.finish(strength_code(request), table)


def perplexity_cell(number: int, request: Request, table: pd.DataFrame) -> None:
    before = "the model with your edits" if request.entries else "the unedited model"
    place = cell(
        number,
        "What the step costs elsewhere",
        "How badly the model then predicts a short everyday text (perplexity, lower is better). "
        f"The dashed line is {before}: the distance from it is the side effect.",
        key="strength_perplexity",
    )
    shown = table[table["works"] & table["perplexity"].map(math.isfinite)]
    finding = perplexity_finding(table, before)
    if shown.empty:
        place.picture.info(finding)
    else:
        place.show(
            finding,
            perplexity_by_layer(table, before, dark=is_dark()),
            "Line chart of the perplexity at the smallest rate by layer, a line for each method",
            fit=True,
        )
    place.controls.caption(
        "The built-in models have read little but short facts, so that any other text is very "
        "hard for them: their perplexity is high before any change."
    )
    place.finish(strength_code(request), table)


def strength_code(request: Request) -> str:
    call = "edit_strength(model, prompt, target" + (", edits=edits)" if request.entries else ")")
    return code_lines(request, "from core import edit_strength", "", f"table = {call}")


def rates_finding(table: pd.DataFrame, target: str) -> str:
    """Where each method needs least, and where no rate works."""
    if (table["works"] & (table["rate"] == 0)).all():
        return f"Nothing to measure: the model already says {code_span(target)}."
    if not table["works"].any():
        return f"No rate of any method makes the model say {code_span(target)} by one layer."
    least = []
    for method, rows in by_method(table):
        best = easiest(rows)
        if best is None:
            continue
        hardest = rows.loc[rows["rate"].idxmax()]
        times = hardest["rate"] / best["rate"]
        least.append(f"{name_of(method)} in layer {best['layer']} (**{best['rate']:.2g}**")
        least[-1] += (
            f"; layer {hardest['layer']} needs {times:.2g} times as much)" if times > 1.005 else ")"
        )
    return f"Least is needed by {joined(least)}.{failures(table)}"


def failures(table: pd.DataFrame) -> str:
    """The layers where no rate works, method by method; empty if there are none."""
    parts = []
    for method, rows in by_method(table):
        layers = sorted(rows.loc[~rows["works"], "layer"])
        if len(layers) == len(rows):
            parts.append(f"by {name_of(method)} in any layer")
        elif layers:
            word = "layer" if len(layers) == 1 else "layers"
            parts.append(f"by {name_of(method)} in {word} {layer_list(layers)}")
    return f" No rate works {'; nor '.join(parts)}." if parts else ""


def perplexity_finding(table: pd.DataFrame, before: str) -> str:
    """The price at each method's easiest layer, and the dearest of all."""
    base = table["base_perplexity"].iloc[0]
    if not table["works"].any():
        return "No change works, so that there is no price to show."
    parts = []
    for method, rows in by_method(table):
        best = easiest(rows)
        if best is not None:
            change = changed_by(best["perplexity"], base)
            parts.append(f"{name_of(method)} in layer {best['layer']} {change}")
    start = f"Before the change, {before} has a perplexity of {number_text(base)}."
    if not parts:
        return f"{start} The target is the answer already, so that nothing changes."
    worst = table.loc[table["perplexity"].fillna(-math.inf).idxmax()]
    end = f"The worst of all is {name_of(worst['method'])} in layer {worst['layer']}: "
    if worst["perplexity"] <= base:
        end = "No change makes it worse; the least gain is "
        end += f"{name_of(worst['method'])} in layer {worst['layer']}: "
    end += f"{number_text(worst['perplexity'])}."
    return f"{start} Where each needs least, {joined(parts)}. {end}"


def name_of(method: str) -> str:
    """Without the unit, which the picture's legend has."""
    return METHOD_TITLES[method].split(" (")[0]


def by_method(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return list(table.groupby("method", sort=False))


def easiest(rows: pd.DataFrame) -> pd.Series | None:
    """The layer that needs least; None where no layer needs and has a rate."""
    rows = rows[rows["rate"] > 0]
    return None if rows.empty else rows.loc[rows["rate"].idxmin()]


def changed_by(value: float, base: float) -> str:
    if not math.isfinite(value):
        return "breaks the model"
    share = value / base - 1
    if abs(share) < 0.0005:
        return "leaves it as it was"
    if share > 1:
        return f"multiplies it by {value / base:.3g}"
    return f"{'raises' if share > 0 else 'lowers'} it by {abs(share):.1%}"


def number_text(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
