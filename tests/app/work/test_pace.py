"""Looks never take a large part of the server's time, whatever a page and a collection cost."""

import gc
import time

import pytest

from app.work import pace
from app.work.pace import LONGEST, REST, Looks


def test_a_quick_look_is_repeated_as_often_as_wished():
    looks = Looks(run=0.01, collection=0.05)
    assert looks.pause(0.4) == 0.4
    assert looks.pause(1.0) == 1.0


@pytest.mark.parametrize(("run", "collection"), [(0.9, 0.0), (0.0, 0.9), (0.4, 0.5)])
def test_the_pause_is_several_times_what_a_look_takes(run, collection):
    assert Looks(run, collection).pause(0.4) == pytest.approx(REST * 0.9)


def test_nobody_waits_for_ever():
    assert Looks(run=1000.0).pause(0.4) == LONGEST


def test_a_page_and_a_collection_are_measured(monkeypatch):
    looks = Looks()
    with looks.measured():
        time.sleep(0.02)
    assert looks.run >= 0.02
    looks.note("start", {"generation": 1})
    looks.note("stop", {"generation": 1})
    assert looks.collection == 0.0  # a collection of young objects is nothing
    looks.note("start", {"generation": 2})
    time.sleep(0.02)
    looks.note("stop", {"generation": 2})
    assert looks.collection >= 0.02


def test_a_look_that_fails_is_measured_too():
    looks = Looks()
    with pytest.raises(KeyError), looks.measured():
        raise KeyError
    assert looks.run > 0


def test_pythons_collections_are_watched(monkeypatch):
    monkeypatch.setattr(pace.looks, "collection", 0.0)
    gc.collect()
    assert pace.looks.collection > 0
