"""What a workshop's participants answer in the lessons: in memory, bounded, and in a file beside
the workshop's own, so that a server that starts again still has it."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import Counter, OrderedDict
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from app.workshop import store

CHECK, THOUGHT, BEFORE, AFTER = KINDS = ("check", "thought", "before", "after")
MOST_ANSWERS, MOST_OF_ONE, LETTERS = 5000, 300, 1000
COLUMNS = ("time", "name", "unit", "kind", "answer", "right", "model", "prompt", "target", "person")
FORMULA = tuple("=+-@＝＋－＠")  # a spreadsheet takes what begins so for a formula
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """One answer to a check or a question. `time` is seconds since 1970; `who` tells participants
    apart, also those without a name; `right` is empty where nothing was checked."""

    time: float
    who: str
    name: str
    unit: str
    kind: str
    answer: str
    right: bool | None = None
    model: str = ""
    prompt: str = ""
    target: str = ""

    @property
    def place(self) -> tuple:
        """A text is kept once for each person and unit, a check once for each try."""
        again = (self.time, self.answer) if self.kind == CHECK else ()
        return (self.who, self.unit, self.kind, *again)


class Answers:
    """A workshop's: the newest, and of one participant no more than his part."""

    def __init__(self, file: Path | None) -> None:
        self._file, self._guard = file, threading.Lock()
        self._kept: OrderedDict[tuple, Answer] = OrderedDict()
        self._lines = 0
        for answer in read(file):
            self._put(answer)
            self._lines += 1

    def add(self, answer: Answer) -> None:
        with self._guard:
            self._put(answer)
            try:
                self._write(answer)
            except OSError:
                log.warning("a workshop's answers cannot be written: %s", self._file)

    def all(self) -> list[Answer]:
        """In the order in which they came."""
        with self._guard:
            return list(self._kept.values())

    def _put(self, answer: Answer) -> None:
        self._kept[answer.place] = answer
        self._kept.move_to_end(answer.place)
        his = [place for place in self._kept if place[0] == answer.who]
        if len(his) > MOST_OF_ONE:
            del self._kept[his[0]]
        while len(self._kept) > MOST_ANSWERS:
            self._kept.popitem(last=False)

    def _write(self, answer: Answer) -> None:
        """Append a line; where too many are out of date, write the file anew, whole or not."""
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        whole = self._lines >= 2 * MOST_ANSWERS
        part = self._file.with_suffix(".part")
        answers = list(self._kept.values()) if whole else [answer]
        mode = "w" if whole else "a"
        with open(part if whole else self._file, mode, encoding="utf-8", opener=private) as file:
            file.writelines(json.dumps(asdict(a)) + "\n" for a in answers)
        if whole:
            os.replace(part, self._file)
        self._lines = len(answers) if whole else self._lines + 1


def private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read(file: Path | None) -> list[Answer]:
    """A file's answers; lines that are damaged are left out."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines() if file else []
    except (OSError, ValueError):
        return []
    return [answer for line in lines if (answer := from_line(line)) is not None]


def from_line(line: str) -> Answer | None:
    try:
        answer = Answer(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    texts = [getattr(answer, field.name) for field in fields(answer)[1:] if field.name != "right"]
    fits = isinstance(answer.time, int | float) and answer.right in (None, True, False)
    return answer if fits and all(isinstance(text, str) for text in texts) else None


def file_of(workshop_id: str) -> Path:
    return store.folder() / f"{workshop_id}.answers.jsonl"


@st.cache_resource(show_spinner=False)
def answers_of(workshop_id: str) -> Answers:
    return Answers(file_of(workshop_id))


def names(answers: list[Answer]) -> dict[str, str]:
    """Each participant's last name; "participant 3" for one who gave none, and a number behind a
    name that two have."""
    given: dict[str, str] = {}
    for answer in answers:
        given[answer.who] = answer.name or given.get(answer.who, "")
    often = Counter(given.values())
    return {
        who: (f"{name} ({i})" if often[name] > 1 else name) if name else f"participant {i}"
        for i, (who, name) in enumerate(given.items(), 1)
    }


def as_table(answers: list[Answer]) -> pd.DataFrame:
    """COLUMNS; times are in UTC, and no text is one that a spreadsheet would compute."""
    called, numbers = names(answers), {}
    rows = []
    for answer in answers:
        row = asdict(answer) | {
            "time": pd.Timestamp(answer.time, unit="s").strftime("%Y-%m-%d %H:%M:%S"),
            "name": called[answer.who],
            "right": {None: "", True: "yes", False: "not yet"}[answer.right],
            "person": numbers.setdefault(answer.who, len(numbers) + 1),
        }
        rows.append({column: safe(row[column]) for column in COLUMNS})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def safe(value: object) -> object:
    """A text as it is, with an apostrophe before one that a spreadsheet would compute."""
    if not isinstance(value, str):
        return value
    risky = value.lstrip().startswith(FORMULA) or value.startswith(("\t", "\r", "\n"))
    return f"'{value}" if risky else value


def progress_table(answers: list[Answer], units: dict[str, str]) -> pd.DataFrame:
    """A row for each participant, a column for each unit: ✓ right, … tried, nothing."""
    called = names(answers)
    tried = {(a.who, a.unit): False for a in answers}
    tried |= {(a.who, a.unit): True for a in answers if a.right}
    sign = partial(mark, tried)
    rows = [
        {"Name": name} | {title: sign(who, unit) for unit, title in units.items()}
        for who, name in called.items()
    ]
    return pd.DataFrame(rows, columns=["Name", *units.values()])


def mark(tried: dict[tuple[str, str], bool], who: str, unit: str) -> str:
    return {None: "", False: "…", True: "✓"}[tried.get((who, unit))]
