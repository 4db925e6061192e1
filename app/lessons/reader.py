"""Units read from a folder of TOML files, in the order of the files' names."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

from app.lessons.facts import NUMBERS, WORDS
from app.lessons.section import LessonError, Section
from app.lessons.unit import (
    ANSWER_IS,
    BROKE,
    CHOICE,
    KINDS,
    NUMBER,
    PICTURES,
    REQUEST,
    Check,
    Example,
    Lessons,
    Option,
    ShowMe,
    Unit,
    Wanted,
)
from app.settings import LESSONS
from app.shell.navigation import PAGES
from core.model.catalog import BUILTIN_FOLDER

SHIPPED = BUILTIN_FOLDER.parent / "lessons"
QUESTION = "question.toml"  # what a class is asked before the first and after the last unit
MOST_UNITS, MOST_BYTES, MOST_LETTERS = 40, 100_000, 80
PATHS = tuple(page.path for page in PAGES)
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
ELEMENT = re.compile(r"[a-z0-9_]{1,60}")


def lessons() -> Lessons:
    """Those of the operator's folder, else those that ship; read again when a file has changed."""
    folder = LESSONS.value or SHIPPED
    try:
        files = sorted(path for path in folder.glob("*.toml") if path.is_file())
        written = tuple((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in files)
    except OSError:
        return Lessons((), "", (f"The folder of lessons, {folder.name}, cannot be read.",))
    return read_folder(folder, written)


@lru_cache(maxsize=8)
def read_folder(folder: Path, written: tuple[tuple[str, int, int], ...]) -> Lessons:
    """The units of the files that are named; `written` says when, so that a change is seen."""
    units, problems, question = [], [], ""
    for name, _, size in written:
        try:
            if name == QUESTION:
                question = read_question(parsed(folder / name, size))
            elif len(units) >= MOST_UNITS:
                raise LessonError(f"{name}: a folder may have {MOST_UNITS} lessons; this is more.")
            else:
                units.append(read_unit(parsed(folder / name, size), Path(name).stem))
        except LessonError as error:
            problems.append(str(error))
    return Lessons(tuple(units), question, tuple(problems))


def parsed(path: Path, size: int) -> Section:
    """A file as TOML; raises LessonError."""
    if size > MOST_BYTES:
        raise LessonError(f"{path.name}: the file has {size:,} bytes; {MOST_BYTES:,} are allowed.")
    try:
        return Section(tomllib.loads(path.read_text(encoding="utf-8-sig")), path.name)
    except UnicodeDecodeError:
        raise LessonError(f"{path.name}: save the file as UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise LessonError(f"{path.name}: this is no TOML: {error}.") from None
    except (OSError, ValueError, RecursionError):  # numbers of thousands of digits, deep nesting
        raise LessonError(f"{path.name}: the file cannot be read.") from None


def read_question(file: Section) -> str:
    question = file.text("question", most=300)
    file.done()
    return question


def read_unit(file: Section, unit_id: str) -> Unit:
    """Raises LessonError."""
    if not ID.fullmatch(unit_id):
        raise LessonError(
            f"{file.where}: a lesson's file is named with letters without accents, digits, - and "
            "_, at most 60, as in 1-first.toml."
        )
    unit = Unit(
        id=unit_id,
        title=file.text("title", most=MOST_LETTERS),
        idea=file.text("idea"),
        task=file.text("task"),
        examples=examples(file),
        hints=file.texts("hints", most=5),
        show_me=show_me(file.section("show_me")),
        check=check(file.section("check")),
        think=file.text("think"),
        picture=file.one_of("picture", PICTURES, ""),
        page=file.one_of("page", PATHS, None),
    )
    file.done()
    return unit


def examples(file: Section, *, needed: bool = True) -> tuple[Example, ...]:
    found = []
    for part in file.sections("examples", needed=needed):
        example = Example(
            prompt=part.text("prompt", most=400),
            target=part.text("target", most=MOST_LETTERS),
            subject=part.text("subject", "", most=200),
            models=part.texts("models", ()),
        )
        part.done()
        if example.subject not in example.prompt:
            raise part.fail("subject", "this must be a part of the prompt.")
        found.append(example)
    return tuple(found)


def show_me(part: Section) -> ShowMe:
    shown = ShowMe(
        say=part.text("say"),
        examples=examples(part, needed=False),
        page=part.one_of("page", PATHS, None),
        highlight=part.text("highlight", "", most=60),
        strength=part.one_of("strength", ("auto", "fixed"), ""),
    )
    part.done()
    if shown.highlight and not ELEMENT.fullmatch(shown.highlight):
        raise part.fail("highlight", "this is a key of small letters, digits and _.")
    return shown


def check(part: Section) -> Check:
    kind = part.one_of("kind", KINDS)
    facts: dict[str, Collection[str]] = {ANSWER_IS: tuple(WORDS), NUMBER: tuple(NUMBERS)}
    found = Check(
        kind=kind,
        question=part.text("question"),
        of=part.one_of("of", facts[kind]) if kind in facts else "",
        tolerance=part.number("tolerance", 0.0) if kind == NUMBER else 0.0,
        wanted=wanted(part) if kind == REQUEST else (),
        options=options(part) if kind == CHOICE else (),
        candidates=part.texts("candidates", ()) if kind == BROKE else (),
        right=part.text("right", ""),
        not_yet=part.text("not_yet", ""),
    )
    part.done()
    if found.tolerance < 0:
        raise part.fail("tolerance", "this must be 0 or more.")
    if kind == NUMBER and not NUMBERS[found.of].whole and not found.tolerance:
        raise part.fail("tolerance", f"{found.of} is no whole number: say how near, as in 0.05.")
    return found


def options(part: Section) -> tuple[Option, ...]:
    found = []
    for option in part.sections("options", most=8):
        found.append(Option(option.text("text", most=200), wanted(option)))
        option.done()
    if len({option.text for option in found}) < max(2, len(found)):
        raise part.fail("options", "give two or more, each with another text.")
    return tuple(found)


def wanted(part: Section) -> tuple[Wanted, ...]:
    found = []
    for condition in part.sections("wanted"):
        one = Wanted(
            condition.one_of("of", tuple(NUMBERS)),
            condition.number("at_least", None),
            condition.number("at_most", None),
        )
        condition.done()
        if one.at_least is None and one.at_most is None:
            raise condition.fail("at_least", "give at_least or at_most, or both.")
        if None not in (one.at_least, one.at_most) and one.at_least > one.at_most:
            raise condition.fail("at_most", "this is less than at_least: nothing can fit.")
        found.append(one)
    return tuple(found)
