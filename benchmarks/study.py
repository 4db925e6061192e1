"""What a study costs: python -m benchmarks.study

In one run, side by side, on the built-in tiny-gpt2 and on a random model of GPT-2 small's size:
(a) prompts per second of a study over 100 records, against tracing the same records one by one
    with trace, vjp_norms, backward_lens of FF1 and FF2, and gradient_rank;
(b) the peak of memory above the loaded model for 100 and for 1,000 records; it must not grow.
Records are those of data/mini_counterfact.json, for 1,000 of them some twice.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

from benchmarks.analysis import reset_peak, resident, seconds, small_model
from core import (
    LanguageModel,
    Record,
    backward_lens,
    gradient_rank,
    load_counterfact,
    load_model,
    study,
    trace,
    vjp_norms,
)
from core.studies.counterfact import MINI_COUNTERFACT

MODELS = {"tiny-gpt2": lambda: load_model("tiny-gpt2"), "GPT-2 small's size": small_model}
RECORDS = 100
ROUNDS = 2


def one_by_one(model: LanguageModel, records: list[Record]) -> None:
    """The tables of the first version, record by record; nothing is averaged."""
    for record in records:
        run = trace(model, record.prompt, record.target_new)
        vjp_norms(run)
        backward_lens(run, "ff1", top_k=1)
        backward_lens(run, "ff2", top_k=1)
        gradient_rank(run)


def speed(name: str) -> None:
    model = MODELS[name]()
    records = list(load_counterfact(MINI_COUNTERFACT))[:RECORDS]
    study(model, records[:4])
    one_by_one(model, records[:4])
    ours, politely, theirs = [], [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: study(model, records, limit=RECORDS)))
        politely.append(seconds(lambda: study(model, records, limit=RECORDS, batch_size=1)))
        theirs.append(seconds(lambda: one_by_one(model, records)))
    a, b, c = (RECORDS / min(times) for times in (ours, politely, theirs))
    print(
        f"(a) {name}: study {a:.1f} prompts a second, record by record {b:.1f}, one by one "
        f"{c:.1f}: {a / c:.2f} and {b / c:.2f} times as fast"
    )


def memory(name: str, count: int) -> None:
    """In a process of its own: the peak of a study above the loaded model."""
    model = MODELS[name]()
    once = list(load_counterfact(MINI_COUNTERFACT))
    records = [dataclasses.replace(once[i % len(once)], case_id=i) for i in range(count)]
    study(model, records[:2])
    reset_peak()
    before = resident("VmRSS")
    study(model, records, limit=count)
    print(
        f"(b) {name}: {count:5d} records, peak {(resident('VmHWM') - before) / 1e6:.0f} MB above "
        "the loaded model"
    )


def main() -> None:
    if len(sys.argv) > 2:
        memory(sys.argv[1], int(sys.argv[2]))
        return
    for name in MODELS:
        speed(name)
    sys.stdout.flush()
    if not Path("/proc/self/clear_refs").exists():
        print("(b) is measured on Linux only")
        return
    for name in MODELS:
        for count in (100, 1000):
            command = [sys.executable, "-m", "benchmarks.study", name, str(count)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
