"""Hostile texts on their way into the app: by which page, by which field, link or file.

A visit is known by its seed and its number, and does the same each time.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from streamlit.testing.v1 import AppTest

from app.shell.models import OTHER
from app.shell.navigation import JOB_PAGES, PAGES
from app.work.sessions import JOBS
from core.model.catalog import BUILTIN
from tests.fuzz.files import hostile_edit, hostile_records, hostile_study
from tests.fuzz.shown import elements, problems
from tests.fuzz.texts import Hostile, hostile

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "app" / "main.py"
PATIENCE = 120  # seconds after which a page hangs
# The subject is not the one that the app would propose, and replace with the next prompt's.
GOOD = {"prompt": "Obama grew up in", "target": "Paris", "subject": "grew up"}
FIELDS = tuple(GOOD)
FILES = [file for file, _, _ in PAGES]
SLOTS = (*JOB_PAGES, "answer_0")
LONGEST_QUERY = 512 * 1024  # characters of an address that Streamlit reads; it ignores longer ones


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
        yield from problems(self.at, None if page == "ask" else state(self.at, "prompt"))
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


@dataclass
class Outcome:
    visit: Visit
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of the longest run


def visit_of(seed: int, number: int) -> Visit:
    """The pages take turns; all else is drawn."""
    rng = random.Random(f"{seed}:{number}")
    file = FILES[number % len(FILES)]
    way = rng.choice([way for way, (_, _, pages) in WAYS.items() if not pages or file in pages])
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
    """Makes visits; a session is kept for each page and model, as long as it is only typed into."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str], AppTest] = {}

    def make(self, visit: Visit) -> Outcome:
        outcome = Outcome(visit)
        way, _, _ = WAYS[visit.way]
        try:
            for step in way(self, visit):
                outcome.seconds = max(outcome.seconds, step.seconds)
                outcome.problems += step.problems()
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


Steps = Iterator[Step]


def by_field(name: str) -> Callable[[Visitor, Visit], Steps]:
    """Typed into one field of the sidebar, the others being as usual."""

    def way(visitor: Visitor, visit: Visit) -> Steps:
        yield typed(visitor.session(visit), GOOD | {name: visit.texts[0].whole})

    return way


def typed(at: AppTest, values: dict[str, str]) -> Step:
    for key, text in values.items():
        at.text_input(key=key).set_value(text)
    return timed(at, values)


def by_all_fields(visitor: Visitor, visit: Visit) -> Steps:
    texts = [text.whole for text in visit.texts]
    yield typed(visitor.session(visit), dict(zip(FIELDS, texts, strict=True)))


def by_subject_in_the_prompt(visitor: Visitor, visit: Visit) -> Steps:
    """The subject is a part of the prompt, whatever it is."""
    text = visit.texts[0].whole
    values = GOOD | {"prompt": f"The mother of {text} is", "subject": text}
    yield typed(visitor.session(visit), values)


def by_link(visitor: Visitor, visit: Visit) -> Steps:
    """Prompt, target and subject in the address, in bytes that may be no text."""
    values = dict(zip(FIELDS, (text.raw for text in visit.texts), strict=True))
    read = len(urlencode(values)) < LONGEST_QUERY
    kept = {name: raw.decode("utf-8", "replace") for name, raw in values.items() if read}
    yield timed(new_session(visit.file, model=visit.model, **values), kept)


def by_repeated_link(visitor: Visitor, visit: Visit) -> Steps:
    """Each parameter several times, and parameters that nobody knows."""
    raw = [text.raw for text in visit.texts]
    query: dict[str, object] = {name: [*raw, b"x"] for name in (*FIELDS, "model", "precision")}
    query |= {text.whole[:2000]: text.raw for text in visit.texts}
    yield timed(new_session(visit.file, **query))


def by_model_link(visitor: Visitor, visit: Visit) -> Steps:
    yield timed(new_session(visit.file, model=visit.texts[0].raw, **GOOD))


def by_model_field(visitor: Visitor, visit: Visit) -> Steps:
    at = usual(visit)
    at.selectbox(key="model_choice").set_value(OTHER)
    yield timed(at)
    yield typed(at, {"other_model": visit.texts[0].whole})


@cache
def bound(file: str) -> tuple[str, ...]:
    """The parameters of a page's controls that stand in its link."""
    at = timed(new_session(file, model=BUILTIN[0], **GOOD)).at
    names = (getattr(message, "query_param_key", "") for message in elements(at._tree))
    return tuple(sorted({name for name in names if name} - set(FIELDS)))


def by_controls_link(visitor: Visitor, visit: Visit) -> Steps:
    """Every control that stands in a page's link, and the links of long work."""
    rng = random.Random(f"{visit.seed}:{visit.number}:controls")
    numbers = ["-1", "1e9", "9" * 40, "0.5", "true", "", "NaN", "0", "3,4", "ff1", "[]"]
    values = [*(text.raw[:10_000] for text in visit.texts), *rng.sample(numbers, 5)]
    names = [*bound(visit.file), *SLOTS, "precision", "embed_options"]
    query = {name: rng.choice([rng.choice(values), rng.sample(values, 2)]) for name in names}
    yield timed(new_session(visit.file, model=visit.model, **GOOD, **query))


