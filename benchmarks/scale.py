"""What a benchmark record costs in passes: python -m benchmarks.scale [model] [records]

Counted, not timed, so that the figures hold for any machine: how often each block of the network
is read and read backwards in one edit of each method, and in judging all of them at once, with how
many tokens a time. docs/scale.md multiplies them with what one pass takes on a graphics card.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import nn

from core import METHODS, LanguageModel, Record, load_counterfact, load_model
from core.benchmarking.asked import questions_of
from core.benchmarking.judged import Task, edited_by, judge
from core.model.edits import Edit
from core.studies.counterfact import MINI_COUNTERFACT

MODEL, RECORDS = "smollm2-135m", 4


@dataclass
class Count:
    """In passes through all blocks: a pass through half of them is half a one."""

    forward: float = 0.0
    backward: float = 0.0
    tokens: float = 0.0  # read forward


@contextmanager
def counted(model: LanguageModel) -> Iterator[Count]:
    count, share, handles = Count(), 1 / model.n_layers, []

    def forward(_: nn.Module, given: tuple, kept: dict) -> None:
        states = given[0] if given else kept["hidden_states"]
        count.forward += share
        count.tokens += share * states.shape[0] * states.shape[1]

    def backward(*_: object) -> None:
        count.backward += share

    for block in model.blocks:
        handles.append(block.register_forward_pre_hook(forward, with_kwargs=True))
        handles.append(block.register_full_backward_hook(backward))
    try:
        yield count
    finally:
        for handle in handles:
            handle.remove()


def line(name: str, counts: list[Count], note: str = "") -> None:
    parts = ("forward", "backward", "tokens")
    means = [sum(getattr(c, part) for c in counts) / len(counts) for part in parts]
    print(f"{name:>24} {means[0]:9.1f} {means[1]:9.1f} {means[2]:11,.0f}  {note}", flush=True)


def count_edits(model: LanguageModel, records: list[Record]) -> None:
    for method in METHODS:
        counts, made = [], 0
        for record in records:
            with counted(model) as count:
                made += isinstance(edited_by(model, record, method, None), Edit)
            counts.append(count)
        line(method, counts, "" if made == len(records) else f"{made} of {len(records)} edited")


def count_judging(model: LanguageModel, records: list[Record]) -> None:
    """The unedited model alone; each further method shares its passes, with tokens of its own."""
    for generate in (False, True):
        counts = []
        for i, record in enumerate(records):
            with counted(model) as count:
                judge(model, Task(i, record, (), 0, generate))
            counts.append(count)
        line("judged, with texts" if generate else "judged, without texts", counts, "a variant")


def main() -> None:
    model = load_model(sys.argv[1] if sys.argv[1:] else MODEL)
    number = int(sys.argv[2]) if sys.argv[2:] else RECORDS
    usable = [r for r in load_counterfact(MINI_COUNTERFACT) if r.subject and r.target_true]
    records = random.Random(0).sample(usable, number)
    records = [replace(r, neighbours=(*r.neighbours, *r.neighbours)[:10]) for r in records]
    asked = [len(questions_of(model, r)) for r in records]
    print(f"{model.name}, {number} records, {sum(asked) / number:.0f} questions a record")
    print(f"{'':>24} {'forward':>9} {'backward':>9} {'tokens':>11}  (passes through all blocks)")
    edited = [r for r in records if len(model.encode(r.prompt)) > 1]
    with_moments = [m for m in METHODS if METHODS[m].needs_moments]
    for method in with_moments:  # second moments are made once for all records
        edited_by(model, edited[0], method, None)
    count_edits(model, edited)
    count_judging(model, records)


if __name__ == "__main__":
    main()
