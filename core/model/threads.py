"""How many of the processor's cores one model's computation takes.

A small model is done before several threads have met: on a server they would only fight with other
people's pages over the cores. A large one is as fast as the cores that it gets.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL = 50_000_000  # parameters


def usual_threads(parameters: int) -> int:
    """BACKWARD_LENS_THREADS where that is a number; else one for a small model, and what torch
    takes by itself (all cores, or OMP_NUM_THREADS) for others."""
    chosen = os.environ.get("BACKWARD_LENS_THREADS", "").strip()
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    return 1 if parameters < SMALL else torch.get_num_threads()


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Torch's computations on this many threads, for as long as the block runs."""
    before = torch.get_num_threads()
    if before == number:
        yield
        return
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
