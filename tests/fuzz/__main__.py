"""All of it: `python -m tests.fuzz --inputs 10000 --files 1000`, or one again by its name.

python -m tests.fuzz --again 0:281            the visit of this seed and number
python -m tests.fuzz --again gguf:0:73        the damaged file
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from streamlit import set_option

from app.shell.models import preload_default
from tests.fuzz.damage import READERS
from tests.fuzz.reading import Reading, read
from tests.fuzz.steps import FILES
from tests.fuzz.visits import Outcome, Visitor, all_visits, visit_of

TOO_LONG = 5.0  # seconds of the processor's time for a page's run
SLOWEST = 5


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000, help="hostile texts, over all pages")
    parser.add_argument("--files", type=int, default=1_000, help="damaged files of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", help="one visit or file, by its name")
    options = parser.parse_args(arguments)
    logging.disable(logging.ERROR)
    set_option("logger.enableRich", False)  # which would print tracebacks among the results
    if options.again:
        return again(options.again)
    bad = pages(options.seed, options.inputs) + files(options.seed, options.files)
    print(f"\n{bad} failures" if bad else "\nno failure")
    return min(bad, 1)


def again(name: str) -> int:
    *kind, seed, number = name.split(":")
    if kind:
        result = read(kind[0], int(seed), int(number))
        print(result, "\n", result.answer, "\n", result.problem)
        return bool(result.problem)
    preload_default()
    outcome = Visitor(drawn=1).make(visit_of(int(seed), int(number)))
    print(outcome.visit, f"\n{outcome.seconds:.2f} s\n", "\n".join(outcome.problems))
    return bool(outcome.problems)


def pages(seed: int, inputs: int) -> int:
    """Visit all pages; prints a line a page, the slowest runs and the failures."""
    if not inputs:
        return 0
    preload_default()
    visitor, outcomes = Visitor(drawn=1), []
    for visit in all_visits(seed, inputs):
        outcome = visitor.make(visit)
        if outcome.seconds > TOO_LONG and not outcome.problems:
            outcome.problems.append(f"the page took {outcome.seconds:.1f} s")
        if outcome.problems:
            failed(str(visit), outcome.problems, f"{visit.seed}:{visit.number}")
        outcomes.append(outcome)
        if len(outcomes) % 500 == 0:
            print(f"{len(outcomes):,} visits", file=sys.stderr, flush=True)
    report(outcomes)
    return sum(bool(outcome.problems) for outcome in outcomes)


def failed(name: str, problems: Iterable[str], again: str) -> None:
    print(f"FAILED {name[:400]}")
    for problem in problems:
        print(f"    {problem[:600]}")
    print(f"    python -m tests.fuzz --again {again}", flush=True)


def report(outcomes: Sequence[Outcome]) -> None:
    by_page: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_page[outcome.visit.file].append(outcome)
    inputs = sum(len(outcome.visit.texts) for outcome in outcomes)
    print(f"\n{inputs:,} inputs in {len(outcomes):,} visits to {len(by_page)} pages")
    print(f"{'page':28}{'visits':>8}{'inputs':>8}{'failures':>10}{'slowest, s':>12}")
    for file in FILES:
        of_page = by_page.get(file) or [Outcome(outcomes[0].visit)]
        texts = sum(len(outcome.visit.texts) for outcome in of_page)
        bad = sum(bool(outcome.problems) for outcome in of_page)
        slowest = max(outcome.seconds for outcome in of_page)
        print(f"{file:28}{len(of_page):8,}{texts:8,}{bad:10}{slowest:12.2f}")
    ways = Counter(outcome.visit.way for outcome in outcomes)
    print("\nby " + ", ".join(f"{way} ({count:,})" for way, count in ways.most_common()))
    kinds = Counter(text.kind for outcome in outcomes for text in outcome.visit.texts)
    print("of " + ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common()))
    print("\nthe slowest runs:")
    for outcome in sorted(outcomes, key=lambda one: -one.seconds)[:SLOWEST]:
        print(f"{outcome.seconds:6.2f} s  {str(outcome.visit)[:200]}")


def files(seed: int, count: int) -> int:
    """Read damaged files of each kind; prints a line a kind, and the failures."""
    print(
        f"\n{'files':10}{'read':>8}{'refused':>9}{'failures':>10}{'most MB':>10}{'slowest, s':>12}"
    )
    bad = 0
    for kind in READERS:
        readings = [checked(read(kind, seed, number)) for number in range(count)]
        wrong = sum(bool(reading.problem) for reading in readings)
        whole = sum(reading.answer == "read" for reading in readings)
        memory = max((reading.memory for reading in readings), default=0) / 1e6
        slowest = max((reading.seconds for reading in readings), default=0)
        print(
            f"{kind:10}{whole:8}{count - whole - wrong:9}{wrong:10}{memory:10.0f}{slowest:12.2f}",
            flush=True,
        )
        bad += wrong
    return bad


def checked(reading: Reading) -> Reading:
    if reading.problem:
        failed(str(reading), [reading.problem], f"{reading.kind}:{reading.seed}:{reading.number}")
    return reading


if __name__ == "__main__":
    raise SystemExit(main())
