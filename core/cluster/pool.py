"""What a pool of workers does: one piece of work for each item, however many models there are."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

from core.model.language_model import LanguageModel

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pool(Protocol):
    """Workers with one model each."""

    def map(
        self, work: Callable[[LanguageModel, Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result], None, None]:
        """(index of the item, `work(model, item)`) as they are finished, in whatever order.

        Each item comes exactly once; who closes it gives the rest up. `work` is a function of a
        module's, which other processes find by its name, or a functools.partial of one: what that
        holds goes to each worker once. What it raises ends the iteration.
        """
        ...


class OneProcess:
    """The pool that every machine has: this process, one item after the other."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def map(
        self, work: Callable[[LanguageModel, Item], Result], items: Sequence[Item]
    ) -> Generator[tuple[int, Result], None, None]:
        for i, item in enumerate(items):
            yield i, work(self.model, item)
