"""A lock that serves people fairly, and knows who is before whom and for how long.

Twenty people share one model. Whoever had least of it comes next, so that nobody's long work, in
however many threads, holds another person up for more than the step in hand.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

LOOK = 0.5  # seconds between two calls of `while_waiting`
LONG = 0.2  # seconds after which a turn is long
NEWEST = 0.2  # the weight of the last turn in what a turn usually takes
REMEMBERED = 64  # people whose share is kept while they are level with newcomers

# For whom a thread works: several threads of one person count as one. Threads that set nothing
# stand for themselves.
person: ContextVar[object] = ContextVar("person", default=None)
# Called by a thread that has to wait, at once and then every LOOK seconds, with how many other
# people are before it and for about how many seconds; with zeros when its turn has come. What it
# raises ends the waiting.
while_waiting: ContextVar[Callable[[int, float], None] | None] = ContextVar(
    "while_waiting", default=None
)


@dataclass(eq=False)
class Turn:
    """A thread that has the lock, or waits for it."""

    thread: int
    person: object
    level: float  # the lock's when the thread came
    begins: threading.Event = field(default_factory=threading.Event)


class FairLock:
    """One thread at a time; use it as a context manager. Not reentrant.

    Next is the waiting thread of whoever held the lock for the fewest seconds, of equals the one
    that came first. A newcomer counts as one who has had his equal part of all seconds so far: he
    passes those who had more, and they are not passed by newcomers for ever.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._queue: list[Turn] = []
        self._holder: Turn | None = None
        self._begun = 0.0  # when the holder's turn began
        self._level = 0.0  # the seconds that everybody had who had his equal part
        self._seconds: dict[object, float] = {}  # by person, on the scale of `_level`
        self._usual = 0.0  # what a turn takes

    @property
    def waiting(self) -> int:
        """How many threads wait for their turn."""
        return len(self._queue)

    @property
    def held(self) -> bool:
        """Whether a thread has it."""
        return self._holder is not None

    @property
    def due(self) -> bool:
        """For whoever has it: whether others wait and the turn has lasted long. Work that can be
        divided ends its turn then, and asks for another."""
        return bool(self._queue) and self._clock() - self._begun > LONG

    def people_before(self, thread: int | None) -> int:
        """How many other people have a turn before the thread that waits, the present one included.

        0 for a thread (its `ident`) that does not wait.
        """
        return self.before(thread)[0]

    def before(self, thread: int | None) -> tuple[int, float]:
        """`people_before`, and about how many seconds their next turns take."""
        with self._guard:
            turn = next((t for t in self._queue if t.thread == thread), None)
            if turn is None or self._holder is None:
                return 0, 0.0
            order = sorted(self._queue, key=self._standing)  # of equals the first that came
            people = {t.person for t in order[: order.index(turn)]} - {turn.person}
            rest = max(0.0, self._usual - (self._clock() - self._begun))
            seconds = rest + self._usual * len(people)
            return len(people | {self._holder.person} - {turn.person}), seconds

    def _standing(self, turn: Turn) -> float:
        """The seconds that a person had, at least the lock's level when the thread came."""
        return max(turn.level, self._seconds.get(turn.person, 0.0))

    def __enter__(self) -> FairLock:
        thread = threading.get_ident()
        with self._guard:
            turn = Turn(thread, person.get() or thread, self._level)
            if self._holder is None:
                self._begin(turn)
                return self
            self._queue.append(turn)
        try:
            self._wait(turn)
        except BaseException:  # an interrupt: give the place in the queue, or the lock, back
            with self._guard:
                if turn in self._queue:
                    self._queue.remove(turn)
                    raise
            self.__exit__()
            raise
        return self

    def _wait(self, turn: Turn) -> None:
        told = while_waiting.get()
        if told is None:
            turn.begins.wait()
            return
        told(*self.before(turn.thread))
        while not turn.begins.wait(LOOK):
            told(*self.before(turn.thread))
        told(0, 0.0)

    def _begin(self, turn: Turn) -> None:
        self._holder, self._begun = turn, self._clock()
        turn.begins.set()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            ended, held = self._holder, self._clock() - self._begun
            self._seconds[ended.person] = self._standing(ended) + held
            self._level += held / len({ended.person, *(t.person for t in self._queue)})
            self._usual += NEWEST * (held - self._usual) if self._usual else held
            self._holder = None
            if len(self._seconds) > REMEMBERED:
                here = {t.person for t in self._queue}
                self._seconds = {
                    p: s for p, s in self._seconds.items() if s > self._level or p in here
                }
            if self._queue:  # the lock passes on without ever being free
                turn = min(self._queue, key=self._standing)
                self._queue.remove(turn)
                self._begin(turn)
