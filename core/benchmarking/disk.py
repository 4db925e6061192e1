"""Files that are whole after a kill or a power cut, in a folder with one writer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import PromptError

LOCK = "writing.lock"
NEW = ".new"  # at the end of the name of a file that is not in its place yet


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """The folder's lock, which ends with its process. The file stays: to delete it would let two
    processes hold two files of one name."""
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        with written(folder):
            lock.acquire()
    except (Timeout, NotImplementedError) as error:
        raise PromptError(
            f"Another one writes to the benchmark in {folder.name!r}. Wait until it is done, end "
            "it, or choose another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def written(folder: Path) -> Iterator[None]:
    """A PromptError for whatever the disk refuses."""
    try:
        yield
    except Timeout:
        raise
    except OSError as error:
        raise PromptError(
            f"The benchmark cannot be written to {folder.name!r}: {error.strerror or error}. Make "
            "room there or choose another folder; it goes on where it stopped."
        ) from error


def put(path: Path, content: bytes) -> None:
    """A file in its place, whole, whenever the machine stops."""
    fresh = path.with_name(path.name + NEW)
    try:
        fresh.write_bytes(content)
        flush(fresh)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    os.replace(fresh, path)
    flush_folder(path.parent)


def flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """So that names last too; Windows opens no folder, and needs none."""
    with contextlib.suppress(OSError):
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
