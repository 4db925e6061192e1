"""Which benchmark is shown, what it is of, and a benchmark as files."""

from __future__ import annotations

from functools import partial

import streamlit as st

import core
from app.cells.shipped_benchmarks import KEY, is_shipped, nearest, shipped, whose
from app.shell.benchmark_jobs import keep_benchmark, known_benchmarks
from app.words import count, file_name, plain
from core.benchmarking.export import as_csv, as_latex, as_markdown
from core.benchmarking.header import BenchmarkHeader

FORMS = (("CSV", "csv", as_csv), ("LaTeX", "tex", as_latex), ("Markdown", "md", as_markdown))
FILE, PROBLEM = "benchmark_file", "benchmark_file_problem"


def add_uploaded_benchmark() -> None:
    """Read a benchmark that was downloaded earlier; for the uploader's callback."""
    file = st.session_state.get(FILE)
    st.session_state[PROBLEM] = ""
    if file is None:
        return
    try:
        keep_benchmark(file.file_id, core.Benchmark.load(file.getvalue()))
    except core.BackwardLensError as error:
        st.session_state[PROBLEM] = str(error)


def choose(model: core.LanguageModel) -> tuple[str, core.Benchmark]:
    """The benchmark that is shown, with its key: this session's newest, else the model's shipped
    one, else the nearest. There is at least one."""
    own = known_benchmarks()
    benchmarks = own | shipped()
    first = list(own)[-1] if own else nearest(model, shipped())
    if len(benchmarks) == 1:
        return first, benchmarks[first]
    picked = st.selectbox(
        "Benchmark",
        list(benchmarks),
        index=list(benchmarks).index(first),
        format_func=lambda key: described(key, benchmarks[key]),
        key=f"benchmark_shown_{len(own)}_{first}",  # a new benchmark is shown at once
    )
    return picked, benchmarks[picked]


def described(key: str, benchmark: core.Benchmark) -> str:
    header = benchmark.header
    name = f"{header.model} (shipped)" if key.startswith(KEY) else header.model
    part = "" if benchmark.finished else ", not finished"
    return f"{name}: {count(header.total, 'record')}, {methods(header)}{part}"


def methods(header: BenchmarkHeader) -> str:
    return count(len(header.methods), "method")


def summary(benchmark: core.Benchmark, model: core.LanguageModel) -> None:
    """Whose benchmark it is, and how much of it there is."""
    header = benchmark.header
    if is_shipped(benchmark):
        st.markdown(plain(whose(benchmark, model)))
        return
    rows, of = len(benchmark.rows), header.total * (len(header.methods) + 1)
    ended = (
        "" if benchmark.finished else f" {rows} of {of} rows are done: what follows is of these."
    )
    st.markdown(
        plain(
            f"{header.model}: {count(header.total, 'record')} of {header.records}, seed "
            f"{header.seed}, {methods(header)}.{ended}"
        )
    )


def downloads(benchmark: core.Benchmark | None) -> None:
    """The table in three forms, and the whole benchmark as one file, to keep and open again."""
    if benchmark is not None:
        stem = f"benchmark-{file_name(benchmark.header.model)}-{benchmark.header.seed}"
        row = st.container(horizontal=True, vertical_alignment="bottom")
        row.download_button(
            "Download the benchmark (zip)",
            data=benchmark.as_zip,
            file_name=f"{stem}.zip",
            mime="application/zip",
            on_click="ignore",
            key="benchmark_zip",
        )
        for title, end, write in FORMS:
            row.download_button(
                f"The table as {title}",
                data=partial(write, benchmark),
                file_name=f"{stem}.{end}",
                mime="text/plain" if end != "csv" else "text/csv",
                on_click="ignore",
                key=f"benchmark_as_{end}",
            )
    st.file_uploader(
        "Open a benchmark: its zip file", type=["zip"], key=FILE, on_change=add_uploaded_benchmark
    )
    problem = st.session_state.get(PROBLEM)
    if problem:
        st.error(plain(problem))
