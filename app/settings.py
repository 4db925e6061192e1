"""Everything that an operator can set, each by a variable of the environment, in one table.

A value is read where it is used; `problems` says at start what is wrong with any of them. The two
folders that core/ keeps things in are named here too, so that this is the whole list.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

PREFIX = "BACKWARD_LENS_"
PROMPT_CHARACTERS = 4000
TARGET_CHARACTERS = 200
EDIT_BYTES = 5_000_000  # of an uploaded edit
ON, OFF = {"on", "1", "yes", "true"}, {"off", "0", "no", "false"}
UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass(frozen=True)
class Setting(Generic[T]):
    """One variable: its name, how its text is read, its default, and its line of the table.

    `read` raises ValueError with the rest of a sentence that begins with the name and the value.
    """

    name: str
    read: Callable[[str], T]
    default: T
    shown_default: str
    meaning: str
    check: Callable[[T], str] = lambda value: ""  # what is wrong with a value at start, if anything

    @property
    def value(self) -> T:
        """Raises ValueError with a whole sentence."""
        text = os.environ.get(self.name)
        if text is None:
            return self.default
        try:
            return self.read(text.strip())
        except ValueError as error:
            raise ValueError(f"{self.name} is “{text}”: {error}") from None


def on_or_off(text: str) -> bool:
    if text.lower() not in ON | OFF:
        raise ValueError("it must be on or off.")
    return text.lower() in ON


def whole_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"it must be a whole number from {least} to {most:,}.")
        return int(text)

    return read


def size(text: str) -> int:
    """Bytes of "500 MB" or "2 GB"."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([MGT]B)", text.upper())
    if not match or float(match[1]) * UNITS[match[2]] < 50 * UNITS["MB"]:
        raise ValueError("it must be a size of at least 50 MB, as in 500 MB or 2 GB.")
    return int(float(match[1]) * UNITS[match[2]])


def threads(text: str) -> int | None:
    if text.lower() == "auto":
        return None
    try:
        return whole_number(1, 1024)(text)
    except ValueError:
        raise ValueError("it must be auto or a whole number from 1 to 1,024.") from None


def folder(text: str) -> Path | None:
    """A folder, which may have to be made; nothing where the text is empty."""
    if not text:
        return None
    try:
        path = Path(text).expanduser()
        taken = path.exists() and not path.is_dir()
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a zero byte
        raise ValueError("it cannot be a folder's name.") from None
    if taken:
        raise ValueError("it is a file, and must be a folder.")
    return path


def folders(text: str) -> tuple[Path, ...]:
    """Several, with the system's own separator between them."""
    return tuple(path for part in text.split(os.pathsep) if (path := folder(part)) is not None)


def is_there(path: Path | None) -> str:
    return "" if path is None or path.is_dir() else f"there is no folder {path}."


def are_there(paths: tuple[Path, ...] | None) -> str:
    return next(filter(None, map(is_there, paths or ())), "")


def login_is_possible(on: bool) -> str:
    missing = on and find_spec("authlib") is None
    return "signing in needs the package Authlib; pip install Authlib." if missing else ""


