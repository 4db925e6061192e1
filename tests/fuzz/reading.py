"""Reads damaged files: each gives a result or a sentence, and takes little memory."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

import core
from tests.fuzz.damage import READERS, damaged, good

ROOM = 50_000_000  # bytes that reading a file may take besides ten times its size
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Reading:
    kind: str
    seed: int
    number: int
    size: int  # bytes of the file
    answer: str = ""  # "read", or the sentence
    problem: str = ""
    memory: int = 0  # bytes at most, while it was read
    seconds: float = 0.0  # of the processor's time

    def __str__(self) -> str:
        return f"{self.kind} {self.seed}:{self.number} ({self.size:,} bytes)"


def read(kind: str, seed: int, number: int) -> Reading:
    ready(kind)
    data = damaged(kind, seed, number)
    reading = Reading(kind, seed, number, len(data))
    _, reader = READERS[kind]
    begun = time.process_time()
    with watched(reading):
        try:
            reader(data)
            reading.answer = "read"
        except core.BackwardLensError as error:
            reading.answer = str(error)
            if not reading.answer.rstrip("”'\")").endswith((".", "!", "?", "…")):
                reading.problem = f"no sentence: {reading.answer[:300]!r}"
        except BaseException as error:
            reading.problem = f"{type(error).__name__}: {str(error)[:300]}"
            if isinstance(error, KeyboardInterrupt):
                raise
    reading.seconds = time.process_time() - begun
    if reading.memory > 10 * len(data) + ROOM and not reading.problem:
        reading.problem = f"{reading.memory / 1e6:.0f} MB of memory"
    return reading


@cache
def ready(kind: str) -> None:
    """Read an undamaged file first: what is loaded once does not count."""
    READERS[kind][1](good(kind))
    gc.collect()
    gc.freeze()  # so that a collection before each file looks at little


@contextlib.contextmanager
def watched(reading: Reading) -> Iterator[None]:
    """By how much the process grows at most, where the system tells."""
    gc.collect()
    before = resident_peak(reset=True)
    try:
        yield
    finally:
        reading.memory = max(0, resident_peak(reset=False) - before)


def resident_peak(*, reset: bool) -> int:
    """The most that the process has had in memory since it was last reset; else what it has."""
    if sys.platform != "linux" or not os.access(RESET, os.W_OK):
        return psutil.Process().memory_info().rss
    if reset:
        RESET.write_text("5")
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
