"""The benchmarks that come with the app: python -m scripts.make_benchmark NAME [--records FILE]

For a built-in model records of data/mini_counterfact.json; for another one CounterFact records of
the given file that MEND's training did not see (scripts.mend_records). It goes on where it was
ended: what is done lies in --folder. Writes data/benchmark/NAME.zip, and into REPORT.md
beside it the tables of all of them. With `--again METHOD ...` it begins with the rows that ship,
but for those of these methods.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from app.findings.benchmark import accuracy_finding, order_finding
from core import Benchmark, benchmark, load_counterfact, load_model
from core.benchmarking.export import as_markdown
from core.benchmarking.published import PUBLISHED
from core.benchmarking.results import SHIPPED
from core.benchmarking.store import Store
from core.cluster.ray_pool import RayPool
from core.editing.second_moments import cache_folder
from core.model.catalog import BUILTIN
from core.studies.counterfact import MINI_COUNTERFACT, Records
from scripts.mend_records import held_out

METHODS = (
    "forward-shift",
    "forward-shift:eta=fixed",
    "sgd",
    "adam",
    "rome",
    "memit",
    "emmet",
    "mend",
)
TABLES = (
    ("efficacy_acc", "paraphrase_acc", "neighbourhood_acc", "entropy", "perplexity"),
    ("efficacy_success", "paraphrase_success", "neighbourhood_success", "score", "kept"),
    ("generated", "negation", "reversed_acc", "reversed_success", "seconds", "bytes"),
)
log = logging.getLogger("make_benchmark")


def records_for(name: str, file: Path | None) -> Records:
    """Records that no trained network has seen."""
    if name in BUILTIN:
        return load_counterfact(MINI_COUNTERFACT)
    found = load_counterfact(file)
    unseen = tuple(record for record in found if held_out(record))
    return Records(found.name, unseen, digest=found.digest)


def table(found: Benchmark, measures: Sequence[str]) -> str:
    """The first table has the paper's rows beside, which has no other figures."""
    return as_markdown(found, measures=measures, published=measures == TABLES[0]).strip()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a model's name")
    parser.add_argument("--records", type=Path, help="CounterFact, EasyEdit's form")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--again", nargs="+", default=(), help="methods whose rows are made anew")
    parser.add_argument("--workers", type=int, default=1, help="on this machine, through Ray")
    given = parser.parse_args()
    folder = given.folder or cache_folder() / "shipped-benchmarks" / given.name
    if given.again:
        begin_with_others(SHIPPED / f"{given.name}.zip", given.again, folder)
    seen = [-1]

    def step(done: int, total: int) -> None:
        if done != seen[0]:
            log.info("%s: %d of %d rows", given.name, done, total)
            seen[0] = done

    with ExitStack() as stack:
        pool = None
        if given.workers > 1:
            pool = stack.enter_context(RayPool(given.name, address="local", workers=given.workers))
        found = benchmark(
            load_model(given.name),
            records_for(given.name, given.records),
            methods=given.methods,
            limit=given.limit,
            save_to=folder,
            on_step=step,
            pool=pool,
        )
    SHIPPED.mkdir(exist_ok=True)
    found.save(SHIPPED / f"{given.name}.zip")
    every = [Benchmark.load(file) for file in sorted(SHIPPED.glob("*.zip"))]
    (SHIPPED / "REPORT.md").write_text(report(every), encoding="utf-8")


def begin_with_others(file: Path, again: Sequence[str], folder: Path) -> None:
    """Put the rows of all other methods into a folder that is not there yet."""
    if folder.exists():
        raise SystemExit(f"{folder} is there already. Name another one with --folder.")
    found = Benchmark.load(file)
    with Store.begin(folder, found.header, list(found.records)) as store:
        store.append(found.rows[~found.rows["method"].isin(again)])


def report(every: Sequence[Benchmark]) -> str:
    """The tables of all shipped benchmarks, and how far the methods stand in the paper's order."""
    parts = [
        "# How well each method edits, by the field's benchmark",
        "Made by `python -m scripts.make_benchmark NAME`: CounterFact records, each edited by each "
        "method alone with its defaults, and taken back. In %, with 95% intervals over records; "
        "entropy in hundredths of a bit. In the other models' rows the paper's figures for GPT-2 "
        "XL. Seconds were measured while other work ran: compare them within a table only.",
    ]
    for found in every:
        header = found.header
        parts.append(f"## {header.model}")
        parts.append(
            f"{header.total} records of {header.records}, drawn with seed {header.seed} from those "
            "that MEND's training did not see."
        )
        parts += [table(found, measures) for measures in TABLES]
        parts.append(accuracy_finding(found.rows, found.table))
        parts.append(order_finding(found.rows, found.table, PUBLISHED))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
