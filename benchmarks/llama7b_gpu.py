"""Llama2-7B's exact size on one graphics card: python -m benchmarks.llama7b_gpu

The sparse-file model of benchmarks.llama7b in each precision, in a process of its own, against a
bare forward and backward pass of the same network (its gradient at the embeddings), in turns.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from benchmarks.analysis import bare_pass
from benchmarks.llama7b import PROMPT, QUESTIONS, TARGET, lenses, make_folder
from core import answers, edit, load_model, trace

ROUNDS = 5
LONG = " ".join([PROMPT] * 10)


def seconds(work: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(folder: str, kind: str) -> None:
    start = time.perf_counter()
    model = load_model(folder, dtype=kind, device="cuda")
    print(f"{kind}: load {time.perf_counter() - start:.1f} s", flush=True)
    for prompt in (PROMPT, LONG):
        tasks = {
            "bare pass": lambda p=prompt: bare_pass(model, p, TARGET),
            "trace": lambda p=prompt: trace(model, p, TARGET),
            "trace and both lens tables": lambda p=prompt: lenses(model, p),
            "forward shift": lambda p=prompt: edit(
                model, p, TARGET, method="forward-shift", eta=0.1
            ),
        }
        took = {name: [] for name in tasks}
        for i in range(ROUNDS + 1):
            for name, work in tasks.items():
                taken = seconds(work)
                if i:  # the first round warms up
                    took[name].append(taken)
        floor = median(took["bare pass"])
        figures = ", ".join(
            f"{name} {1e3 * median(t):.0f} ms ({median(t) / floor:.2f}x)"
            for name, t in took.items()
        )
        print(f"  {len(model.encode(prompt))} tokens: {figures}", flush=True)
    asked = seconds(lambda: [answers(model, f"{PROMPT} {i}") for i in range(QUESTIONS)])
    peak = torch.cuda.max_memory_allocated() / 1e9
    print(f"  {QUESTIONS} answers {asked:.2f} s; peak {peak:.1f} GB of the card", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        measure(*sys.argv[2:4])
        return
    if not torch.cuda.is_available():
        print("There is no CUDA device here.")
        return
    print(torch.cuda.get_device_name(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        make_folder(Path(folder))
        for kind in sys.argv[1:] or ("float32", "bfloat16", "int8"):
            command = [sys.executable, "-m", "benchmarks.llama7b_gpu", "--measure", folder, kind]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
