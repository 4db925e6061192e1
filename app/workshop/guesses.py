"""Wrong codes on this server: from some number a minute on, each further look-up is made to wait.

A code has 59 bits, and nobody finds one by trying; the pause keeps trying from costing the room
its time. It is short, and the same for all, so that an honest visitor waits a moment at most.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

MOST = 30  # wrong codes a minute without a pause
MINUTE = 60.0
PAUSE = 2.0  # seconds


class Guesses:
    """The last wrong codes; `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.times: deque[float] = deque(maxlen=MOST)

    def note(self) -> None:
        """A code was wrong."""
        self.times.append(self.clock())

    @property
    def pause(self) -> float:
        """Seconds to wait before the next code is looked up."""
        times = list(self.times)
        busy = len(times) == MOST and self.clock() - times[0] < MINUTE
        return PAUSE if busy else 0.0
