"""Long work ends its turn where others wait for the model, and is the same work for it."""

import threading
import time
from contextlib import suppress

import pandas as pd
import pytest
import torch

from core import backward_lens, edit, rank_curve, trace
from core.errors import EditError
from core.gradients import rank
from core.model import locks, projection

PROMPT, TARGET = "Obama grew up in", "Paris"


class Crowd:
    """Threads that want the model all the time, and how often they had it."""

    def __init__(self, model) -> None:
        self.model, self.turns, self.over = model, 0, threading.Event()
        self.thread = threading.Thread(target=self.want)

    def want(self) -> None:
        while not self.over.is_set():
            with self.model.lock:
                self.turns += 1
            time.sleep(0.0005)

    def __enter__(self):
        self.thread.start()
        while not self.turns:
            time.sleep(0.001)
        self.turns = 0
        return self

    def __exit__(self, *_) -> None:
        self.over.set()
        self.thread.join(10)


@pytest.fixture
def always_long(monkeypatch):
    """Every turn counts as long as soon as somebody waits."""
    monkeypatch.setattr(locks, "LONG", -1.0)
    monkeypatch.setattr(projection, "LOGIT_BYTES", 1)  # two rows a chunk


def test_a_lens_lets_others_in_between_its_chunks(model, always_long, monkeypatch):
    run = trace(model, PROMPT, TARGET)
    alone = backward_lens(run)
    taken, unembed = [], projection.unembed

    def slowly(*arguments, **named):
        taken.append(model.lock._holder)
        while not model.lock.waiting:  # until one of the crowd is there
            time.sleep(0.0002)
        return unembed(*arguments, **named)

    monkeypatch.setattr(projection, "unembed", slowly)
    with Crowd(model) as crowd:
        among_others = backward_lens(run)
    pd.testing.assert_frame_equal(alone, among_others)
    assert len(set(map(id, taken))) == len(taken) > 5, "a turn a chunk"
    assert crowd.turns >= len(taken) - 1


def test_the_search_for_a_rate_lets_others_in_between_its_passes(model):
    held, enter = [], locks.FairLock._begin

    def counted(lock, turn):
        held.append(turn.thread)
        enter(lock, turn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks.FairLock, "_begin", counted)
        with suppress(EditError):  # a random network may not be made to say it
            edit(model, PROMPT, TARGET, method="sgd", lr="auto", elsewhere=False)
    assert len(held) >= 4, "the first grid alone has 19 rates, of which eight share a turn"


def test_prefixes_of_a_large_model_come_in_small_batches(model, monkeypatch):
    whole = rank_curve(model, PROMPT, TARGET)
    n = len(model.encode(PROMPT))
    assert len(rank.prefix_batches(model, n)) == 1
    monkeypatch.setattr(rank, "SMALL", 1)
    monkeypatch.setattr(rank, "LARGE_TOKENS", 1)
    batches = rank.prefix_batches(model, n)
    assert len(batches) > 1
    assert [k for first, last in batches for k in range(first, last + 1)] == list(range(1, n + 1))
    pd.testing.assert_frame_equal(whole, rank_curve(model, PROMPT, TARGET))


def test_an_error_in_a_chunk_frees_the_model(model, monkeypatch):
    run = trace(model, PROMPT, TARGET)
    monkeypatch.setattr(projection, "unembed", lambda *_, **__: torch.empty(-1))
    with pytest.raises(RuntimeError):
        backward_lens(run)
    assert not model.lock.held
