"""A job: work that may take longer than a click, in a thread of its own.

It has progress and an honest estimate, can be cancelled, says in a sentence why it failed, knows
who is before it, and ends when the last visitor who watched it stays away.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import core
from app.words import count, duration, megabytes
from core.model.locks import FairLock, person

GRACE = 20.0  # seconds that a lost connection may take before a job is cancelled
RECENT = 20  # reports that the time estimate looks back on
APART = 0.1  # seconds between two of them: quicker ones count as one
BYTES = "byte"  # a unit that is told in megabytes

OnStep = Callable[[int, int], None]
log = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """`work(on_step)` and what has become of it. Written by its own thread, read by pages.

    `on_step(done, total)` counts what `unit` names, and raises Cancelled when the job is to end.
    What the work returns is the `result`, also where it returns something after Cancelled. Once a
    job is over, `deliver(result)` is what each session that watches it does with the result, in a
    run of its own; `clean_up` is called when the server forgets the job.
    """

    title: str
    work: Callable[[OnStep], object]
    about: Hashable = None  # for whom or what: pages compare it with what they show
    unit: str = "step"
    total: int = 0
    keep: bool = False  # goes on when its last visitor has left
    lock: FairLock | None = None  # of the model that it works on
    person: object = None  # for whom it works
    deliver: Callable[[object], None] = lambda result: None
    clean_up: Callable[[], None] = lambda: None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    done: int = 0
    error: str = ""
    result: object = None
    ended_early: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    left_at: float | None = None  # when the last session that watched it was lost
    visitors: set[int] = field(default_factory=set)
    thread: threading.Thread | None = None
    moments: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RECENT + 1))

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    @property
    def over(self) -> bool:
        """Whether it has run and has ended, in whatever way."""
        return self.thread is not None and not self.thread.is_alive()

    def start(self) -> None:
        self.thread = threading.Thread(target=self.run, daemon=True, name=self.title)
        self.thread.start()

    def run(self) -> None:
        person.set(self.person)
        try:
            self.result = self.work(self.report)
        except core.Cancelled:
            pass
        except core.BackwardLensError as error:
            self.error = str(error)
        except Exception:  # a thread has no page to fail on
            log.exception("%s failed", self.title)
            self.error = "This failed unexpectedly. Try it again, or with other settings."

    def report(self, done: int, total: int) -> None:
        """How far the work is; raises Cancelled when it is to end. For its own thread."""
        now = time.monotonic()
        if done < self.done:  # the next part of the work begins
            self.moments.clear()
        if not self.moments or done > self.moments[-1][1]:  # the rest only asks whether to go on
            if len(self.moments) > 1 and now - self.moments[-2][0] < APART:
                self.moments.pop()
            self.moments.append((now, done))
        self.done, self.total = done, total
        abandoned = self.left_at is not None and now - self.left_at > GRACE and not self.keep
        if self.cancelled.is_set() or abandoned:
            self.ended_early = True
            raise core.Cancelled

    @property
    def share(self) -> float:
        """What is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """From the pace of the last reports; None while there are too few to tell."""
        moments = list(self.moments)
        if len(moments) < 4:
            return None
        (first_time, first), (last_time, last) = moments[0], moments[-1]
        pace = (last_time - first_time) / max(1, last - first)
        return max(0.0, pace * (self.total - last) - (time.monotonic() - last_time))

    @property
    def people_before(self) -> int:
        """How many other people's turns on the model come before this job's next one."""
        if self.lock is None or self.thread is None:
            return 0
        return self.lock.people_before(self.thread.ident)

    @property
    def progress(self) -> str:
        """What is done, how long the rest will take, and who is before it."""
        if self.unit == BYTES:
            size = megabytes(self.total) if self.total else "an unknown size"
            done = f"{megabytes(self.done)} of {size}"
        else:
            done = f"{self.done} of {count(self.total, self.unit)}"
        if self.cancelled.is_set():
            return f"{done}; ending after the {self.unit} in hand"
        people = self.people_before
        return ", ".join([done, self.time_left] + ([before(people)] if people else []))

    @property
    def time_left(self) -> str:
        left = self.seconds_left
        if left is None:
            return "estimating the time …"
        return "almost done" if left < 1 else f"about {duration(left)} left"

    def come(self, visitor: int) -> None:
        """Somebody watches it; a session that was lost may come back."""
        self.visitors.add(visitor)
        self.left_at = None

    def leave(self, visitor: int) -> None:
        """Somebody is lost, by a closed tab or the net; after the last one the grace time runs."""
        self.visitors.discard(visitor)
        if not self.visitors:
            self.left_at = time.monotonic()

    def wanted(self) -> None:
        """Somebody who does not watch it waits for what it makes: the grace time begins anew."""
        if self.left_at is not None:
            self.left_at = time.monotonic()


def before(people: int) -> str:
    return "1 person is before you" if people == 1 else f"{people} people are before you"
