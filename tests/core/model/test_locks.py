"""The fair lock: one at a time, in the order of arrival."""

import threading
import time

from core.model.locks import FairLock


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
