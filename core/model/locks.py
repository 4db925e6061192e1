"""A lock that serves threads in the order in which they came, and knows who is before whom."""

from __future__ import annotations

import threading
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field

# For whom a thread works: several threads of one person count as one in `people_before`. Threads
# that set nothing stand for themselves.
person: ContextVar[object] = ContextVar("person", default=None)


@dataclass(eq=False)
class Turn:
    """A thread that has the lock, or waits for it."""

    thread: int
    person: object
    begins: threading.Event = field(default_factory=threading.Event)


class FairLock:
    """First come, first served; use it as a context manager. Not reentrant.

    `threading.Lock` may let the same busy thread in again and again; twenty people who share one
    model should each wait for their turn only.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queue: deque[Turn] = deque()
        self._holder: Turn | None = None

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return len(self._queue)

    @property
    def held(self) -> bool:
        """Whether a thread has it."""
        return self._holder is not None

    def people_before(self, thread: int | None) -> int:
        """How many other people have a turn before the thread that waits, the present one included.

        0 for a thread (its `ident`) that does not wait.
        """
        with self._guard:
            turns = [self._holder, *self._queue]
        for place, turn in enumerate(turns[1:], 1):
            if turn.thread == thread:
                return len({earlier.person for earlier in turns[:place]} - {turn.person})
        return 0

    def __enter__(self) -> FairLock:
        thread = threading.get_ident()
        turn = Turn(thread, person.get() or thread)
        with self._guard:
            if self._holder is None:
                self._holder = turn
                return self
            self._queue.append(turn)
        try:
            turn.begins.wait()
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
            # The lock passes on without ever being free.
            self._holder = self._queue.popleft() if self._queue else None
            if self._holder is not None:
                self._holder.begins.set()
