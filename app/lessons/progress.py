"""How far a visitor has come with the lessons: his own, and bounded, so that a reload keeps it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from app.lessons.unit import Unit
from app.shell.state import Request
from app.work.own import own

NAME = "lessons"  # of the visitor's thing
ANSWER_LETTERS, THOUGHT_LETTERS = 400, 1000  # of each text that is kept
MOST_STEPS = 60  # units of which something is kept


@dataclass
class Step:
    """What a visitor did in one unit."""

    hints: int = 0  # how many are shown, "show me" among them
    answer: str = ""  # the last one that was checked
    right: bool = False  # whether any was
    verdict: tuple[bool, str] | None = None  # of the last check: right, and why as Markdown
    of: tuple = ()  # the request that was checked, as `request_key`
    thought: str = ""

    @property
    def size(self) -> int:
        texts = (self.answer, self.thought, self.verdict[1] if self.verdict else "", *self.of[:3])
        return 200 + sum(4 * len(text) for text in texts)


@dataclass
class Progress:
    """Of all units. `active` is the unit whose task goes with the visitor to other pages."""

    who: str = field(default_factory=lambda: secrets.token_hex(8))  # for a class's list
    current: str = ""
    active: str = ""
    small: bool = False  # whether the bar above other pages is folded
    steps: dict[str, Step] = field(default_factory=dict)
    before: str = ""
    after: str = ""

    @property
    def size(self) -> int:
        """Bytes."""
        words = 4 * (len(self.before) + len(self.after))
        return 500 + words + sum(step.size for step in list(self.steps.values()))

    def step(self, unit: Unit) -> Step:
        """The visitor's step in a unit; the oldest of too many is forgotten."""
        if unit.id not in self.steps:
            while len(self.steps) >= MOST_STEPS:
                self.steps.pop(next(iter(self.steps)), None)
            self.steps[unit.id] = Step()
        return self.steps[unit.id]

    def is_done(self, unit: Unit) -> bool:
        return unit.id in self.steps and self.steps[unit.id].right

    def mark(self, unit: Unit) -> str:
        """A sign that says how far a unit is: done, begun, or neither."""
        if self.is_done(unit):
            return "✓"
        return "…" if unit.id in self.steps else "○"

    def take_up(self, unit: Unit) -> None:
        """The visitor works on this unit now: its task is in sight on other pages."""
        if self.active != unit.id:
            self.small = False
        self.active = unit.id
        self.step(unit)


def progress() -> Progress:
    return own(NAME, Progress)


def request_key(request: Request) -> tuple:
    """What a verdict was about: it says nothing about another request."""
    return (request.model_name, request.prompt, request.target, request.edit_ids)
