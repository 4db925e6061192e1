"""The benchmark, or a study, from the command line: python -m core.benchmark --help

On one machine or, with --ray, on many. This file is only ever run: `from core import benchmark` is
the function of that name.
"""

from __future__ import annotations

import argparse
import logging
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.benchmarking.export import as_markdown
from core.benchmarking.memit_cases import export_memit
from core.benchmarking.run import benchmark
from core.benchmarking.text_metrics import ReferenceScore, load_snippets
from core.cluster.ray_pool import RayPool
from core.editing.methods import METHODS
from core.errors import BackwardLensError
from core.model.language_model import LanguageModel
from core.model.loading import load_model
from core.studies.claims import claims
from core.studies.counterfact import Records, load_counterfact
from core.studies.study import study

BETWEEN_LINES = 5.0  # seconds between two lines of progress
STOPPED = 130  # the exit code of a command that was told to end


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m core.benchmark",
        description="Edit CounterFact records with each method and judge the edits alike. Begun "
        "again with the same words it goes on where it ended.",
        epilog="Methods: " + ", ".join(METHODS) + ". Settings follow a colon, for instance "
        "forward-shift:eta=fixed.",
    )
    add = made.add_argument
    add("--model", required=True, help="a name or a folder, as load_model takes it")
    add("--records", required=True, help="a CounterFact file, JSON or JSONL", metavar="FILE")
    add("--methods", nargs="+", metavar="METHOD", help="by default all")
    add("--limit", type=int, default=1000, help="how many records are drawn (1000)")
    add("--seed", type=int, default=0, help="which ones are drawn (0)")
    add("--no-generate", action="store_true", help="sample no texts: no entropy, much faster")
    add("--snippets", metavar="FILE", help="memit's attribute_snippets.json: the reference score")
    add("--save-to", type=Path, metavar="FOLDER", help="benchmark-MODEL-RECORDS by default")
    add("--dtype", help="float32, bfloat16, float16 or int8; by default what fits")
    add("--study", action="store_true", help="make a study of the records, with the same workers")
    add("--export", nargs=2, metavar=("memit", "FOLDER"), help="also write memit's case files")
    ray = made.add_argument_group("more than one worker", "See README.md and docs/scale.md.")
    add = ray.add_argument
    add("--ray", metavar="WHERE", help="auto: the cluster here; local: this machine; or an address")
    add("--workers", type=int, help="how many; by default as many as the machines hold")
    add("--cpus-per-worker", type=float, default=1.0, metavar="N", help="cores, and threads (1)")
    add(
        "--gpus-per-worker", type=float, metavar="N", help="by default 1 where this machine has any"
    )
    return made


def main(words: list[str] | None = None) -> int:
    """The exit code: 0, 1 for what cannot be done, 2 for words that are not understood."""
    made = parser()
    options = made.parse_args(words)
    if options.export and options.export[0] != "memit":
        made.error(f"--export writes memit's files, not {options.export[0]!r}: --export memit DIR")
    if options.workers is not None and not options.ray:
        made.error("--workers goes with --ray local, --ray auto or --ray ADDRESS")
    folder = options.save_to or usual_folder(options)
    try:
        with ended_by_signals(), told_of_workers():
            run(options, folder)
    except BackwardLensError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say(f"Stopped. What is done stays in {folder}: the same command goes on from there.")
        return STOPPED
    return 0


def usual_folder(options: argparse.Namespace) -> Path:
    """ "benchmark-smollm2-135m-counterfact", in the folder where one is."""
    parts = ("study" if options.study else "benchmark", options.model, Path(options.records).stem)
    return Path("-".join(re.sub(r"[^\w.]+", "-", part).strip("-.") for part in parts))


def run(options: argparse.Namespace, folder: Path) -> None:
    records = load_counterfact(options.records)
    if records.skipped:
        say(f"{len(records.skipped):,} records of {records.name} cannot be read and are left out.")
    snippets = ReferenceScore(load_snippets(options.snippets)) if options.snippets else None
    model = load_model(options.model, dtype=options.dtype)
    say(f"{model.name} in {model.precision.name}; results go to {folder}")
    if not options.ray:
        finish(options, folder, model, records, snippets, None)
        return
    gpus = options.gpus_per_worker
    with RayPool(
        options.model,
        address=options.ray,
        workers=options.workers,
        cpus=options.cpus_per_worker,
        gpus=(1 if model.device.type == "cuda" else 0) if gpus is None else gpus,
        dtype=model.precision.name,  # the same on each machine, whatever its memory
    ) as pool:
        page = pool.dashboard or "has no page here (pip install 'ray[default]' gives it one)"
        say(f"Ray holds {options.workers or pool.room()} workers. Its dashboard: {page}")
        with ended_by_signals():  # Ray has taken SIGTERM for itself
            finish(options, folder, model, records, snippets, pool)


def finish(
    options: argparse.Namespace,
    folder: Path,
    model: LanguageModel,
    records: Records,
    snippets: ReferenceScore | None,
    pool: RayPool | None,
) -> None:
    """Run to the end, and print what was found as Markdown."""
    shared = {"limit": options.limit, "seed": options.seed, "save_to": folder, "pool": pool}
    if options.study:
        found = study(model, records, on_step=Progress("records", pool), **shared)
        header = found.header
        print(f"{header.counted:,} records of {header.records}, traced in {header.model}.\n")
        print(as_table(claims(found)[["claim", "verdict", "figure"]].values.tolist()))
        return
    result = benchmark(
        model,
        records,
        methods=options.methods,
        generate=not options.no_generate,
        snippets=snippets,
        on_step=Progress("rows", pool),
        **shared,
    )
    print(as_markdown(result))
    for method in result.methods if options.export else ():
        target = Path(options.export[1]) / re.sub(r"[^\w.+=-]+", "-", method)
        say(f"{len(export_memit(result, target, method)):,} case files of {method} in {target}")


def as_table(rows: list[list[str]]) -> str:
    lines = [["claim", "verdict", "figure"], ["---"] * 3, *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in lines)


class Progress:
    """Says now and then how far it is, how fast, and when it may be over."""

    def __init__(
        self, what: str, pool: RayPool | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.what, self.pool, self.clock = what, pool, clock
        self.begun: tuple[float, int] | None = None  # when, and what was there already
        self.last = -BETWEEN_LINES

    def __call__(self, done: int, total: int) -> None:
        now = self.clock()
        if self.begun is None:
            self.begun = now, done
        if now - self.last < BETWEEN_LINES and done < total:
            return
        self.last = now
        line = f"{done:,} of {total:,} {self.what}"
        start, before = self.begun
        if done > before and now > start:
            rate = (done - before) / (now - start)
            line += f", {rate:.3g} a second, {duration((total - done) / rate)} left"
        if self.pool is not None:
            line += f"; {self.pool.ready} workers"
        say(line)


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def say(text: str) -> None:
    """To the terminal; the table alone goes to the standard output."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Ctrl+C and SIGTERM raise KeyboardInterrupt."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, signal.default_int_handler) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


@contextmanager
def told_of_workers() -> Iterator[None]:
    """What the pool logs, workers that come and are lost, goes to the terminal, too."""
    log, handler = logging.getLogger("core.cluster"), logging.StreamHandler()
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


if __name__ == "__main__":
    sys.exit(main())
