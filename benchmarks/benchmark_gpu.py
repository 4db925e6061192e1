"""Seconds that a CounterFact record costs on one graphics card: python -m benchmarks.benchmark_gpu

Measures what docs/scale.md estimates: a random Llama of Llama 2 7B's exact size, made on the card,
edits records of data/mini_counterfact.json with each method and judges them as the benchmark does.

The model takes Llama 2 7B's settings by its name. It has 32,000 tokens and tiny-llama2's tokenizer,
which knows 4,096 and cuts records about as finely: the decoding matrix is zero for the tokens that
it does not know and for the end of text, so that they are never written and no text ends early.

ROME, MEMIT and EMMET take all the steps that their settings allow (stop_below=0). Other searches
are as they come: a random model knows nothing, and they may end earlier or later than Llama's, so
passes are printed beside the seconds. MEND's network is untrained and so changes little; it costs
what a trained one of its rank costs. Second moments are random, symmetric and positive definite,
low rank and a diagonal, the same for each layer: no solution's time depends on their values.

A method's first record warms up (and fills the memory that later ones find): it counts apart.
Times of parts add up: a part within another is not counted in the other. The folder for temporary
files needs 5 GB (TMPDIR). `--thin` tries the script out on the CPU; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import torch
import transformers

from benchmarks.random_llama import (
    HEADS,
    LAYERS,
    MLP,
    WIDTH,
    keep_moments,
    keep_untrained_mend,
    random_llama,
)
from benchmarks.scale import Count, as_original, counted
from benchmarks.stopwatch import Stopwatch
from core import (
    METHODS,
    LanguageModel,
    Record,
    benchmark,
    load_counterfact,
)
from core.benchmarking import judged, run
from core.benchmarking.asked import questions_of
from core.benchmarking.judged import Task, edited_by, judge
from core.benchmarking.specs import parse_spec
from core.benchmarking.store import Store
from core.benchmarking.templates import generation_prompts
from core.editing import second_moments as moments
from core.editing.methods import settings_of
from core.model.edits import Edit
from core.studies.counterfact import MINI_COUNTERFACT

LLAMA_SIZES = {"width": WIDTH, "mlp": MLP, "heads": HEADS}
THIN_SIZES = {"width": 32, "mlp": 88, "heads": 4}
SPECS = tuple(
    f"{name}:stop_below=0" if name in ("rome", "memit", "emmet") else name for name in METHODS
)
RECORDS, GROUP, BUDGET = 1, 4, 240.0
ALL_RECORDS, CARDS = 21_919, (1, 8, 64)
SOLVERS = "solve", "cholesky", "cholesky_ex", "solve_triangular", "lu_factor", "lu_solve", "inv"
PARTS = ("second moments", "solving")
ONCE = "once, before the first record"
WATCHED = (
    (judged, "searched_ahead", "searches, side by side"),
    (judged, "edited_by", "other work of the edits"),
    (judged, "readings", "answers to questions"),
    (judged, "perplexities", "perplexities"),
    (judged, "written", "writing"),
    (run, "begun", ONCE),
    (run, "prepare", ONCE),
    (Store, "append", "keeping the rows"),
    (Store, "compact", "merging their files"),
)


class OutOfTimeError(BaseException):
    """The budget is spent; no `except Exception` on the way holds it up."""


def say(text: str = "") -> None:
    print(text, flush=True)


def words() -> argparse.Namespace:
    made = argparse.ArgumentParser(prog="python -m benchmarks.benchmark_gpu")
    add = made.add_argument
    add("--records", type=int, default=RECORDS, help="timed by each method alone (1)")
    add("--group", type=int, default=GROUP, help="benchmarked and judged together (4)")
    add("--layers", type=int, default=LAYERS, help="of the model (32)")
    add("--width", type=int, help="d_model (4096; thin: 32)")
    add("--mlp", type=int, help="d_mlp (11008; thin: 88)")
    add("--heads", type=int, help="of the attention (32; thin: 4)")
    add("--dtype", help="bfloat16; load_model takes float32 where 30 GB of the card are free")
    add("--methods", nargs="+", default=SPECS, metavar="SPEC", help="by default all")
    add("--budget", type=float, default=BUDGET, help="seconds after which it ends (240)")
    add("--thin", action="store_true", help="a thin model on the CPU, to try the script out")
    return made.parse_args()


def moment_layers(model: LanguageModel, specs: Sequence[str]) -> list[int]:
    """The layers of which the methods read second moments."""
    layers: set[int] = set()
    for method, given in map(parse_spec, specs):
        if METHODS[method].needs_moments:
            settings = settings_of(method, model, given)
            layers |= set(settings.get("layers") or (settings["layer"],))
    return sorted(layers)


def watch_edits(watch: Stopwatch) -> None:
    """Solutions, and second moments wherever they are read, as parts of their own."""
    for name in SOLVERS:
        watch.wrap(torch.linalg, name, "solving")
    watch.wrap(torch, "cholesky_solve", "solving")
    read = moments.second_moments
    for name, module in list(sys.modules.items()):
        if name.startswith("core") and getattr(module, "second_moments", None) is read:
            watch.wrap(module, "second_moments", "second moments")


def time_edits(
    model: LanguageModel, records: Sequence[Record], specs: Sequence[str], watch: Stopwatch
) -> dict[str, float]:
    """Each method by itself; the first record warms up. Prints means of the others, and returns the
    seconds that a record takes with each method. One that fails is told of and left out."""
    timed = records[1:]
    say(f"Edits, each method alone: {len(timed)} of them, after one that warms up")
    heads = ("warm-up", "seconds", "moments", "solving", "forward", "backward")
    say(f"{'':>20}" + "".join(f"{head:>10}" for head in heads) + "  edited")
    found = {}
    for spec in specs:
        try:
            found[spec] = time_method(model, records[0], timed, spec, watch)
        except RuntimeError:  # the others are still worth their time
            watch.taken()
            say(f"{spec} fails:\n{traceback.format_exc()}")
    say(f"{'all':>20}{'':10}{sum(found.values()):10.2f} s a record; {memory(model)}")
    return found


def time_method(
    model: LanguageModel, first: Record, timed: Sequence[Record], spec: str, watch: Stopwatch
) -> float:
    """Its line, and the seconds that a record takes."""
    with watch.part("edit"):
        made = [edited_by(model, first, spec, None)]
    warming = sum(watch.taken().values())
    with counted(model) as count:
        for record in timed:
            with watch.part("edit"):
                made.append(edited_by(model, record, spec, None))
    taken = {name: seconds / len(timed) for name, seconds in watch.taken().items()}
    seconds, parts = sum(taken.values()), [taken.get(name, 0.0) for name in PARTS]
    figures = "".join(f"{figure:10.2f}" for figure in (warming, seconds, *parts))
    passes = "".join(f"{n / len(timed):10.1f}" for n in (count.forward, count.backward))
    edited = sum(isinstance(one, Edit) for one in made)
    say(f"{spec.partition(':')[0]:>20}{figures}{passes}  {edited} of {len(made)}")
    return seconds


def time_group(
    model: LanguageModel, records: Sequence[Record], specs: Sequence[str], watch: Stopwatch
) -> float:
    """A group of records in core.benchmark, each with all methods, judged and written to a folder.
    Prints the parts of it, also where time is over, and returns the seconds that a record takes."""
    judge(model, [Task(0, records[0], specs[:1], 0, True)])  # warms up
    watch.taken()
    asked = sum(len(questions_of(model, record)) for record in records) / len(records)
    texts = sum(len(generation_prompts(record)) for record in records) / len(records)
    say(f"\n{len(records)} records in core.benchmark, {len(specs)} methods and the unedited model;")
    say(f"{asked:.1f} questions and {texts:.1f} texts a record and variant. Seconds a record:")
    for owner, name, title in WATCHED:
        watch.wrap(owner, name, title)
    count = Count()
    try:
        with TemporaryDirectory() as folder, counted(model) as count, watch.part("the rest"):
            benchmark(model, records, methods=specs, limit=len(records), save_to=folder)
        whole = sum(s for name, s in watch.seconds.items() if name != ONCE) / len(records)
    finally:
        for name, seconds in watch.taken().items():
            share = f"{seconds:20.2f} in all" if name == ONCE else f"{seconds / len(records):20.2f}"
            say(f"{name:>40}{share}")
        forward, backward = (n / len(records) for n in (count.forward, count.backward))
        tokens = count.tokens / len(records)
        say(f"{forward:.0f} forward, {backward:.0f} backward passes, {tokens:,.0f} tokens read")
    say(f"One record: {whole:.2f} s; {memory(model)}")
    return whole


def project(seconds: float, what: str) -> None:
    hours = ALL_RECORDS * seconds / 3600
    shares = ", ".join(f"{cards}: {hours / cards:,.1f} h" for cards in CARDS)
    say(f"All {ALL_RECORDS:,} records, {what}, by cards: {shares}")


def memory(model: LanguageModel) -> str:
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # Linux has kilobytes
    card = torch.cuda.max_memory_allocated() / 1e9 if model.device.type == "cuda" else 0.0
    return f"at most {card:.1f} GB of the card, {resident:.1f} GB resident"


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends what runs in it when the time is over; what it printed stays."""

    def end(*_: object) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except OutOfTimeError:
        say(f"Stopped: the {seconds:.0f} s of --budget are over.")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measure(options: argparse.Namespace, device: str) -> None:
    start = time.perf_counter()
    usual = THIN_SIZES if options.thin else LLAMA_SIZES
    sizes = {name: getattr(options, name) or size for name, size in usual.items()}
    dtype = options.dtype or ("float32" if options.thin else "bfloat16")
    model = random_llama(device, dtype, layers=options.layers, **sizes)
    watch, specs = Stopwatch(model.device), tuple(options.methods)
    watch.now()
    say(f"{model}, {model.size:,} numbers: {time.perf_counter() - start:.1f} s")
    start, layers = time.perf_counter(), moment_layers(model, specs)
    keep_moments(model, layers)
    keep_untrained_mend(model)
    say(f"Second moments of layers {layers} and MEND: {time.perf_counter() - start:.1f} s")
    usable = [r for r in load_counterfact(MINI_COUNTERFACT) if r.subject and r.target_true]
    number, group = max(1, options.records), max(1, options.group)
    drawn = random.Random(0).sample(usable, 1 + max(number, group))
    records = [as_original(record) for record in drawn]
    with watch.wrapped:
        watch_edits(watch)
        edits = time_edits(model, records[: 1 + number], specs, watch)
        project(sum(edits.values()), "edits alone")
        whole = time_group(model, records[1 : 1 + group], tuple(edits), watch)
        project(whole, "edited and judged")


def main() -> None:
    options = words()
    device = "cpu" if options.thin else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        say("There is no CUDA device here. --thin tries the script out on the CPU.")
        return
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    say(f"{card}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    say(f"torch {torch.__version__}, transformers {transformers.__version__}")
    with TemporaryDirectory() as folder, at_most(options.budget):
        os.environ["BACKWARD_LENS_CACHE"] = folder
        measure(options, device)


if __name__ == "__main__":
    main()
