"""Benchmark: which method edits best, over CounterFact records."""

import streamlit as st

from app.cells.benchmark_failures import failures_cell
from app.cells.benchmark_setup import setup
from app.cells.benchmark_strength import strength_cell
from app.cells.benchmark_table import picture_cell, table_cell
from app.cells.benchmarks import choose, downloads, summary
from app.cells.shipped_benchmarks import shipped
from app.notebook.cell import page_title
from app.notebook.live import go_on
from app.shell.benchmark_jobs import known_benchmarks
from app.shell.models import load
from app.shell.state import chosen_key, require_model

go_on()
page_title(
    "Which method edits best?",
    "The CounterFact benchmark: each record edited by each method (Tables 1, 6 and 7).",
)
require_model()
there = bool(known_benchmarks() or shipped())
running = setup(open_at_first=not there)
if there:
    model = load(chosen_key())
    key, main = choose(model)
    summary(main, model)
    table_cell(1, key, main)
    picture_cell(2, main)
    strength_cell(3, chosen_key())
    failures_cell(4, key, main)
    downloads(main)
else:
    if not running:
        st.info(
            "No benchmark yet, and none is shipped here. Choose records and methods above and "
            "press Start: each fact is rewritten by each method, and all are judged alike."
        )
    strength_cell(1, chosen_key())
    downloads(None)
