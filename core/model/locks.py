"""A lock that serves threads in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque


class FairLock:
    """First come, first served; use it as a context manager. Not reentrant.

    `threading.Lock` may let the same busy thread in again and again; twenty people who share one
    model should each wait for their turn only.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queue: deque[threading.Event] = deque()
        self._held = False

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return len(self._queue)

    def __enter__(self) -> FairLock:
        with self._guard:
            if not self._held:
                self._held = True
                return self
            turn = threading.Event()
            self._queue.append(turn)
        try:
            turn.wait()
        except BaseException:  # an interrupt: give the place in the queue, or the lock, back
            with self._guard:
                if turn in self._queue:
                    self._queue.remove(turn)
                    raise
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._queue:
                self._queue.popleft().set()  # the lock passes on without ever being free
            else:
                self._held = False
