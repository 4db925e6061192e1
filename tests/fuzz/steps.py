"""A visit to a page, and each run of the page in it: what must hold of it, whatever was typed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from streamlit.testing.v1 import AppTest

from app.shell.navigation import PAGES
from app.work.sessions import JOBS
from tests.fuzz.shown import problems
from tests.fuzz.texts import Hostile

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "main.py"
PATIENCE = 120  # seconds after which a page hangs
# The subject is not the one that the app would propose, and replace with the next prompt's.
GOOD = {"prompt": "Obama grew up in", "target": "Paris", "subject": "grew up"}
FIELDS = tuple(GOOD)
FILES = [page.file for page in PAGES]


@dataclass(frozen=True)
class Visit:
    """One input: the page that is opened, by what way the texts come, and the texts."""

    seed: int
    number: int
    file: str
    model: str
    way: str
    texts: tuple[Hostile, ...]

    def __str__(self) -> str:
        texts = "; ".join(map(str, self.texts))
        return f"{self.seed}:{self.number} {self.file} {self.model}, by {self.way}: {texts}"


@dataclass(frozen=True)
class Step:
    """A run of a page, and what was typed that its fields must still hold."""

    at: AppTest
    seconds: float  # of the processor's time: others use this machine too
    typed: dict[str, str] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        for error in self.at.exception:
            yield f"traceback: {error.message} {' '.join(error.stack_trace)[-300:]}"
        for key, text in self.typed.items():
            value = self.at.text_input(key=key).value
            if value != text and not (key == "subject" and proposed(self.at, text)):
                yield f"{key} is now {value[:80]!r}"
        page = state(self.at, "page")
        yield from problems(
            self.at, None if page in ("ask", "my_notebook") else state(self.at, "prompt")
        )
        if state(self.at, "request") is None and not sentences(self.at):
            yield "nothing can be shown, and nothing says why"
        yield from (f"no sentence: {text!r}" for text in sentences(self.at) if not ended(text))


def proposed(at: AppTest, text: str) -> bool:
    """Whether the app may have put its own proposal in the place of a subject."""
    return text in ("", state(at, "proposed_subject")) or not text.strip()


def sentences(at: AppTest) -> list[str]:
    return [shown.value for shown in (*at.error, *at.info, *at.warning)]


def ended(text: str) -> bool:
    return re.search(r"[.!?:…]\W*$", text) is not None


def new_session(file: str, **query: object) -> AppTest:
    """A session that has opened nothing yet."""
    at = AppTest.from_file(MAIN, default_timeout=PATIENCE)
    at.query_params.update(query)
    if file != FILES[0]:
        at.switch_page(str(ROOT / "pages" / file))
    return at


def usual(visit: Visit) -> AppTest:
    """A session that has opened the visit's page with the usual texts."""
    return timed(new_session(visit.file, model=visit.model, **GOOD)).at


def timed(at: AppTest, typed: dict[str, str] | None = None) -> Step:
    begun = time.process_time()
    at.run()
    return Step(at, time.process_time() - begun, typed or {})


def state(at: AppTest, key: str) -> object:
    return at.session_state.get(key)


def typed(at: AppTest, values: dict[str, str]) -> Step:
    for key, text in values.items():
        at.text_input(key=key).set_value(text)
    return timed(at, values)


def after(at: AppTest, slot: str) -> Step:
    """The page once the session's work is over, if there is any."""
    job = (state(at, JOBS) or {}).get(slot)
    if job is not None:
        job.thread.join(PATIENCE)
    return timed(at)
