"""The fair lock: one at a time, in the order of arrival."""

import threading
import time

from core.model.locks import FairLock, person


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
