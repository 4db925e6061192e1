"""A folder to work in that is deleted at the end, at the latest by the next one who works there.

A process that is killed cannot delete what it has begun. Its lock, however, ends with it: folders
whose lock is free are nobody's any more.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

WRITING = "writing-"  # the beginning of the names of folders for a file that is being written
LOCK = ".lock"  # at the end of the lock's name, beside the folder


@contextmanager
def workplace(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent`, under a lock; what killed processes left there is cleared first."""
    clear_left(parent, prefix)
    folder = parent / f"{prefix}{uuid.uuid4().hex[:12]}"
    with held(folder):
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def clear_left(parent: Path, prefix: str, first: Callable[[Path], None] | None = None) -> None:
    """Delete the folders that nobody works in any more; `first` is shown each before."""
    names = {path.name.removesuffix(LOCK) for path in parent.glob(f"{prefix}*")}
    for folder in sorted(parent / name for name in names):
        with suppress(Timeout, OSError, NotImplementedError), held(folder):
            if first and folder.is_dir():
                first(folder)
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The lock of a folder. Raises Timeout where another has it."""
    path = folder.with_name(folder.name + LOCK)
    with FileLock(path, timeout=0):
        try:
            yield
        finally:
            with suppress(OSError):  # Windows deletes no open file; the next one clears it
                path.unlink(missing_ok=True)
