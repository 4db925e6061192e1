"""What the server's process asks of the system: little memory for nothing, and no idle waiting."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from contextlib import suppress

from streamlit import net_util

ARENAS = 2
M_ARENA_MAX = -8  # of glibc's mallopt


def begin() -> None:
    """For the start of the server, before there are threads and before torch is imported.

    A thread that waits for another one's part of a computation sleeps, and does not turn in
    circles: on cores that others want too, a large model is several times as fast for it.

    Streamlit does not ask a server elsewhere for this one's address: it would, and hold all pages
    up meanwhile, whenever another site's page tries to connect.

    All threads share two of glibc's heaps: each of the many short-lived ones would else get one
    of up to 16, and what a page frees there is not given back.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    net_util._external_ip = ""
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # another libc
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def freeze() -> None:
    """What is in memory now stays: a collection of unused objects need not look at it.

    Such a collection would take a third of a second more, and holds all pages up meanwhile.
    """
    gc.collect()
    gc.freeze()
