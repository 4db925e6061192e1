"""All visits: each is known by its seed and its number, and does the same each time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from streamlit.testing.v1 import AppTest

from core.model.catalog import BUILTIN
from tests.fuzz.downloads import download_problems, offered
from tests.fuzz.steps import FILES, Visit, usual
from tests.fuzz.texts import hostile
from tests.fuzz.ways import WAYS


@dataclass
class Outcome:
    visit: Visit
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of the longest run


def visit_of(seed: int, number: int) -> Visit:
    """The pages take turns; all else is drawn, a page's own ways more often."""
    rng = random.Random(f"{seed}:{number}")
    file = FILES[number % len(FILES)]
    often = {
        way: 4 if pages else 1 for way, (_, _, pages) in WAYS.items() if file in pages or not pages
    }
    (way,) = rng.choices(list(often), list(often.values()))
    _, texts, _ = WAYS[way]
    return Visit(
        seed, number, file, rng.choice(BUILTIN), way, tuple(hostile(rng) for _ in range(texts))
    )


def all_visits(seed: int, inputs: int) -> Iterator[Visit]:
    """The visits from the first on, until they bring in so many texts."""
    number = 0
    while inputs > 0:
        yield (visit := visit_of(seed, number))
        number, inputs = number + 1, inputs - len(visit.texts)


class Visitor:
    """Makes visits; a session is kept for each page and model, as long as it is only typed into.

    One of `drawn` visits also draws a picture of the page as a file, which takes long.
    """

    def __init__(self, drawn: int) -> None:
        self.drawn = drawn
        self.open: dict[tuple[str, str], AppTest] = {}

    def make(self, visit: Visit) -> Outcome:
        outcome = Outcome(visit)
        way, _, _ = WAYS[visit.way]
        try:
            with offered() as files:
                for step in way(self.session, visit):
                    outcome.seconds = max(outcome.seconds, step.seconds)
                    outcome.problems += step.problems()
            picture = None if visit.number % self.drawn else visit.number // self.drawn
            outcome.problems += download_problems(files, picture)
        except Exception as error:  # the harness itself: a hang, for one
            outcome.problems.append(f"{type(error).__name__}: {error}")
        if outcome.problems:
            self.open.clear()  # what follows does not depend on it
        return outcome

    def session(self, visit: Visit) -> AppTest:
        """The kept session of the visit's page and model."""
        key = (visit.file, visit.model)
        if key not in self.open:
            self.open[key] = usual(visit)
        return self.open[key]
