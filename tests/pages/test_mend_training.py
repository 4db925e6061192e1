"""MEND on the Edit page: what it needs, how it is trained, and what may go wrong meanwhile."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.cells import mend_training
from app.shell.ledger import LEDGER
from app.shell.models import load
from app.shell.navigation import EDIT, MEND
from core.editing.mend_network import keep_mend_network, mend_network, shipped_file
from tests.conftest import random_model
from tests.pages.test_pages import after, job_of, open_page, texts

FACTS, STEPS = 6, 5  # a training of a moment
NONE, TRAINED = "MEND needs a small second network", "was trained here on "


@pytest.fixture(autouse=True)
def few_facts_and_no_network(monkeypatch, tmp_path):
    """As on a new server, for a model without a network that ships; a training takes a moment."""
    monkeypatch.setenv("BACKWARD_LENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("core.editing.mend_network.SHIPPED", tmp_path / "nothing")
    few = mend_training.practice_records()
    few = replace(few, records=few.records[:FACTS])
    monkeypatch.setattr(mend_training, "practice_records", lambda: few)
    monkeypatch.setattr(mend_training, "training_estimate", lambda model, facts: 250.0)
    monkeypatch.setattr(mend_training, "train_mend", quick_training)


train_mend = mend_training.train_mend


def quick_training(model, facts, *, on_step):
    return train_mend(model, facts, steps=STEPS, rank=4, on_step=on_step)


@contextmanager
def held_training(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A training stands still after its first step until the event is set, at last at the end."""
    go = threading.Event()

    def waiting(model, facts, *, on_step):
        def step(done, total):
            on_step(done, total)
            assert go.wait(60)

        return quick_training(model, facts, on_step=step)

    monkeypatch.setattr(mend_training, "train_mend", waiting)
    try:
        yield go
    finally:
        go.set()
        for job in mend_training.trainings().jobs.values():
            job.thread.join(60)


def mend_page(**inputs: str) -> AppTest:
    return open_page("edit", edit_method="MEND", **inputs)


def said(at: AppTest) -> str:
    """All texts and bars of a page, as they are read."""
    bars = [bar.proto.text for bar in at.get("progress")]
    return "\n".join([texts(at), *bars]).replace("\\", "")


def keys(at: AppTest) -> set[str]:
    return {button.key for button in at.button}


def start(at: AppTest) -> AppTest:
    return at.button(key="start_mend").click().run()


def test_without_a_network_the_form_says_what_is_needed_and_for_how_long():
    at = mend_page()
    assert not at.exception
    assert NONE in said(at)
    assert "A training takes **about 4 minutes** here" in said(at)
    assert "start_mend" in keys(at)
    assert "make_edit" not in keys(at)


@pytest.mark.parametrize("model", ["tiny-gpt2", "tiny-llama2"])
def test_a_trained_network_edits_at_once_and_for_everybody(model):
    at = after(start(mend_page(model=model)), MEND)
    assert not at.exception
    assert not at.error
    assert TRAINED in said(at)
    assert f"on {FACTS} facts (the built-in facts), in " in said(at)
    assert mend_network(load(model)).made["steps"] == STEPS
    at.button(key="make_edit").click().run()
    at = after(at, EDIT)
    assert not at.exception
    assert [entry.edit.method for entry in at.session_state[LEDGER]] == ["mend"]
    other = mend_page(model=model)
    assert TRAINED in said(other)
    assert "make_edit" in keys(other)


def test_a_cancelled_training_leaves_nothing(monkeypatch):
    with held_training(monkeypatch) as go:
        at = start(mend_page())
        assert "Training MEND for Tiny GPT-2" in said(at)
        assert "start_mend" not in keys(at)
        at.button(key="cancel_mend").click().run()
        go.set()
        at = after(at, MEND)
    assert "Cancelled. Nothing of this training is kept." in said(at)
    assert mend_network(load("tiny-gpt2")) is None
    assert "start_mend" in keys(at)
    at.selectbox(key="model_choice").set_value("tiny-llama2").run()
    assert "Cancelled." not in said(at)  # that was another model's


def test_other_methods_and_pages_go_on_meanwhile(monkeypatch):
    with held_training(monkeypatch) as go:
        at = start(mend_page())
        at.segmented_control(key="edit_method").set_value("forward-shift").run()
        assert "Training MEND" in said(at)
        at.button(key="make_edit").click().run()
        at = after(at, EDIT)
        assert len(at.session_state[LEDGER]) == 1
        at.switch_page("../pages/forward_lens.py").run()
        assert not at.exception
        assert "Training MEND" in said(at)
        go.set()
        after(at, MEND)
    assert mend_network(load("tiny-gpt2")) is not None


def test_the_model_is_changed_while_its_network_is_trained(monkeypatch):
    with held_training(monkeypatch) as go:
        at = start(mend_page())
        at.selectbox(key="model_choice").set_value("tiny-llama2").run()
        assert not at.exception
        assert "Training MEND for Tiny GPT-2 is running" in said(at)
        assert "start_mend" not in keys(at)
        go.set()
        at = after(at, MEND)
    assert "start_mend" in keys(at)
    assert mend_network(load("tiny-gpt2")) is not None
    assert mend_network(load("tiny-llama2")) is None


