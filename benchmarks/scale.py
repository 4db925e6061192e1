"""What a benchmark record costs in passes: python -m benchmarks.scale [records] [model]

Counted, not timed, so that the figures hold for any machine: how often each block of the network
is read and read backwards in one edit of each method, and in judging all of them at once, with how
many tokens a time. docs/scale.md multiplies them with what one pass takes on a graphics card.

Without a model: a random one with Llama 2 7B's name, and so with its settings, as many layers and
none of its width. It knows nothing, so that searches seldom end early: rather too many passes.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from core import METHODS, LanguageModel, Record, load_counterfact, load_model
from core.benchmarking.asked import questions_of
from core.benchmarking.judged import Task, edited_by, judge
from core.model.edits import Edit
from core.studies.counterfact import MINI_COUNTERFACT

RECORDS = 10
LLAMA = "meta-llama/Llama-2-7b-hf"


def thin_llama() -> LanguageModel:
    torch.manual_seed(0)
    tokenizer = load_model("tiny-llama2").tokenizer
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=88,
        num_hidden_layers=32,
        num_attention_heads=4,
        initializer_range=0.2,
    )
    return LanguageModel(LlamaForCausalLM(config), tokenizer, LLAMA)


@dataclass
class Count:
    """In passes through all blocks: a pass through half of them is half a one."""

    forward: float = 0.0
    backward: float = 0.0
    tokens: float = 0.0  # read forward


@contextmanager
def counted(model: LanguageModel) -> Iterator[Count]:
    count, share = Count(), 1 / model.n_layers

    def seen(_: nn.Module, __: tuple, output: Tensor | tuple[Tensor, ...]) -> None:
        states = output if isinstance(output, Tensor) else output[0]
        count.forward += share
        count.tokens += share * states.shape[0] * states.shape[1]
        if states.requires_grad:
            states.register_hook(back)

    def back(_: Tensor) -> None:
        count.backward += share

    handles = [block.register_forward_hook(seen) for block in model.blocks]
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
                judge(model, [Task(i, record, (), 0, generate)])
            counts.append(count)
        line("judged, with texts" if generate else "judged, without texts", counts, "a variant")


def as_original(record: Record) -> Record:
    """With as many prompts as CounterFact's original records have."""
    texts = *record.generation_prompts, *(f"So {text}" for text in record.generation_prompts)
    return replace(record, neighbours=2 * record.neighbours, generation_prompts=texts)


def main() -> None:
    number = int(sys.argv[1]) if sys.argv[1:] else RECORDS
    model = load_model(sys.argv[2]) if sys.argv[2:] else thin_llama()
    usable = [r for r in load_counterfact(MINI_COUNTERFACT) if r.subject and r.target_true]
    records = [as_original(r) for r in random.Random(0).sample(usable, number)]
    asked = [len(questions_of(model, r)) for r in records]
    print(f"{model.name}, {number} records, {sum(asked) / number:.0f} questions a record")
    print(f"{'':>24} {'forward':>9} {'backward':>9} {'tokens':>11}  (passes through all blocks)")
    for method in METHODS:
        if METHODS[method].needs_moments:  # they are made once for all records
            edited_by(model, records[0], method, None)
    count_edits(model, records)
    count_judging(model, records)


if __name__ == "__main__":
    main()
