"""Threads: few for a small model, all for a large one, and as they were afterwards."""

import pytest
import torch

from core import trace
from core.model import threads
from core.model.threads import SMALL, usual_threads


@pytest.fixture(autouse=True)
def two_cores():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_for_a_small_model_and_all_for_a_large_one(monkeypatch):
    monkeypatch.delenv("BACKWARD_LENS_THREADS", raising=False)
    assert usual_threads(SMALL - 1) == 1
    assert usual_threads(SMALL) == 2


@pytest.mark.parametrize(("chosen", "expected"), [("3", 3), ("auto", 1), ("", 1), ("0", 1)])
def test_the_operator_may_choose(monkeypatch, chosen, expected):
    monkeypatch.setenv("BACKWARD_LENS_THREADS", chosen)
    assert usual_threads(1000) == expected


def test_a_models_computation_runs_on_its_own_number(model, monkeypatch):
    seen = []
    monkeypatch.setattr(model, "threads", 1)
    forward = model.network.base_model.forward

    def watched(*arguments, **named):
        seen.append(torch.get_num_threads())
        return forward(*arguments, **named)

    monkeypatch.setattr(model.network.base_model, "forward", watched)
    trace(model, "Obama grew up in", "Paris")
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


def test_as_they_were_after_an_error():
    with pytest.raises(KeyError), threads.threads(1):
        raise KeyError
    assert torch.get_num_threads() == 2