DOWNLOADS = Setting(
    PREFIX + "DOWNLOADS", on_or_off, True, "on", "`off` keeps visitors from fetching models."
)
FOLDERS: Setting[tuple[Path, ...] | None] = Setting(
    PREFIX + "FOLDERS",
    folders,
    None,
    "any folder",
    f"The only folders from which visitors may open a model, `{os.pathsep}` between them; empty: "
    "none. Models of other programs are then not listed.",
    are_there,
)
RECORDS = Setting(
    PREFIX + "RECORDS",
    folder,
    None,
    "none",
    "A folder whose CounterFact files studies may use.",
    is_there,
)
EXPORTS = Setting(
    PREFIX + "EXPORTS", folder, None, "none", "Where visitors may save an edited model."
)
MODELS = Setting(
    PREFIX + "MODELS",
    folder,
    None,
    "`~/.cache/backward-lens/models`",
    "Where models are unpacked that do not come from the hub.",
)
CACHE = Setting(
    PREFIX + "CACHE",
    folder,
    None,
    "`~/.cache/backward-lens`",
    "Where it is kept what ROME and MEMIT compute once for a model, what calibrations found, and "
    "MEND's networks that were trained here.",
)
MEMORY = Setting(
    PREFIX + "MEMORY",
    size,
    2 * 10**9,
    "2 GB",
    "What all visitors' tables, traces, edits, jobs and answers may take together, models aside.",
)
LOADED_MODELS = Setting(
    PREFIX + "LOADED_MODELS",
    whole_number(1, 100),
    4,
    "4",
    "How many models are in memory at once; the one unused for longest goes first.",
)
THREADS = Setting(
    PREFIX + "THREADS",
    threads,
    None,
    "auto",
    "Threads of a model's computation. `auto`: one for a small model, so that visitors do not "
    "fight over the cores, and all cores for a large one.",
)
JOBS = Setting(
    PREFIX + "JOBS",
    whole_number(1, 100),
    2,
    "2",
    "How many pieces of long work (studies, edits, trainings) one visitor may have at once.",
)
PROMPT_TOKENS = Setting(
    PREFIX + "PROMPT_TOKENS",
    whole_number(1, 1024),
    128,  # longer tables cannot be read on a screen, and one user must not hold up all
    "128",
    "The longest prompt, in tokens.",
)
STUDY_RECORDS = Setting(
    PREFIX + "STUDY_RECORDS", whole_number(1, 10**6), 2000, "2000", "The most prompts of a study."
)
CODES = Setting(
    PREFIX + "CODES",
    on_or_off,
    False,
    "off",
    "`on` lets in only those who come by a workshop's link.",
)
LOGIN = Setting(
    PREFIX + "LOGIN",
    on_or_off,
    False,
    "off",
    "`on` lets in those who sign in (OpenID Connect), and those with a workshop's link.",
    login_is_possible,
)
WORKSHOPS = Setting(
    PREFIX + "WORKSHOPS",
    folder,
    None,
    "`workshops` in the cache",
    "Where workshops and their codes are kept.",
)
LESSONS = Setting(
    PREFIX + "LESSONS",
    folder,
    None,
    "those that ship",
    "A folder with lessons of your own, shown instead.",
    is_there,
)
ALL: tuple[Setting, ...] = (
    DOWNLOADS,
    FOLDERS,
    RECORDS,
    EXPORTS,
    MODELS,
    CACHE,
    MEMORY,
    LOADED_MODELS,
    THREADS,
    JOBS,
    PROMPT_TOKENS,
    STUDY_RECORDS,
    CODES,
    LOGIN,
    WORKSHOPS,
    LESSONS,
)


def problems() -> list[str]:
    """A sentence for each variable that is set wrongly, or that is no setting of ours."""
    found = []
    for setting in ALL:
        try:
            wrong = setting.check(setting.value)
        except ValueError as error:
            found.append(str(error))
        else:
            if wrong:
                found.append(f"{setting.name} is “{os.environ[setting.name]}”: {wrong}")
    known = [setting.name for setting in ALL]
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            close = get_close_matches(name, known, 1)
            hint = f"Is {close[0]} meant?" if close else "The README lists them all."
            found.append(f"{name} is no setting. {hint}")
    return found


def require_valid() -> None:
    """For the start of the app: ends it with a sentence for each wrong setting."""
    wrong = problems()
    if wrong:
        raise SystemExit("Backward Lens does not start.\n" + "\n".join(wrong))


def table() -> str:
    """The README's table of all settings, in Markdown."""
    rows = [f"| `{s.name}` | {s.shown_default} | {s.meaning} |" for s in ALL]
    return "\n".join(["| name | default | meaning |", "|---|---|---|", *rows])


def folder_allowed(folder: str) -> bool:
    """Whether a visitor may open this folder or file: only below FOLDERS where that is set, and
    with nothing in it that is a link to elsewhere."""
    roots = FOLDERS.value
    if roots is None:
        return True
    try:
        allowed = [root.resolve() for root in roots]
        wanted = Path(folder).expanduser().resolve()
        if not is_below(wanted, allowed):
            return False  # and is not listed
        inside = wanted.iterdir() if wanted.is_dir() else ()
        return all(is_below(file.resolve(), allowed) for file in inside if file.is_symlink())
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a zero byte, a circle
        return False


def is_below(path: Path, roots: Iterable[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


def record_files() -> list[Path]:
    """CounterFact files that the operator offers, from the folder in RECORDS."""
    try:
        files = [f for f in RECORDS.value.iterdir() if f.is_file()] if RECORDS.value else []
    except (OSError, ValueError):
        return []
    return sorted(f for f in files if f.suffix in {".json", ".jsonl"})
