"""A lesson's unit, as its file says it."""

from __future__ import annotations

from dataclasses import dataclass

ANSWER_IS, NUMBER, CHOICE, REQUEST, EDITED, BROKE = KINDS = (
    "answer_is",
    "number",
    "choice",
    "request",
    "edited",
    "broke",
)
TYPED = (ANSWER_IS, NUMBER, CHOICE, BROKE)  # the learner gives an answer; else it is what is done
PICTURES = ("forward", "backward", "norms", "target_rank", "rank_curve", "rank_by_layer", "answers")


@dataclass(frozen=True)
class Example:
    """A prompt that is known to work, on the models that it names; on all where it names none."""

    prompt: str
    target: str
    subject: str = ""
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A condition on one live number: it must lie between these, both included."""

    of: str  # a name of app.lessons.facts.NUMBERS
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class Option:
    """An answer to choose; right where all its conditions hold, for what is on the screen."""

    text: str
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True)
class Check:
    kind: str  # of KINDS
    question: str
    of: str = ""  # what an answer or a number is compared with
    tolerance: float = 0.0  # of a number
    wanted: tuple[Wanted, ...] = ()  # of a request
    options: tuple[Option, ...] = ()  # of a choice
    candidates: tuple[str, ...] = ()  # prompts that an edit may break
    right: str = ""  # said after a right answer
    not_yet: str = ""  # said after another one


@dataclass(frozen=True)
class ShowMe:
    """The last hint: what it says, and what it does where that is more than to name the answer."""

    say: str
    examples: tuple[Example, ...] = ()  # put into the fields; the unit's own where there are none
    page: str | None = None  # the path of a page that it opens
    highlight: str = ""  # the key of what is outlined there
    strength: str = ""  # of the forward shift on the page Edit: auto or fixed


@dataclass(frozen=True)
class Unit:
    id: str  # its file's name without the ending
    title: str
    idea: str
    task: str
    examples: tuple[Example, ...]
    hints: tuple[str, ...]
    show_me: ShowMe
    check: Check
    think: str
    picture: str = ""
    page: str | None = None  # the path of the page on which its task is done

    def examples_for(self, model: str) -> tuple[Example, ...]:
        return for_model(self.examples, model)

    def shown_example(self, model: str) -> Example | None:
        """What "show me" puts into the fields; None where the file knows nothing for a model."""
        return next(iter(for_model(self.show_me.examples or self.examples, model)), None)


def for_model(examples: tuple[Example, ...], model: str) -> tuple[Example, ...]:
    """Those that name the model; else those that name none."""
    named = tuple(e for e in examples if model in e.models)
    return named or tuple(e for e in examples if not e.models)


@dataclass(frozen=True)
class Lessons:
    """A folder's units in their order, the question that a class is asked before and after, and a
    sentence for each file that cannot be read."""

    units: tuple[Unit, ...]
    question: str
    problems: tuple[str, ...]

    def at(self, unit_id: str) -> Unit | None:
        return next((unit for unit in self.units if unit.id == unit_id), None)

    def number(self, unit: Unit) -> int:
        return self.units.index(unit) + 1

    def after(self, unit: Unit) -> Unit | None:
        return next(iter(self.units[self.number(unit) :]), None)
