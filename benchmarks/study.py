"""What a study costs: python -m benchmarks.study

In one run, side by side, on the built-in tiny-gpt2, on a random model of GPT-2 small's size, and,
where it is on the machine, on SmolLM2 (alone with `python -m benchmarks.study smollm2-135m`):
(a) prompts per second of a study over 100 records, against tracing the same records one by one
    with trace, vjp_norms, backward_lens of FF1 and FF2, and gradient_rank;
    and against bare passes one by one, a forward and a backward one for each record, with the
    gradients of the embeddings only, and with those of all weights, as training takes them;
(b) the peak of memory above the loaded model for 100 and for 1,000 records; it must not grow.
Records are those of data/mini_counterfact.json, for 1,000 of them some twice.
"""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from pathlib import Path

import torch
from transformers import PreTrainedModel

from benchmarks.analysis import bare_pass, reset_peak, resident, seconds, small_model
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
from core.model.package_index import packaged_folder
from core.studies.counterfact import MINI_COUNTERFACT

REAL = "smollm2-135m"
MODELS = {
    "tiny-gpt2": lambda: load_model("tiny-gpt2"),
    "GPT-2 small's size": small_model,
    REAL: lambda: load_model(REAL),
}
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


def bare_passes(model: LanguageModel, records: list[Record]) -> None:
    """What no study can do without: each record's loss and its gradient at the first layer."""
    for record in records:
        bare_pass(model, record.prompt, record.target_new)


def training_passes(network: PreTrainedModel, model: LanguageModel, records: list[Record]) -> None:
    """The same losses and the gradient of every weight."""
    for record in records:
        logits = network(input_ids=torch.tensor([model.encode(record.prompt)])).logits[0, -1]
        loss = -logits.log_softmax(-1)[model.target(record.prompt, record.target_new).id]
        loss.backward()
        network.zero_grad(set_to_none=True)


def speed(name: str) -> None:
    model = MODELS[name]()
    network = copy.deepcopy(model.network).requires_grad_()
    records = list(load_counterfact(MINI_COUNTERFACT))[:RECORDS]
    study(model, records[:4])
    one_by_one(model, records[:4])
    ours, politely, theirs, bare, training = [], [], [], [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: study(model, records, limit=RECORDS)))
        politely.append(seconds(lambda: study(model, records, limit=RECORDS, batch_size=1)))
        theirs.append(seconds(lambda: one_by_one(model, records)))
        bare.append(seconds(lambda: bare_passes(model, records)))
        training.append(seconds(lambda: training_passes(network, model, records)))
    a, b, c, d, e = (
        len(records) / min(times) for times in (ours, politely, theirs, bare, training)
    )
    print(
        f"(a) {name}: study {a:.1f} prompts a second, record by record {b:.1f}, one by one "
        f"{c:.1f}: {a / c:.2f} and {b / c:.2f} times as fast; "
        f"{d / a:.2f} times the bare passes' time, {e / a:.2f} times theirs with all gradients",
        flush=True,
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
    here = [name for name in MODELS if name != REAL or packaged_folder(REAL)]
    for name in sys.argv[1:] or here:
        speed(name)
    if len(sys.argv) > 1:
        return
    if not Path("/proc/self/clear_refs").exists():
        print("(b) is measured on Linux only")
        return
    for name in here:
        for count in (100, 1000):
            command = [sys.executable, "-m", "benchmarks.study", name, str(count)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
