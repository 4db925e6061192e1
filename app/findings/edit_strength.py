"""How strong an edit must be in each layer, and what it costs."""

from __future__ import annotations

import math

import pandas as pd

from app.titles import RATE_TITLES
from app.words import code_span, joined, layer_list, number


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
        least.append(f"{name_of(method)} in layer {best['layer']} (**{number(best['rate'], 2)}**")
        least[-1] += (
            f"; layer {hardest['layer']} needs {number(times, 2)} times as much)"
            if times > 1.005
            else ")"
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
    start = f"Before the change, {before} has a perplexity of {number(base)}."
    if not parts:
        return f"{start} The target is the answer already, so that nothing changes."
    worst = table.loc[table["perplexity"].fillna(-math.inf).idxmax()]
    end = f"The worst of all is {name_of(worst['method'])} in layer {worst['layer']}: "
    if worst["perplexity"] <= base:
        end = "No change makes it worse; the least gain is "
        end += f"{name_of(worst['method'])} in layer {worst['layer']}: "
    end += f"{number(worst['perplexity'])}."
    return f"{start} Where each needs least, {joined(parts)}. {end}"


def name_of(method: str) -> str:
    """Without the unit, which the picture's legend has."""
    return RATE_TITLES[method].split(" (")[0]


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
        return f"multiplies it by {number(value / base)}"
    return f"{'raises' if share > 0 else 'lowers'} it by {abs(share):.1%}"
