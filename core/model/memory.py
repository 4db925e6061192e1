"""How much memory is free for a model: the machine's, or what a container's limit leaves."""

from __future__ import annotations

from pathlib import Path

import psutil

CONTROL_GROUP = Path("/sys/fs/cgroup")  # where Linux shows a container its own limits
# Of the kernel's two ways to show them, the newer first: the files with the limit and with what is
# in use, and how the file memory.stat calls what of that only keeps files for quicker reading.
WAYS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory() -> int:
    """Bytes that may be taken at once without swapping, and without being ended for it."""
    free = psutil.virtual_memory().available
    return min([free, *(left for way in WAYS if (left := left_of_limit(*way)) is not None)])


def left_of_limit(limit: str, in_use: str, kept: str) -> int | None:
    """Bytes that the limit leaves, memory that only keeps files among them; None without one."""
    most, used = text_of(limit), text_of(in_use)
    if not (most.isdigit() and used.isdigit()):  # "max", or no such file
        return None
    lines = text_of(Path(limit).with_name("memory.stat")).splitlines()
    counts = dict(line.split() for line in lines)
    return max(0, int(most) - int(used) + int(counts.get(kept, 0)))


def text_of(name: str | Path) -> str:
    try:
        return (CONTROL_GROUP / name).read_text(encoding="ascii").strip()
    except OSError:  # not Linux, or it is shown in the other way
        return ""
