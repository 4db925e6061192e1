"""The benchmarks that come with the app, and whose is shown for a model that has none."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

import core
from app.notebook.code import literal
from app.words import count

KEY = "shipped:"  # of a shipped benchmark's key, before its model's name


@st.cache_resource(show_spinner=False)
def shipped() -> dict[str, core.Benchmark]:
    """The shipped benchmarks by their keys, read once for all visitors."""
    return {f"{KEY}{name}": made for name, made in core.shipped_benchmarks().items()}


def is_shipped(benchmark: core.Benchmark) -> bool:
    return any(benchmark is one for one in shipped().values())


def nearest(model: core.LanguageModel, among: Mapping[str, core.Benchmark]) -> str:
    """The key of the model's own benchmark, else of the one whose model is nearest in size."""
    own = f"{KEY}{model.name}"
    if own in among:
        return own

    def distance(key: str) -> tuple[int, int]:
        header = among[key].header
        layers = abs(header.n_layers - model.n_layers)
        return layers, abs(header.vocabulary_size - model.vocabulary_size)

    return min(among, key=distance)


def whose(benchmark: core.Benchmark, model: core.LanguageModel) -> str:
    """Where a shipped benchmark comes from, and that it is another model's where it is."""
    header = benchmark.header
    made = (
        f"{header.model}: made with Backward Lens, {count(header.total, 'record')} of "
        f"{header.records}, seed {header.seed}."
    )
    if header.model == model.name:
        return made
    return (
        f"There is no benchmark of {model.name} yet. This is {header.model}'s, which is nearest in "
        f"size of those that ship. {made}"
    )


def result_code(benchmark: core.Benchmark, table: str) -> str:
    """Python that gives a table of the benchmark's."""
    if is_shipped(benchmark):
        name = literal(benchmark.header.model)
        head = ["from core import shipped_benchmarks", "", f"result = shipped_benchmarks()[{name}]"]
    else:
        head = [
            "from core import Benchmark",
            "",
            'result = Benchmark.load("benchmark.zip")  # downloaded below',
        ]
    return "\n".join([*head, f"table = result.{table}"])
