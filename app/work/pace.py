"""How often a page looks at its jobs: rarely enough that looking never holds up the work.

A look is a run of the server's: the page's own part, and now and then Python's collection of all
unused objects. Both hold Python's lock. Looks that come faster than they are done
leave a job no time at all, and it hangs: the pause follows from what a look was measured to take.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

REST = 3.0  # the pause is at least this many times a look
LONGEST = 15.0  # seconds
WHOLE = 2  # the generation that is all objects


@dataclass
class Looks:
    """What looks take on this server, in seconds."""

    run: float = 0.0  # the page's part of the last look
    collection: float = 0.0  # the last collection of all objects
    begun: float = 0.0

    def note(self, phase: str, info: dict[str, int]) -> None:
        """For gc.callbacks."""
        if info["generation"] != WHOLE:
            return
        if phase == "start":
            self.begun = time.perf_counter()
        else:
            self.collection = time.perf_counter() - self.begun

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around the page's part of a look."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.run = time.perf_counter() - begun

    def pause(self, shortest: float) -> float:
        """Seconds from one look to the next."""
        return min(LONGEST, max(shortest, REST * (self.run + self.collection)))


looks = Looks()
gc.callbacks.append(looks.note)
