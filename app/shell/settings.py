"""Limits of the app, and what the operator of a shared server can switch off."""

from __future__ import annotations

import os
from pathlib import Path

PROMPT_TOKENS = 128  # longer tables cannot be read on a screen, and one user must not hold up all
PROMPT_CHARACTERS = 4000
TARGET_CHARACTERS = 200
STUDY_RECORDS = 2000  # of one study
EDIT_BYTES = 5_000_000  # of an uploaded edit
OFF = {"off", "0", "no", "false"}


def downloads_allowed() -> bool:
    """BACKWARD_LENS_DOWNLOADS=off keeps visitors of a shared server from fetching models."""
    return os.environ.get("BACKWARD_LENS_DOWNLOADS", "on").strip().lower() not in OFF


def folder_allowed(folder: str) -> bool:
    """Whether a visitor may open this folder: with BACKWARD_LENS_FOLDERS set, only below those."""
    roots = os.environ.get("BACKWARD_LENS_FOLDERS")
    if roots is None:
        return True
    try:
        wanted = Path(folder).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a zero byte
        return False
    return any(
        wanted.is_relative_to(Path(root).expanduser().resolve())
        for root in roots.split(os.pathsep)
        if root
    )


def finding_allowed() -> bool:
    """Whether the app may list models of other programs: not where the operator named folders."""
    return os.environ.get("BACKWARD_LENS_FOLDERS") is None


def record_files() -> list[Path]:
    """CounterFact files that the operator offers, from the folder in BACKWARD_LENS_RECORDS."""
    folder = os.environ.get("BACKWARD_LENS_RECORDS")
    if not folder:
        return []
    try:
        files = [f for f in Path(folder).expanduser().iterdir() if f.is_file()]
    except OSError:
        return []
    return sorted(f for f in files if f.suffix in {".json", ".jsonl"})


def export_folder() -> Path | None:
    """Where visitors may save edited models: BACKWARD_LENS_EXPORTS, nowhere unless it is set."""
    folder = os.environ.get("BACKWARD_LENS_EXPORTS")
    return Path(folder).expanduser() if folder else None
