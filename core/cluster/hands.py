"""Who has which item in hand, and what becomes of it when a worker is lost."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Sequence

from core.errors import ModelError

IN_HAND = 2  # the item that a worker does and the next one, so that it never waits for us
MOST_DEATHS = 3  # of workers over the same item


class Hands:
    """The items of one round, by their index. A worker is whatever can be a key."""

    def __init__(self, items: Sequence[object]) -> None:
        self.items = items
        self.left = len(items)  # not finished yet
        self.waiting = deque(range(len(items)))
        self.in_hand: dict[Hashable, deque[int]] = defaultdict(deque)
        self.deaths: Counter[int] = Counter()

    def take(self, worker: Hashable) -> int | None:
        """The next item for a worker; None where it has enough, or nothing waits."""
        if not self.waiting or len(self.in_hand[worker]) >= IN_HAND:
            return None
        index = self.waiting.popleft()
        self.in_hand[worker].append(index)
        return index

    def finished(self, worker: Hashable, index: int) -> None:
        self.in_hand[worker].remove(index)
        self.left -= 1

    def lost(self, worker: Hashable) -> None:
        """The worker is dead; what it had in hand comes next.

        Raises ModelError where the item that it was at has cost too many workers.
        """
        held = self.in_hand.pop(worker, deque())
        self.waiting.extendleft(reversed(held))
        if not held:
            return
        self.deaths[held[0]] += 1
        if self.deaths[held[0]] >= MOST_DEATHS:
            raise ModelError(
                f"{MOST_DEATHS} workers died over the same piece of work, number {held[0]}: "
                f"{self.items[held[0]]!r:.200}. Often memory is short: use fewer workers a "
                "machine, or a smaller precision. What is done stays."
            )