def by_foreign_job(visitor: Visitor, visit: Visit) -> Steps:
    """The token of a study that is over, under the names of other work."""
    token = finished_study()
    query = dict.fromkeys((*SLOTS, "prompt", "subject", "model_choice", "nothing"), token)
    yield timed(new_session(visit.file, model=visit.model, target=visit.texts[0].raw, **query))


@cache
def finished_study() -> str:
    at = timed(new_session("many_prompts.py", model=BUILTIN[0], **GOOD)).at
    at.number_input(key="study_limit_559").set_value(2)
    at.button(key="start_study").click().run()
    job = at.session_state[JOBS]["study"]
    job.thread.join(PATIENCE)
    return job.token


def by_edit_file(visitor: Visitor, visit: Visit) -> Steps:
    """An edit's file that says hostile things of itself; then the page with the edit on."""
    at = usual(visit)
    content = hostile_edit(visit.model, visit.texts)
    at.file_uploader(key="edit_file").set_value(("edit.safetensors", content, "application/x"))
    yield timed(at)
    for entry in state(at, "ledger") or ():
        at.text_input(key=f"edit_name_{entry.id}").set_value(visit.texts[1].whole)
        yield timed(at)


def by_prompts_around(visitor: Visitor, visit: Visit) -> Steps:
    """The prompts that an edit is asked about."""
    at = usual(visit)
    content = hostile_edit(visit.model, ())
    at.file_uploader(key="edit_file").set_value(("edit.safetensors", content, "application/x"))
    timed(at)
    for area, text in zip(at.text_area, visit.texts, strict=True):
        area.set_value(text.whole[:4000])
    yield timed(at)


def by_study_file(visitor: Visitor, visit: Visit) -> Steps:
    at = usual(visit)
    content = hostile_study(visit.texts)
    at.file_uploader(key="study_file").set_value(("study.zip", content, "application/zip"))
    yield timed(at)


def by_records_file(visitor: Visitor, visit: Visit) -> Steps:
    """CounterFact records of hostile texts, and a study over them."""
    at = usual(visit)
    at.segmented_control(key="records_source").set_value("upload").run()
    name = visit.texts[2].whole.replace("\x00", "")[:60] + ".json"
    content = hostile_records(visit.texts)
    at.file_uploader(key="records_file").set_value((name, content, "application/json"))
    yield timed(at)
    if any(button.key == "start_study" for button in at.button):
        at.button(key="start_study").click()
        yield timed(at)
        yield after(at, "study")


def by_chat(visitor: Visitor, visit: Visit) -> Steps:
    at = visitor.session(visit)
    at.session_state["ask_length"] = 2
    at.chat_input(key="ask_prompt").set_value(visit.texts[0].whole)
    yield timed(at)
    yield after(at, "answer_0")


def by_rows(visitor: Visitor, visit: Visit) -> Steps:
    """The table of prompts, whose edits come as JSON: halves of characters too."""
    at = usual(visit)
    rows = [{"Prompt": text.text} for text in visit.texts[1:]]
    edited = {0: {"Prompt": visit.texts[0].text}}
    at.session_state["ask_rows"] = {"edited_rows": edited, "added_rows": rows, "deleted_rows": []}
    yield timed(at)
    at.button(key="ask_all").click()
    yield timed(at)
    yield after(at, "ask_all")
    at.switch_page(str(ROOT / "pages" / FILES[0])).run()
    at.switch_page(str(ROOT / "pages" / visit.file))
    yield timed(at)


def after(at: AppTest, slot: str) -> Step:
    """The page once the session's work is over, if there is any."""
    job = (state(at, JOBS) or {}).get(slot)
    if job is not None:
        job.thread.join(PATIENCE)
    return timed(at)


EDIT, STUDIES, ASK = ("edit.py",), ("many_prompts.py",), ("ask.py",)
# How texts come in, how many, and on which pages; on all where none is named.
WAYS: dict[str, tuple[Callable[[Visitor, Visit], Steps], int, tuple[str, ...]]] = {
    "prompt": (by_field("prompt"), 1, ()),
    "target": (by_field("target"), 1, ()),
    "subject": (by_field("subject"), 1, ()),
    "subject in the prompt": (by_subject_in_the_prompt, 1, ()),
    "all fields": (by_all_fields, 3, ()),
    "link": (by_link, 3, ()),
    "repeated link": (by_repeated_link, 3, ()),
    "model link": (by_model_link, 1, ()),
    "model field": (by_model_field, 1, ()),
    "controls link": (by_controls_link, 3, ()),
    "foreign job": (by_foreign_job, 1, ()),
    "edit file": (by_edit_file, 3, ()),
    "prompts around": (by_prompts_around, 3, EDIT),
    "study file": (by_study_file, 3, STUDIES),
    "records file": (by_records_file, 3, STUDIES),
    "chat": (by_chat, 1, ASK),
    "rows": (by_rows, 3, ASK),
}
