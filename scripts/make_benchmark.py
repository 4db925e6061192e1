"""The benchmarks that come with the app: python -m scripts.make_benchmark NAME [--records FILE]

For a built-in model records of data/mini_counterfact.json; for another one CounterFact records of
the given file that MEND's training did not see (scripts.mend_records). It goes on where it was ended:
what is done lies in --folder. Writes data/benchmark/NAME.zip and data/benchmark/REPORT.md, the
tables of all of them.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from core import benchmark, load_counterfact, load_model
from core.benchmarking.results import SHIPPED
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
log = logging.getLogger("make_benchmark")


def records_for(name: str, file: Path | None) -> Records:
    """Records that no trained network has seen."""
    if name in BUILTIN:
        return load_counterfact(MINI_COUNTERFACT)
    found = load_counterfact(file)
    unseen = tuple(record for record in found if held_out(record))
    return Records(found.name, unseen, digest=found.digest)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a model's name")
    parser.add_argument("--records", type=Path, help="CounterFact, EasyEdit's form")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    folder = given.folder or cache_folder() / "shipped-benchmarks" / given.name
    seen = [-1]

    def step(done: int, total: int) -> None:
        if done != seen[0]:
            log.info("%s: %d of %d rows", given.name, done, total)
            seen[0] = done

    found = benchmark(
        load_model(given.name),
        records_for(given.name, given.records),
        methods=given.methods,
        limit=given.limit,
        save_to=folder,
        on_step=step,
    )
    SHIPPED.mkdir(exist_ok=True)
    found.save(SHIPPED / f"{given.name}.zip")


if __name__ == "__main__":
    main()
