"""Workshops on disk: one JSON file each, in a folder that only the operator reads."""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

from app.settings import WORKSHOPS
from app.workshop.plan import Workshop
from core.editing.second_moments import cache_folder

ID = re.compile(r"[a-z0-9]{1,20}")
log = logging.getLogger(__name__)


def folder() -> Path:
    return WORKSHOPS.value or cache_folder() / "workshops"


def save(workshop: Workshop) -> Path:
    """Write a workshop, whole or not at all; raises OSError where the folder cannot be written."""
    place = folder()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=place, suffix=".part")  # which makes it with mode 600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(workshop), file, ensure_ascii=False, indent=1)
        path = place / f"{workshop.id}.json"
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def read(workshop_id: str) -> Workshop | None:
    """None where there is none of this name, or its file is damaged."""
    if not ID.fullmatch(workshop_id):
        return None
    path = folder() / f"{workshop_id}.json"
    try:
        stat = path.stat()
        return parsed(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        log.warning("the workshop in %s cannot be read", path)
        return None


@lru_cache(maxsize=256)
def parsed(path: Path, *written: int) -> Workshop:
    """A file's workshop, read once for each time that it was written."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    return Workshop(**fields | {"pages": tuple(fields["pages"])})


def every() -> list[Workshop]:
    """All workshops that were made, the oldest first."""
    try:
        names = [path.stem for path in folder().glob("*.json")]
    except OSError:
        return []
    found = filter(None, map(read, names))
    return sorted(found, key=lambda workshop: (workshop.made, workshop.id))


def find(code: str) -> tuple[Workshop, bool] | None:
    """The workshop that a code opens, and whether it is the facilitator's code."""
    found = None
    for workshop in every():  # all of them, so that the time tells nothing
        if workshop.is_code(code):
            found = workshop, False
        if workshop.is_lead(code):
            found = workshop, True
    return found


def end(workshop_id: str, now: float) -> Workshop | None:
    """End a workshop, for good; None where there is none of this name."""
    workshop = read(workshop_id)
    if workshop is not None and workshop.ended is None:
        workshop = replace(workshop, ended=now)
        save(workshop)
    return workshop
