"""Who is here, on the whole server; and for each workshop what its facilitator tells all."""

from __future__ import annotations

import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import streamlit as st

from app.workshop.visit import visit
from core.model.locks import FairLock

NAME = "visitor_name"  # the field's key in the session
NAME_LETTERS = 60
MESSAGE_LETTERS = 500
Jobs = Mapping[str, object]  # slot -> app.work.job.Job


@dataclass
class Board:
    """What a workshop's facilitator tells all. Times are seconds since 1970."""

    message: str = ""
    ends: float | None = None  # of the exercise's clock
    minutes: int = 0


@dataclass(eq=False)
class Person:
    """A session that is here, as the room knows it. Freed when the session ends."""

    room: Room
    workshop: str = ""  # its id; empty for those who came without
    lead: bool = False
    name: str = ""  # only where it was given
    jobs: Jobs = field(default_factory=dict)
    model: str = ""
    lock: weakref.ref[FairLock] | None = None  # of the model that it looks at
    came: float = field(default_factory=time.monotonic)

    def leave(self) -> None:
        """The session is lost, by a closed tab or the net; called on the server's own thread."""
        self.room.remove(self)


class Room:
    """All sessions of the server, and the boards of the workshops by their id."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._people: list[Person] = []
        self._left: list[tuple[str, str, object]] = []  # workshop, name, job that goes on
        self._boards: dict[str, Board] = {}

    def add(self, person: Person) -> None:
        with self._guard:
            if person not in self._people:
                self._people.append(person)

    def remove(self, person: Person) -> None:
        with self._guard:
            self._left = [entry for entry in self._left if entry[2].running]
            if person in self._people:
                self._people.remove(person)
                running = [job for job in list(person.jobs.values()) if job.running]
                self._left += [(person.workshop, person.name, job) for job in running]

    def people(self, workshop: str) -> list[Person]:
        """Who is in a workshop, its facilitators aside, in the order in which they came."""
        with self._guard:
            return [p for p in self._people if p.workshop == workshop and not p.lead]

    def others(self, workshop: str) -> int:
        """How many sessions are on the server for something else."""
        with self._guard:
            return sum(person.workshop != workshop for person in self._people)

    def running(self, workshop: str) -> list[tuple[str, object]]:
        """The jobs that run for a workshop's sessions, each with the name that was given.

        A job that two sessions watch is there once; one whose session has left is there too.
        """
        with self._guard:
            here = [p for p in self._people if p.workshop == workshop]
            pairs = [(p.name, job) for p in here for job in list(p.jobs.values())]
            pairs += [(name, job) for place, name, job in self._left if place == workshop]
        found: dict[int, tuple[str, object]] = {}
        for name, job in pairs:
            if job.running and not (id(job) in found and found[id(job)][0]):
                found[id(job)] = (name, job)
        return list(found.values())

    def queues(self) -> list[tuple[str, int]]:
        """How many wait for each model that somebody looks at, by its name; the longest first."""
        with self._guard:
            seen = {(p.model, lock) for p in self._people if p.lock and (lock := p.lock())}
        waiting: Counter[str] = Counter()
        for model, lock in seen:
            waiting[model] += lock.waiting
        return waiting.most_common()

    def board(self, workshop: str) -> Board:
        with self._guard:
            return self._boards.setdefault(workshop, Board())


@st.cache_resource(show_spinner=False)
def room() -> Room:
    return Room()


@st.cache_resource(scope="session", on_release=Person.leave, show_spinner=False)
def person() -> Person:
    """This session's place in the room."""
    return Person(room())


def be_here(jobs: Jobs | None = None) -> Person:
    """Say that this session is here; for the beginning of every run that was let in."""
    me, here = person(), visit()
    if here is not None:
        me.workshop, me.lead = here.workshop.id, here.lead
        me.name = (st.session_state.get(NAME) or "").strip()[:NAME_LETTERS]
    else:
        me.workshop, me.lead, me.name = "", False, ""
    if jobs is not None:
        me.jobs = jobs
    room().add(me)
    return me


def look_at(name: str, lock: FairLock | None) -> None:
    """Say which model this session looks at, and the lock in whose queue it waits for it."""
    me = person()
    me.model, me.lock = name, lock and weakref.ref(lock)


def start_clock(board: Board, minutes: int, now: Callable[[], float] = time.time) -> None:
    """Begin the time for an exercise."""
    board.minutes, board.ends = minutes, now() + 60 * minutes


def stop_clock(board: Board) -> None:
    board.minutes, board.ends = 0, None
