"""Seconds of the parts of a computation, on a graphics card or without one."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch


class Stopwatch:
    """Adds up the seconds of parts by name. A part within another one is not counted in the outer,
    so that all of them add up to the whole. Waits for the card where a part begins and ends."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self.within: list[float] = []  # of each open part, the seconds of the parts within it
        self.wrapped = ExitStack()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = self.now()
        self.within.append(0.0)
        try:
            yield
        finally:
            taken = self.now() - start
            own = taken - self.within.pop()
            self.seconds[name] = self.seconds.get(name, 0.0) + own
            if self.within:
                self.within[-1] += taken

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def taken(self) -> dict[str, float]:
        """The seconds since it was last asked."""
        taken, self.seconds = self.seconds, {}
        return taken

    def wrap(self, owner: object, attribute: str, name: str) -> None:
        """From now on, until `wrapped` is closed, each call of this function is a part; nothing
        where there is no such function."""
        function: Callable | None = getattr(owner, attribute, None)
        if function is None:
            return

        @functools.wraps(function)
        def timed(*arguments: object, **named: object) -> object:
            with self.part(name):
                return function(*arguments, **named)

        setattr(owner, attribute, timed)
        self.wrapped.callback(setattr, owner, attribute, function)
