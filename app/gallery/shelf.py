"""All findings that can be shown, in their order; and which one a session looks at."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from app.gallery.fields import FindingError
from app.gallery.finding import GALLERY, Finding, read_finding
from app.gallery.stored import Stored, read_stored

log = logging.getLogger(__name__)
Shelf = dict[str, tuple[Finding, Stored]]


def read_shelf(folder: Path) -> tuple[Shelf, list[str]]:
    """The findings of a folder by their names, and a sentence for each file that is left out."""
    found: Shelf = {}
    problems = []
    for path in sorted(folder.glob("*.toml")):
        try:
            finding = read_finding(path)
            if finding.name in found:
                raise FindingError(f"{path.name}: there is another finding of this name.")
            found[finding.name] = finding, read_stored(finding, path.with_suffix(".json"))
        except FindingError as error:
            problems.append(str(error))
    return found, problems


@cache
def shelf() -> Shelf:
    """The gallery that ships, read once for all visitors; what cannot be shown is in the log."""
    found, problems = read_shelf(GALLERY)
    for problem in problems:
        log.error("A finding is left out. %s", problem)
    return found


def after(name: str) -> str:
    """The next finding's name, round and round."""
    names = list(shelf())
    return names[(names.index(name) + 1) % len(names)]
