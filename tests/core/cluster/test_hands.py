"""Who has what in hand: each item once, whoever dies."""

import pytest

from core import ModelError
from core.cluster.hands import Hands
from core.cluster.pool import OneProcess


def test_a_worker_has_one_item_to_do_and_one_in_reserve():
    hands = Hands("abc")
    assert [hands.take("one") for _ in range(3)] == [0, 1, None]
    assert [hands.take("other"), hands.take("other")] == [2, None]
    hands.finished("one", 0)
    assert hands.take("one") is None  # none waits
    for worker, index in (("one", 1), ("other", 2)):
        hands.finished(worker, index)
    assert hands.left == 0


def test_what_a_lost_worker_had_in_hand_comes_next_and_in_its_order():
    hands = Hands("abcde")
    assert [hands.take("one"), hands.take("one"), hands.take("other")] == [0, 1, 2]
    hands.lost("one")
    assert hands.left == 5
    assert [hands.take("new"), hands.take("new"), hands.take("other")] == [0, 1, 3]


def test_an_item_that_costs_three_workers_is_named():
    hands = Hands(["easy", "heavy", "behind it"])
    hands.take("well")
    for worker in ("one", "other"):
        assert [hands.take(worker), hands.take(worker)] == [1, 2]
        hands.lost(worker)
    hands.take("third")
    with pytest.raises(ModelError, match="3 workers died .* number 1: 'heavy'.*smaller precision"):
        hands.lost("third")


def test_items_that_only_waited_are_not_to_blame():
    hands = Hands(range(10))
    for worker in range(3):  # each finishes its item and dies over the next
        first, second = hands.take(worker), hands.take(worker)
        hands.finished(worker, first)
        hands.lost(worker)
        assert hands.deaths == dict.fromkeys(range(1, second + 1), 1)


def test_a_worker_without_work_is_lost_without_a_trace():
    hands = Hands("a")
    hands.lost("one")
    assert (list(hands.waiting), hands.left, hands.deaths) == ([0], 1, {})


def test_one_process_does_one_item_after_the_other():
    seen = []

    def work(model: str, item: int) -> str:
        seen.append(item)
        return model * item

    results = OneProcess("x").map(work, [1, 3])
    assert next(results) == (0, "x")
    assert seen == [1]  # none before it is asked for
    assert list(results) == [(1, "xxx")]
