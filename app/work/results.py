"""What several visitors ask alike, computed once and kept as long as there is room for it.

Whoever asks for what is being computed waits for it; the result that nobody asked for longest goes
first.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Concatenate, ParamSpec, TypeVar

import pandas as pd
import streamlit as st

from app.settings import MEMORY
from app.work import memory
from app.work.turnstile import leave, still_here
from app.work.weight import weight

P, T = ParamSpec("P"), TypeVar("T")
Key = tuple[Hashable, ...]
OF_TRACES, MOST_TRACES = 1 / 4, 40  # of the memory for visitors; as many as a room needs
LOOK = 0.5  # seconds between two looks whether the visitor who waits is still there


class Store:
    """Values by their keys, of `most()` together at most, each as heavy as `weigh` says."""

    def __init__(
        self,
        most: Callable[[], int],
        weigh: Callable[[object], int] = weight,
        dropped: Callable[[Hashable], None] = lambda key: None,
    ) -> None:
        self._most, self._weigh, self._dropped = most, weigh, dropped
        self._kept: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()  # the newest use last
        self._computing: dict[Hashable, threading.Event] = {}
        self._guard = threading.Lock()
        self._weight = 0

    @property
    def weight(self) -> int:
        return self._weight

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The value of a key, computed if it is not kept; what `compute` raises is passed on."""
        while True:
            with self._guard:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    return self._kept[key][0]
                ended = self._computing.get(key)
                if ended is None:
                    ended = self._computing[key] = threading.Event()
                    break
            leave()
            while not ended.wait(LOOK):
                still_here()
        try:
            value = compute()
            self._keep(key, value)
            return value
        finally:
            with self._guard:
                del self._computing[key]
            ended.set()

    def _keep(self, key: Hashable, value: object) -> None:
        heavy, gone = self._weigh(value), []
        with self._guard:
            self._kept[key] = (value, heavy)
            self._weight += heavy
            while self._weight > self._most() and len(self._kept) > 1:  # the new one always stays
                old, (_, light) = self._kept.popitem(last=False)
                self._weight -= light
                gone.append(old)
        for old in gone:
            self._dropped(old)

    def forget(self, of: Callable[[Hashable], bool] = lambda key: True) -> None:
        """Drop what is kept under these keys."""
        with self._guard:
            for key in [key for key in self._kept if of(key)]:
                self._weight -= self._kept.pop(key)[1]


@st.cache_resource(show_spinner=False)
def results() -> Store:
    """The server's: with the traces it takes what the visitors' own things leave of the memory."""
    return Store(lambda: memory.left() - traces().weight)


@st.cache_resource(show_spinner=False)
def traces() -> Store:
    """Traces are large, and seldom asked for again when their visitor has gone on."""
    most = int(OF_TRACES * MEMORY.value)
    return Store(lambda: most, weigh=lambda trace: max(weight(trace), most // MOST_TRACES))


def shared(
    spinner: str, store: Callable[[], Store] = results
) -> Callable[[Callable[Concatenate[Key, object, P], T]], Callable[Concatenate[Key, object, P], T]]:
    """For a function (asked, given, ...): computed once for all who ask the same.

    `asked` and what follows are its key; `given` is not, and must follow from `asked`. Its result
    is shared: a table comes as a copy of its own, anything else must not be changed.
    """

    def decorate(function):
        @functools.wraps(function)
        def asking(asked: Key, given: object, *more: Hashable):
            def compute():
                with st.spinner(spinner, show_time=True):
                    return function(asked, given, *more)

            return own(store().get((function.__qualname__, asked, *more), compute))

        return asking

    return decorate


def own(value: T) -> T:
    """Tables that may be changed: a copy takes no memory until it is."""
    if isinstance(value, pd.DataFrame):
        return value.copy(deep=False)
    if isinstance(value, tuple):
        return tuple(map(own, value))
    return value
