"""python -m app.workshop: make a workshop's links, list the workshops, end one."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn
from urllib.parse import urlsplit

import core
from app.notebook.csv import as_csv
from app.settings import (
    CODES,
    JOBS,
    PROMPT_CHARACTERS,
    PROMPT_TOKENS,
    STUDY_RECORDS,
    TARGET_CHARACTERS,
    whole_number,
)
from app.shell.navigation import PAGES, WORKSHOP_PAGE
from app.shell.state import prompt_problem, target_problem
from app.workshop import store
from app.workshop.answers import Answers, as_table, file_of
from app.workshop.plan import ENDED, EXPIRED, OPEN, Workshop, plan
from app.workshop.times import hours_and_minutes, seconds_of, told
from core.model.catalog import existing_file, existing_folder, looks_like_folder

PROGRAM = "python -m app.workshop"
START = "start"  # how Start, whose path is empty, is called here
ADDRESS = "http://localhost:8501"
TITLE_LETTERS = 80
LIGHT = 2 * 10**9  # bytes of a model that is opened to try the prompt on it
LIMITS = {"prompt_tokens": PROMPT_TOKENS, "study_records": STUDY_RECORDS, "jobs": JOBS}


class Arguments(argparse.ArgumentParser):
    """Says what is wrong in a sentence, without the whole usage above it."""

    def error(self, message: str) -> NoReturn:
        sentence = message[:1].upper() + message[1:].rstrip(".")
        raise SystemExit(f"{sentence}. {PROGRAM} --help shows what can be written.")


def parser() -> Arguments:
    whole = Arguments(prog=PROGRAM, description="Workshops: a link with a code for a room.")
    commands = whole.add_subparsers(dest="command", required=True, metavar="command")
    new = commands.add_parser("new", help="make one, and show its two links once")
    new.add_argument("--title", default="", help="what it is called")
    new.add_argument("--expires", default="8h", help="when the links end: 30m, 8h, 2d (8h)")
    new.add_argument("--model", default="", help="the only model; without it visitors choose")
    new.add_argument("--pages", default="", help="as in start,backward_lens,edit; without: all")
    new.add_argument("--prompt", default="", help="the prompt that it begins with")
    new.add_argument("--target", default="", help="and the target")
    new.add_argument("--prompt-tokens", default="", help="the longest prompt")
    new.add_argument("--study-records", default="", help="the most prompts of a study")
    new.add_argument("--jobs", default="", help="pieces of long work a visitor has at once")
    new.add_argument("--address", default=ADDRESS, help=f"of the server ({ADDRESS})")
    commands.add_parser("list", help="all workshops, and whether their links work")
    end = commands.add_parser("end", help="end one, for good")
    end.add_argument("id", help="as list shows it")
    answers = commands.add_parser("answers", help="what was answered in its lessons, as a CSV")
    answers.add_argument("id", help="as list shows it")
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; a wrong argument ends it with a sentence (SystemExit)."""
    given = parser().parse_args(argv)
    try:
        if given.command == "new":
            print(made(given))
        elif given.command == "list":
            print(listed(store.every(), time.time()))
        elif given.command == "answers":
            print(answered(given.id), end="")
        else:
            print(ended(given.id, time.time()))
    except (ValueError, core.BackwardLensError) as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        raise SystemExit(f"{store.folder()} cannot be written: {error.strerror}.") from None
    return 0


def made(given: argparse.Namespace) -> str:
    """Make a workshop; what is shown of it, once."""
    address = checked_address(given.address)
    limits = {name: checked_limit(name, getattr(given, name)) for name in LIMITS}
    pins = {
        "model": checked_model(given.model.strip()),
        "pages": checked_pages(given.pages),
        "prompt": checked_text(given.prompt, "--prompt", PROMPT_CHARACTERS),
        "target": checked_text(given.target, "--target", TARGET_CHARACTERS),
    }
    if bool(pins["prompt"]) != bool(pins["target"]):
        raise ValueError("--prompt and --target go together: give both, or neither.")
    title = checked_text(given.title, "--title", TITLE_LETTERS)
    workshop, code, lead = plan(
        time.time(), seconds_of(given.expires), title.strip(), **pins, **limits
    )
    tried = try_prompt(workshop)
    store.save(workshop)
    return "\n".join([*links(workshop, code, lead, address), *notes(workshop), *tried])


def links(workshop: Workshop, code: str, lead: str, address: str) -> list[str]:
    until = datetime.fromtimestamp(workshop.expires).astimezone().strftime("%d %B %Y, %H:%M %Z")
    lasts = told(round(workshop.expires - workshop.made))
    return [
        f"{workshop.title} ({workshop.id}) is open for {lasts}, until {until}.",
        "",
        f"For the participants (the code alone is {code}):",
        f"  {address}/?workshop={code}",
        "For the facilitator, and nobody else:",
        f"  {address}/{WORKSHOP_PAGE.path}?lead={lead}",
        "",
        "Keep these lines: the codes are stored nowhere and cannot be shown again.",
    ]


