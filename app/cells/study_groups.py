"""A study's groups of prompts: which two are compared, and their pictures side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import altair as alt
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import core
from app.findings.groups import comparison_finding
from app.notebook.cell import Cell
from app.notebook.code import literal
from app.words import joined, plain, shortened

EVERY = -1  # all layers, for the control
LONGEST_TITLE = 60  # characters of a group's name above its picture


@dataclass(frozen=True)
class Pair:
    """The two groups that the sentences compare, at one layer or over all."""

    first: str
    second: str
    layer: int | None
    answered: str

    @property
    def where(self) -> str:
        return "mean over all layers" if self.layer is None else f"layer {self.layer}"


def pair_of(main: core.Study, answered: str) -> Pair | None:
    """What is compared, chosen above the pictures; None for a study without groups."""
    if not main.groups:
        return None
    counts = main.prompts["group"].value_counts()
    named = [f"{plain(name)} ({counts.get(name, 0)})" for name in main.groups]
    box = st.container(border=True, key="study_groups")
    box.markdown(f"**Groups of prompts:** {joined(named)}")
    row = box.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    key = main.header.digest[:12]
    first, second = main.groups[:2]
    if len(main.groups) > 2:
        first = row.selectbox("First group", main.groups, key=f"group_first_{key}", width=240)
        others = [name for name in main.groups if name != first]
        second = row.selectbox("Second group", others, key=f"group_second_{key}_{first}", width=240)
    layer = row.selectbox(
        "Compared at",
        [EVERY, *range(main.header.n_layers)],
        format_func=lambda i: "all layers (their mean)" if i == EVERY else f"layer {i}",
        key=f"group_layer_{main.header.n_layers}",
        width=240,
    )
    box.caption(
        "The sentence above each picture compares what is chosen here. Choose before you look: of "
        "many intervals, about 1 in 20 misses by chance, and so does the layer or the pair of "
        "groups that one picks because it looks the most different. The pictures of differences "
        "show means alone."
    )
    return Pair(first, second, None if layer == EVERY else layer, answered)


_compared: WeakKeyDictionary[core.Study, dict[tuple, core.Comparison]] = WeakKeyDictionary()


def compared(main: core.Study, pair: Pair, quantity: str, **options: object) -> core.Comparison:
    """core.compare_groups, asked once."""
    options = {"layers": pair.layer, "answered": pair.answered} | options
    known = _compared.setdefault(main, {})
    key = (quantity, pair.first, pair.second, *map(str, options.items()))
    if key not in known:
        known[key] = core.compare_groups(main, quantity, pair.first, pair.second, **options)
    return known[key]


def sentence(
    main: core.Study,
    pair: Pair | None,
    quantity: str,
    what: str,
    *,
    options: dict[str, object] | None = None,
    **said: object,
) -> str:
    """The comparison above a picture, with a line of its own; empty without groups."""
    if pair is None:
        return ""
    found = compared(main, pair, quantity, **(options or {}))
    return f"{comparison_finding(found, what, **said)}\n\n"


def lines_of(studies: dict[str, core.Study], main: core.Study) -> dict[str, core.Study]:
    """What line pictures draw: the studies; of one with groups each group instead of the whole."""
    others = {name: study for name, study in studies.items() if study is not main}
    groups = {shortened(name, LONGEST_TITLE): main.of_group(name) for name in main.groups}
    return groups | others if groups else studies


def every_group(main: core.Study, table: str) -> pd.DataFrame:
    """A table of the study, with a column that says whose: all prompts' ("") and each group's."""
    whole = getattr(main, table)
    if not main.groups:
        return whole
    parts = [whole.assign(group="")]
    parts += [getattr(main.of_group(name), table).assign(group=name) for name in main.groups]
    return pd.concat(parts, ignore_index=True)


def panels(
    place: Cell,
    main: core.Study,
    pair: Pair,
    tables: dict[str, pd.DataFrame],
    draw: Callable[[pd.DataFrame], alt.TopLevelMixin],
    difference: alt.TopLevelMixin | None,
    words: str,
) -> None:
    """A picture a group: the two that are compared with their difference, then the others.

    tables: group -> its rows. Side by side where the window has the room.
    """
    first = [pair.first, pair.second]
    row = place.picture.container(horizontal=True, gap="medium")
    for name in first:
        panel(place, row, main, name, tables[name], draw, words)
    if difference is not None:
        names = (shortened(name, LONGEST_TITLE // 2) for name in first)
        difference.title = alt.Title(" minus ".join(names))
        place.draw(
            difference, f"{words}, the first group minus the second", name="difference", where=row
        )
    others = [name for name in main.groups if name not in first]
    if others:
        more = place.picture.expander(f"The other groups ({len(others)})")
        row = more.container(horizontal=True, gap="medium")
        for name in others:
            panel(place, row, main, name, tables[name], draw, words)


def panel(
    place: Cell,
    row: DeltaGenerator,
    main: core.Study,
    name: str,
    table: pd.DataFrame,
    draw: Callable[[pd.DataFrame], alt.TopLevelMixin],
    words: str,
) -> None:
    if not table["n"].any():
        row.info(f"{plain(name)} has no such prompt.")
        return
    chart = draw(table)
    chart.title = alt.Title(shortened(name, LONGEST_TITLE))
    number = main.groups.index(name) + 1
    place.draw(
        chart, f"{words}: {shortened(name, LONGEST_TITLE)}", name=f"group_{number}", where=row
    )


def minus(first: pd.DataFrame, second: pd.DataFrame, keys: list[str], column: str) -> pd.DataFrame:
    """The first table with the difference of means in `column`, its standard error beside it."""
    both = first.merge(second, on=keys, suffixes=("", "_second"))
    both["mean_first"], both["mean_second"] = both[column], both[f"{column}_second"]
    both[column] = both["mean_first"] - both["mean_second"]
    errors = both[f"{column}_error"], both[f"{column}_error_second"]
    both[f"{column}_error"] = (errors[0] ** 2 + errors[1] ** 2) ** 0.5
    both["n_first"] = both["n"]
    both["n"] = both[["n", "n_second"]].min(axis=1)
    return both


def with_comparison(code: str, pair: Pair | None, quantity: str, *options: str) -> str:
    """The code of a cell, and the comparison in the sentence above it."""
    if pair is None:
        return code
    given = [literal(quantity), literal(pair.first), literal(pair.second), *options]
    if pair.layer is not None and not any(o.startswith("layers=") for o in options):
        given.append(f"layers={pair.layer}")
    if pair.answered != "all":
        given.append(f"answered={literal(pair.answered)}")
    code = code.replace("from core import ", "from core import compare_groups, ", 1)
    return f"{code}\ncomparison = compare_groups(result, {', '.join(given)})"
