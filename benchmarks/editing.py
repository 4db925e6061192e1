"""What editing costs: python -m benchmarks.editing

A random model of GPT-2 small's size; with `--model NAME --records FILE` a pretrained one, on which
ROME and MEMIT are timed (e). Everything is measured in one run, side by side and in turns, on
prompts that are new each time:
(a) a forward pass shift against one bare forward pass;
(b) the seconds of ROME and MEMIT, and of the second moments that they need once for a layer;
(c) memory of one edit and of 100 users' edits, above the model;
(d) `answers` with ten active edits against none;
(e) ROME and MEMIT as they are against the first version's settings and whole passes, fact by fact
    in turns, with the scores of both on the same CounterFact records.
(f) and (g), the benchmark's own speed, are in benchmarks/benchmark_speed.py.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import torch

from benchmarks.analysis import prompt_of, resident, seconds, small_model
from core import (
    Edit,
    LanguageModel,
    Record,
    answers,
    edit,
    estimate_seconds,
    load_counterfact,
    load_model,
    second_moments,
)
from core.editing import memit, rome, search_parts
from core.editing.calibration import draw_known
from core.editing.hyperparameters import relative_layer
from core.editing.scores import first_token_scores
from core.editing.search_parts import CONTEXTS_A_STEP
from core.editing.second_moments import WIDTHS_OF_OWN_TEXT
from core.editing.shift_search import find_shift
from core.editing.suffix_pass import run_all, run_on

LENGTHS = (8, 64)
ROUNDS = 15
TARGET = "Paris"
USERS = 100
TEXT_TOKENS = 1000
FIRST_VERSION = {  # its defaults for models that nobody tuned
    "steps": 20,
    "lr": 0.5,
    "decay": 0.5,
    "clamp": 4.0,
    "margin": None,
    "adapt": False,
}


def bare_pass(model: LanguageModel, prompt: str) -> None:
    with torch.no_grad():
        model.unembedding(model.read(model.embed(model.encode(prompt)))[:, -1])


def shift(model: LanguageModel, prompt: str, **settings: object) -> Edit:
    return edit(model, prompt, TARGET, method="forward-shift", **settings)


def compare(name: str, ours: list[float], floor: list[float], goal: str) -> None:
    ratio = statistics.median(a / b for a, b in zip(ours, floor, strict=True))
    print(
        f"{name}: {1e3 * statistics.median(ours):6.1f} ms against "
        f"{1e3 * statistics.median(floor):6.1f} ms, ratio {ratio:.2f} {goal}",
        flush=True,
    )


def shift_speed(model: LanguageModel, length: int) -> None:
    rng = random.Random(length)
    ours, floor = [], []
    for i in range(ROUNDS + 1):
        prompt = prompt_of(model, length, rng)
        pair = (
            seconds(lambda p=prompt: shift(model, p, eta=0.24)),
            seconds(lambda p=prompt: bare_pass(model, p)),
        )
        if i:  # the first round warms up
            ours.append(pair[0])
            floor.append(pair[1])
    compare(f"(a) {length:2d} tokens: forward shift", ours, floor, "(at most 1.3)")


def answer_speed(model: LanguageModel, length: int) -> None:
    rng = random.Random(length)
    edits = [shift(model, prompt_of(model, 8, rng), eta=0.01) for _ in range(10)]
    ours, floor = [], []
    for i in range(ROUNDS + 1):
        prompt = prompt_of(model, length, rng)
        pair = (
            seconds(lambda p=prompt: answers(model, p, edits=edits)),
            seconds(lambda p=prompt: answers(model, p)),
        )
        if i:
            ours.append(pair[0])
            floor.append(pair[1])
    compare(f"(d) {length:2d} tokens: answers with 10 edits", ours, floor, "(at most 1.2)")


def subject_methods(model: LanguageModel, folder: Path) -> None:
    """On second moments of a short text, so that the run stays short; their time is scaled up."""
    layers = (3, 4)
    text = folder / "text.txt"
    text.write_text(prompt_of(model, TEXT_TOKENS, random.Random(0)), encoding="utf-8")
    took = seconds(lambda: second_moments(model, layers, text_file=text))
    print(
        f"(b) second moments of {len(layers)} layers: {took:.1f} s for {TEXT_TOKENS:,} tokens; the "
        f"model's own text of {WIDTHS_OF_OWN_TEXT * model.d_mlp:,} tokens is estimated to take "
        f"{estimate_seconds(model, layers):.0f} s",
        flush=True,
    )
    for method, settings in (("rome", {"layer": 4}), ("memit", {"layers": layers})):
        asked = {"method": method, "subject": "Obama", "text_file": text, **settings}
        first = seconds(lambda a=asked: edit(model, "Obama grew up in", TARGET, **a))
        second = seconds(lambda a=asked: edit(model, "Obama grew up in", "Rome", **a))
        print(f"(b) {method}: {second:.1f} s (the first one {first:.1f} s)", flush=True)


def before_and_now(model: LanguageModel, file: Path, count: int) -> None:
    """(e), on records that the model answers correctly; second moments are there before."""
    known, _ = draw_known(model, list(load_counterfact(file)), count, 0, lambda: None)
    first, last = (relative_layer(model, depth) for depth in memit.DEPTHS)
    layers = {
        rome: {"layer": relative_layer(model, rome.DEPTH)},
        memit: {"layers": tuple(range(first, last + 1)), "weight": 1.0},
    }
    wanted = {n for method in layers for n in layers_of(method.defaults(model) | layers[method])}
    wanted |= {n for method in layers for n in layers_of(method.defaults(model))}
    second_moments(model, sorted(wanted))
    for method, where in layers.items():
        name, rows = method.__name__.rpartition(".")[2], []
        for record in known:
            for version, settings in (("before", FIRST_VERSION | where), ("now", {})):
                first_version = version == "before"
                passes, a_step = (run_all, 50) if first_version else (run_on, CONTEXTS_A_STEP)
                with (
                    patch.object(method, "find_shift", partial(find_shift, passes=passes)),
                    patch.object(search_parts, "CONTEXTS_A_STEP", a_step),
                ):
                    start = time.perf_counter()
                    change = edited(model, record, name, settings)
                    took = time.perf_counter() - start
                scores = first_token_scores(model, record, change)
                rows.append({"version": version, "seconds": took} | scores)
        table = pd.DataFrame(rows)
        took = table.pivot_table(index=table.index // 2, columns="version", values="seconds")
        print(f"(e) {name}, {len(known)} facts: {(took['before'] / took['now']).median():.1f} x")
        print(table.groupby("version").mean().round(3).to_string(), flush=True)


def edited(model: LanguageModel, record: Record, method: str, settings: dict) -> list[Edit]:
    words = (record.prompt, record.target_new)
    return [edit(model, *words, method=method, subject=record.subject, **settings)]


def layers_of(settings: dict) -> tuple[int, ...]:
    return tuple(settings["layers"]) if "layers" in settings else (settings["layer"],)


def memory(model: LanguageModel) -> None:
    rng = random.Random(0)
    one = shift(model, prompt_of(model, 8, rng), eta=0.24)
    before = resident("VmRSS")
    edits = [shift(model, prompt_of(model, 8, rng), eta=0.24) for _ in range(USERS)]
    for change in edits:
        answers(model, "Obama grew up in", edits=[change])
    grown = resident("VmRSS") - before
    size = sum(p.numel() * p.element_size() for p in model.network.parameters())
    print(
        f"(c) one forward shift {one.size / 1e3:.1f} kB, {USERS} users' "
        f"{sum(e.size for e in edits) / 1e6:.2f} MB; the process grew by {grown / 1e6:.1f} MB, "
        f"the model is {size / 1e6:.0f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a pretrained model's name or folder")
    parser.add_argument("--records", type=Path, help="CounterFact, EasyEdit's form")
    parser.add_argument("--count", type=int, default=8)
    given = parser.parse_args()
    if given.model:
        before_and_now(load_model(given.model), given.records, given.count)
        return
    model = small_model()
    print(f"{model.network.num_parameters():,} parameters, {torch.get_num_threads()} threads")
    for length in LENGTHS:
        shift_speed(model, length)
    for length in LENGTHS:
        answer_speed(model, length)
    if Path("/proc/self/status").exists():
        memory(model)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BACKWARD_LENS_CACHE"] = folder
        subject_methods(model, Path(folder))


if __name__ == "__main__":
    main()
