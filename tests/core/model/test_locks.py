"""The fair lock: one at a time, who had least of it first, equals in the order of arrival."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.locks import FairLock, person, while_waiting


def wait_for(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.001)


def test_first_come_first_served():
    lock, order, threads = FairLock(), [], []
    with lock:
        for i in range(8):
            threads.append(threading.Thread(target=lambda i=i: run(lock, order, i)))
            threads[-1].start()
            wait_for(lambda i=i: lock.waiting == i + 1)
    for thread in threads:
        thread.join(10)
    assert order == list(range(8))
    assert lock.waiting == 0


def run(lock: FairLock, order: list, i: int) -> None:
    with lock:
        order.append(i)


def test_never_two_at_once():
    lock, inside, worst = FairLock(), [0], [0]

    def work() -> None:
        for _ in range(200):
            with lock:
                inside[0] += 1
                worst[0] = max(worst[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert worst == [1]


def test_freed_after_an_error():
    lock = FairLock()
    try:
        with lock:
            raise KeyError
    except KeyError:
        pass
    with lock:
        assert lock.waiting == 0


def waiter(lock: FairLock, name: str | None = None) -> threading.Thread:
    """A thread that waits for the lock, on behalf of somebody."""

    def work() -> None:
        person.set(name)
        with lock:
            pass

    before = lock.waiting
    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: lock.waiting == before + 1)
    return thread


def test_who_waits_knows_how_many_people_are_before_it():
    lock = FairLock()
    with lock:
        first, second, third = (waiter(lock, name) for name in ("Ann", "Ann", "Bob"))
        assert lock.people_before(first.ident) == 1  # whoever holds it
        assert lock.people_before(second.ident) == 1  # one's own other thread is nobody else
        assert lock.people_before(third.ident) == 2
        assert lock.people_before(threading.get_ident()) == 0  # it has the lock
        assert lock.people_before(None) == 0
    for thread in (first, second, third):
        thread.join(10)
    assert lock.people_before(third.ident) == 0


def test_threads_of_nobody_in_particular_count_one_by_one():
    lock = FairLock()
    with lock:
        threads = [waiter(lock) for _ in range(3)]
        assert [lock.people_before(thread.ident) for thread in threads] == [1, 2, 3]
    for thread in threads:
        thread.join(10)


# Shares


class Clock:
    """Moves only when a turn takes its time."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def serve(lock: FairLock, clock: Clock, arrivals: list[tuple[str, float]]) -> list[str]:
    """Threads that come while the lock is held, each (for whom, seconds); who had a turn when."""
    order, threads = [], []

    def work(who: str, seconds: float) -> None:
        person.set(who)
        with lock:
            order.append(who)
            clock.now += seconds

    with lock:
        for arrival in arrivals:
            before = lock.waiting
            threads.append(threading.Thread(target=work, args=arrival))
            threads[-1].start()
            wait_for(lambda before=before: lock.waiting == before + 1)
    for thread in threads:
        thread.join(10)
    return order


def test_ten_pieces_of_work_of_one_person_let_another_in_after_the_first():
    clock = Clock()
    order = serve(FairLock(clock), clock, [*[("Ann", 1.0)] * 10, ("Bob", 1.0), ("Cid", 1.0)])
    assert order == ["Ann", "Bob", "Cid", *["Ann"] * 9]


def test_who_had_much_lets_those_pass_who_had_little():
    clock, lock = Clock(), None
    lock = FairLock(clock)
    assert serve(lock, clock, [("Ann", 9.0), ("Bob", 1.0)]) == ["Ann", "Bob"]
    order = serve(lock, clock, [("Ann", 1.0), *[("Bob", 1.0)] * 3])
    assert order == ["Bob", "Bob", "Bob", "Ann"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0.1, 5)), min_size=1, max_size=12))
def test_everybody_is_served_and_nobody_twice_while_an_equal_waits(arrivals):
    clock = Clock()
    order = serve(FairLock(clock), clock, arrivals)
    assert sorted(order) == sorted(who for who, _ in arrivals)
    first_turns = order[: len(set(order))]
    assert len(set(first_turns)) == len(first_turns), "each came once before anybody came twice"


def test_newcomers_do_not_pass_those_who_had_more_for_ever():
    clock, order, threads = Clock(), [], []
    lock = FairLock(clock)
    serve(lock, clock, [("Ann", 2.0)])

    def new(number: int) -> None:
        """Whose turn it is waits until the next newcomer has come: one is always there."""
        person.set(f"new {number}")
        with lock:
            order.append(number)
            clock.now += 1.0
            if number < 8:
                come(number + 1)

    def come(number: int) -> None:
        before = lock.waiting
        threads.append(threading.Thread(target=new, args=(number,)))
        threads[-1].start()
        wait_for(lambda: lock.waiting == before + 1)

    def ann() -> None:
        person.set("Ann")
        with lock:
            order.append("Ann")

    with lock:
        come(0)
        threads.append(threading.Thread(target=ann))
        threads[-1].start()
        wait_for(lambda: lock.waiting == 2)
    wait_for(lambda: len(order) == 10)
    for thread in threads:
        thread.join(10)
    assert 1 <= order.index("Ann") < 9


def test_how_long_the_wait_will_be_is_told_meanwhile():
    clock, told, done = Clock(), [], threading.Event()
    lock = FairLock(clock)
    serve(lock, clock, [("Ann", 4.0)])

    def work() -> None:
        while_waiting.set(lambda people, seconds: (told.append((people, seconds)), done.set()))
        with lock:
            pass

    with lock:
        others = [waiter(lock, name) for name in ("Bob", "Cid")]
        thread = threading.Thread(target=work)
        thread.start()
        assert done.wait(10)
    for each in (*others, thread):
        each.join(10)
    assert told[-1] == (0, 0.0)
    people, seconds = told[0]
    assert people == 3
    assert seconds == pytest.approx(3 * 4.0)  # what the last turn took


def test_what_is_raised_while_waiting_gives_the_place_back():
    lock, failed = FairLock(), []

    def leave(people: int, seconds: float) -> None:
        raise KeyError

    def work() -> None:
        while_waiting.set(leave)
        try:
            with lock:
                pass
        except KeyError:
            failed.append(True)

    with lock:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(10)
        assert failed == [True]
        assert lock.waiting == 0
    assert not lock.held
