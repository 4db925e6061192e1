"""The server's store: computed once, bounded in bytes, and nobody waits for ever."""

import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.work.results import Store, own
from app.work.weight import weight

WAIT = 10


def test_computed_once_and_then_kept():
    store, made = Store(lambda: 10**6), []
    for _ in range(3):
        assert store.get("key", lambda: made.append(1) or "value") == "value"
    assert made == [1]


def test_the_result_unused_for_longest_goes_first():
    store = Store(lambda: 3, weigh=lambda value: 1)
    for key in "abc":
        store.get(key, lambda key=key: key)
    store.get("a", lambda: pytest.fail("it is kept"))
    store.get("d", lambda: "d")
    store.get("a", lambda: pytest.fail("it was used last"))
    assert store.get("b", lambda: "anew") == "anew"


def test_one_that_is_larger_than_the_store_is_kept_alone():
    gone = []
    store = Store(lambda: 100, weigh=len, dropped=gone.append)
    store.get("small", lambda: "x" * 50)
    store.get("huge", lambda: "x" * 500)
    assert gone == ["small"]
    assert store.weight == 500
    assert store.get("huge", lambda: pytest.fail("it is kept"))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=40))
def test_the_bound_holds_whatever_is_asked(asked):
    store = Store(lambda: 100, weigh=lambda value: value)
    for key, size in asked:
        store.get((key, size), lambda size=size: size)
        assert store.weight <= 100
        assert store.weight == sum(heavy for _, heavy in store._kept.values())


def test_who_asks_for_what_is_being_computed_waits_for_it():
    store, begun, go_on, found = Store(lambda: 10**6), threading.Event(), threading.Event(), []

    def slowly():
        begun.set()
        assert go_on.wait(WAIT)
        return "value"

    threads = [threading.Thread(target=lambda: found.append(store.get("key", slowly)))]
    threads[0].start()
    assert begun.wait(WAIT)
    again = threading.Thread(target=lambda: found.append(store.get("key", lambda: "twice")))
    again.start()
    go_on.set()
    for thread in (*threads, again):
        thread.join(WAIT)
    assert found == ["value", "value"]


def test_an_error_is_passed_on_and_nothing_is_kept():
    store = Store(lambda: 10**6)
    with pytest.raises(KeyError):
        store.get("key", lambda: {}["missing"])
    assert store.get("key", lambda: "later") == "later"


def test_what_is_forgotten_is_computed_anew():
    store = Store(lambda: 10**6)
    for key in ("one", "two"):
        store.get(key, lambda: "old")
    store.forget(lambda key: key == "one")
    assert store.get("one", lambda: "new") == "new"
    assert store.get("two", lambda: "new") == "old"
    store.forget()
    assert store.weight == 0


def test_a_shared_table_may_be_changed_by_whoever_has_it():
    kept = pd.DataFrame({"rank": [1, 2]})
    mine = own(kept)
    mine["more"] = 3
    mine.loc[0, "rank"] = 9
    assert list(kept.columns) == ["rank"]
    assert kept["rank"].tolist() == [1, 2]
    assert own((kept, "text"))[0] is not kept


# Weights


def test_tensors_and_tables_weigh_what_they_hold():
    assert weight(np.zeros((10, 100), dtype="float32")) == pytest.approx(4000, abs=100)
    table = pd.DataFrame({"a": np.zeros(1000), "b": np.zeros(1000, dtype="int32")})
    assert weight(table) == pytest.approx(12000, abs=200)


def test_long_lists_weigh_as_their_beginning_does():
    words = [f"word {i:06d}" for i in range(10_000)]
    assert weight(words) == pytest.approx(sum(map(weight, words)) + weight([]), rel=0.2)
    column = pd.DataFrame({"tokens": [("one", "two")] * 10_000})
    assert weight(column) > 10_000 * (weight("one") + weight("two"))


def test_a_trace_weighs_its_tensors_and_not_its_model(model):
    from core import trace

    run = trace(model, "Obama grew up in", "Paris")
    tensors = [t for f in run.factors.values() for t in (f.x, f.delta)]
    expected = sum(t.nbytes for t in tensors) + run.logits.nbytes
    assert weight(run) == pytest.approx(expected, rel=0.1)
