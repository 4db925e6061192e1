"""What visitors keep is counted: each one's, all together, and no more when they leave."""

import threading

import pytest

from app.words import megabytes
from app.work.memory import Belongings, Everybody, MemoryFullError, everybody

MB = 10**6


@pytest.fixture(autouse=True)
def _memory(monkeypatch):
    monkeypatch.setenv("BACKWARD_LENS_MEMORY", "100 MB")  # 10 MB a visitor, 50 MB all


def test_one_visitors_bound_is_a_sentence_and_changes_nothing():
    everybody, ann = Everybody(), Belongings()
    everybody.claim(ann, "edits", 6 * MB)
    with pytest.raises(MemoryFullError, match="would take 11 MB; each visitor .* has 10 MB"):
        everybody.claim(ann, "studies", 5 * MB)
    assert ann.total == everybody.total == 6 * MB
    everybody.claim(ann, "studies", 4 * MB)


def test_what_is_replaced_counts_once():
    everybody, ann = Everybody(), Belongings()
    for size in (8, 9, 2, 10):
        everybody.claim(ann, "edits", size * MB)
    assert everybody.total == 10 * MB


def test_all_visitors_together():
    everybody = Everybody()
    people = [Belongings() for _ in range(6)]
    for one in people[:5]:
        everybody.claim(one, "edits", 10 * MB)
    with pytest.raises(MemoryFullError, match="all visitors .* there are 50 MB.*others have left"):
        everybody.claim(people[5], "edits", MB)
    everybody.discard(people[0])
    everybody.claim(people[5], "edits", MB)
    assert everybody.total == 41 * MB


def test_less_than_before_is_always_right(monkeypatch):
    everybody, ann = Everybody(), Belongings()
    everybody.claim(ann, "edits", 9 * MB)
    monkeypatch.setenv("BACKWARD_LENS_MEMORY", "50 MB")
    everybody.claim(ann, "edits", 8 * MB)
    assert ann.total == 8 * MB
    assert megabytes(everybody.total) == "8 MB"


def test_who_leaves_takes_everything_along_on_whatever_thread():
    ann = Belongings()
    before = everybody().total
    everybody().claim(ann, "edits", MB)
    thread = threading.Thread(target=ann.leave)
    thread.start()
    thread.join(10)
    assert everybody().total == before
