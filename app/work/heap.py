"""The process's own memory: as little of it as possible is held for nothing."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress

ARENAS = 2
M_ARENA_MAX = -8  # of glibc's mallopt


def few_arenas() -> None:
    """Let all threads share two of glibc's heaps; call it before there are threads.

    Each of a server's many short-lived threads would else get one of up to 16, and what a page
    frees there is not given back. Does nothing where there is no glibc.
    """
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def freeze() -> None:
    """What is in memory now stays: a collection of unused objects need not look at it.

    Such a collection would take a third of a second more, and holds all pages up meanwhile.
    """
    gc.collect()
    gc.freeze()