def test_the_models_folder_is_removed_while_its_network_is_trained(monkeypatch, tmp_path):
    folder, model = tmp_path / "model", random_model("gpt2")
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    with held_training(monkeypatch) as go:
        at = start(mend_page(model=str(folder)))
        shutil.rmtree(folder)
        go.set()
        at = after(at, MEND)
    assert not job_of(at, MEND).error
    assert mend_network(model) is not None


def test_a_second_visitor_waits_for_the_first_ones_training(monkeypatch):
    with held_training(monkeypatch) as go:
        at = start(mend_page())
        other = mend_page()
        assert not other.exception
        assert "Somebody else is having a network trained" in said(other)
        assert "Training MEND" in said(other)
        assert not {"start_mend", "cancel_mend"} & keys(other)
        assert "start_mend" in keys(mend_page(model="tiny-llama2"))
        go.set()
        at = after(at, MEND)
        other.run()
    assert TRAINED in said(other)


def test_who_pressed_at_the_same_moment_starts_no_second_training(monkeypatch):
    first, second = mend_page(), mend_page()
    with held_training(monkeypatch) as go:
        start(first)
        start(second)
        assert "Somebody else is having a network trained" in said(second)
        assert job_of(first, MEND).running
        go.set()
        after(first, MEND)


def test_a_training_again_replaces_the_network():
    model = load("tiny-gpt2")
    facts = mend_training.training_facts(model, mend_training.practice_records().records)
    network = quick_training(model, facts, on_step=lambda done, total: None)
    keep_mend_network(model, network)
    at = mend_page()
    assert "ships with the app" in said(at)  # as one does that says nothing else of itself
    assert {"make_edit"} <= keys(at)
    assert "start_mend" not in keys(at)
    at.session_state["mend_again"] = True
    at.run()
    assert "replaces this network, for everybody" in said(at)
    at = after(start(at), MEND)
    assert TRAINED in said(at)
    keep_mend_network(
        model, replace(network, made={"imported": "x_*y*_.pt", "published_order": True})
    )
    at.run()
    assert "imported from x_*y*_.pt, with learning rates as in the published code" in said(at)


def test_back_to_the_network_that_ships(monkeypatch, tmp_path):
    model = load("tiny-gpt2")
    at = after(start(mend_page()), MEND)
    own = mend_network(model)
    at.session_state["mend_again"] = True
    at.run()
    assert "forget_mend" not in keys(at)  # none ships for this model
    monkeypatch.setattr("core.editing.mend_network.SHIPPED", tmp_path / "shipped")
    replace(own, made={}).save(shipped_file(model))
    at.run()
    assert TRAINED in said(at)  # one's own comes first
    at.button(key="forget_mend").click().run()
    assert "ships with the app" in said(at)
    assert "forget_mend" not in keys(at)
    assert {"start_mend", "make_edit"} <= keys(at)


def test_a_disk_that_cannot_be_written_gets_a_sentence(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BACKWARD_LENS_CACHE", str(tmp_path / "file"))
    at = after(start(mend_page()), MEND)
    assert not at.exception
    assert "cannot be written" in at.error[0].value
    assert "start_mend" in keys(at)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"[]", "holds no CounterFact record"), (b'[{"case_id": 1}]', "holds no CounterFact record")],
)
def test_a_file_without_facts_gets_a_sentence(content, sentence):
    at = mend_page()
    file = ("facts.json", content, "application/json")
    at.file_uploader(key="mend_records").set_value(file).run()
    at = after(start(at), MEND)
    assert sentence in at.error[0].value


def test_facts_of_ones_own_are_practised_on(tmp_path):
    path = tmp_path / "mine.jsonl"
    core.save_counterfact(mend_training.practice_records().records[:3], path)
    at = mend_page()
    at.file_uploader(key="mend_records").set_value(
        ("mine.jsonl", path.read_bytes(), "application/json")
    ).run()
    at = after(start(at), MEND)
    assert not at.error
    assert "on 3 facts (mine" in said(at)


def test_whoever_has_work_enough_is_told(monkeypatch):
    monkeypatch.setenv("BACKWARD_LENS_JOBS", "1")
    go = threading.Event()

    def tuning(*_: object, on_step, **__: object):
        on_step(0, 1)
        assert go.wait(60)
        raise core.Cancelled

    monkeypatch.setattr("core.calibrate", tuning)
    at = mend_page()
    at.button(key="start_tuning").click().run()
    start(at)
    go.set()
    assert "You have 1 piece of work running: Tuning" in said(at)
    assert mend_network(load("tiny-gpt2")) is None


def test_a_model_that_cannot_be_trained_gets_a_sentence(monkeypatch):
    def refuse(*_: object) -> float:
        raise core.PromptError("None of the 6 records can be learned from. Choose other records.")

    monkeypatch.setattr(mend_training, "estimated", refuse)
    at = mend_page()
    assert "can be learned from" in at.error[0].value
    assert "start_mend" not in keys(at)


def test_the_network_s_file_is_damaged():
    at = after(start(mend_page()), MEND)
    (file,) = Path(core.editing.second_moments.cache_folder()).glob("mend-*.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    at.run()
    assert not at.exception
    assert NONE in said(at)