def notes(workshop: Workshop) -> list[str]:
    """What the operator may not expect."""
    found = []
    if not CODES.value:
        found.append(
            f"Where the server runs without {CODES.name}=on, others come in without a code too."
        )
    for name, setting in LIMITS.items():
        wanted = getattr(workshop, name)
        if wanted is not None and wanted > setting.value:
            found.append(
                f"{option(name)} is {wanted:,}; the server's limit is {setting.value:,} "
                f"({setting.name}), and the smaller one counts."
            )
    if workshop.model and not core.is_on_this_machine(workshop.model):
        found.append(
            f"{workshop.model} is not on this machine yet: fetch it in the app before the "
            "participants come."
        )
    return found


def try_prompt(workshop: Workshop) -> list[str]:
    """Try the prompt and target on the model where that takes a moment only.

    Raises ValueError with what is wrong with them; a note where they were not tried.
    """
    name = workshop.model
    if not (name and workshop.prompt):
        return []
    card = next((card for card in core.CATALOG if card.name == name), None)
    if card is None or card.memory > LIGHT or not core.is_on_this_machine(name):
        return [f"The prompt was not tried on {name}. Open the link once before the others do."]
    model = core.load_model(name)
    most = min(workshop.prompt_tokens or PROMPT_TOKENS.value, PROMPT_TOKENS.value)
    wrong = prompt_problem(model, workshop.prompt, most) or target_problem(
        model, workshop.prompt, workshop.target
    )
    if wrong:
        raise ValueError(wrong)
    return []


def checked_address(text: str) -> str:
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"“{text}” is no address. Write it as https://lens.example.org.")
    return text.strip().rstrip("/")


def checked_model(name: str) -> str:
    """A model of the catalog, a folder or GGUF file here, or another that is on this machine."""
    if not name or any(card.name == name for card in core.CATALOG):
        return name
    if looks_like_folder(name):
        path = existing_folder(name) or existing_file(name)
        if path is None:
            raise ValueError(f"There is no folder or file “{name}” on this machine.")
        return str(path.resolve())
    if core.is_on_this_machine(name):
        return name
    known = ", ".join(card.name for card in core.CATALOG)
    raise ValueError(
        f"There is no model “{name}” on this machine. Choose a folder, or one of {known}."
    )


def checked_pages(text: str) -> tuple[str, ...]:
    """Paths in the menu's order; all where nothing is written."""
    names = {page.path or START: page.path for page in PAGES}
    wanted = [part.strip().lower() for part in text.split(",") if part.strip()]
    for name in wanted:
        if name not in names:
            raise ValueError(f"There is no page “{name}”. The pages are {', '.join(names)}.")
    return tuple(path for name, path in names.items() if name in wanted)


def checked_text(text: str, what: str, most: int) -> str:
    if len(text) > most:
        raise ValueError(f"{what} has {len(text):,} letters; at most {most:,} are possible.")
    if text and not text.isprintable():
        raise ValueError(f"{what} holds a line break or another control character.")
    if text and not text.strip():
        raise ValueError(f"{what} is only spaces.")
    return text


def option(name: str) -> str:
    return "--" + name.replace("_", "-")


def checked_limit(name: str, text: str) -> int | None:
    try:
        return whole_number(1, 10**6)(text.strip()) if text else None
    except ValueError as error:
        raise ValueError(f"{option(name)} is “{text}”: {error}") from None


def listed(workshops: Sequence[Workshop], now: float) -> str:
    """A line for each workshop, the newest first."""
    if not workshops:
        return f"There are no workshops in {store.folder()}."
    return "\n".join(line(workshop, now) for workshop in reversed(workshops))


def line(workshop: Workshop, now: float) -> str:
    state = {
        OPEN: f"open, {hours_and_minutes(workshop.expires - now)} left",
        EXPIRED: "over",
        ENDED: "ended",
    }[workshop.state(now)]
    pages = ", ".join(path or START for path in workshop.pages) or "all pages"
    model = workshop.model or "any model"
    return f"{workshop.id}  {state}  {workshop.title}: {model}; {pages}"


def answered(workshop_id: str) -> str:
    """The participants' answers as CSV, also when the workshop is over."""
    if store.read(workshop_id) is None:
        raise ValueError(unknown(workshop_id))
    table = as_table(Answers(file_of(workshop_id)).all())
    return as_csv(table).decode("utf-8-sig").replace("\r\n", "\n")


def unknown(workshop_id: str) -> str:
    return f"There is no workshop “{workshop_id}”. {PROGRAM} list shows them all."


def ended(workshop_id: str, now: float) -> str:
    workshop = store.end(workshop_id, now)
    if workshop is None:
        raise ValueError(unknown(workshop_id))
    return f"{workshop.title} ({workshop.id}) has ended. Nobody comes in by its links any more."


if __name__ == "__main__":
    sys.exit(main())
