"""What the server's process asks of the system: little memory for nothing, and no idle waiting."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import sys
from contextlib import suppress

from streamlit import net_util

ARENAS = 2
M_ARENA_MAX = -8  # of glibc's mallopt
GIVE_BACK_EVERY = 20.0  # seconds


def begin() -> None:
    """For the start of the server, before there are threads and before torch is imported.

    A thread that waits for another one's part of a computation sleeps, and does not turn in
    circles: on cores that others want too, a large model is several times as fast for it.

    Streamlit does not ask a server elsewhere for this one's address: it would, and hold all pages
    up meanwhile, whenever another site's page tries to connect.

    All threads share two of glibc's heaps: each of the many short-lived ones would else get one
    of up to 16. What pages have freed in them goes back to the system now and then.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    net_util._external_ip = ""
    libc = glibc()
    if libc is not None:
        libc.mallopt(M_ARENA_MAX, ARENAS)


def glibc() -> ctypes.CDLL | None:
    """The C library, where it is the one that has these knobs."""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            if libc.mallopt and libc.malloc_trim:
                return libc
    return None


async def give_back() -> None:
    """Return freed memory to the system again and again; a task of the server's own loop."""
    libc = glibc()
    while libc is not None:
        await asyncio.sleep(GIVE_BACK_EVERY)
        await asyncio.to_thread(libc.malloc_trim, 0)


def freeze() -> None:
    """What is in memory now stays: a collection of unused objects need not look at it.

    Such a collection would take a third of a second more, and holds all pages up meanwhile.
    """
    gc.collect()
    gc.freeze()
