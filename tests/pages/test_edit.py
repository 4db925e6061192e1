"""The Edit page and the ledger: edit, look, take back, keep, share."""

import dataclasses
import threading
import time

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.shell.ledger import LEDGER, Entry
from app.shell.models import load
from app.shell.navigation import EDIT
from core.model.locks import person
from tests.conftest import random_model
from tests.pages.test_pages import (
    CHARTS,
    after,
    chart_data,
    charts,
    gated,
    job_of,
    open_page,
    texts,
)

PAGE = "edit"
PICTURES = 3  # answers, lenses, where it landed


def make(at: AppTest, method: str = "forward-shift") -> AppTest:
    at.segmented_control(key="edit_method").set_value(method).run()
    at.button(key="make_edit").click().run()
    return after(at, EDIT)


def edited_page(page: str = PAGE, **inputs: str) -> AppTest:
    """A page with one active edit in the session's ledger."""
    model = core.load_model("tiny-gpt2")
    entry = Entry(core.edit(model, "Obama grew up in", "Paris", method="forward-shift"), "mine")
    at = open_page(page, **inputs)
    at.session_state[LEDGER] = [entry]
    return at.run()


@pytest.mark.parametrize("model", ["tiny-gpt2", "tiny-llama2"])
@pytest.mark.parametrize("method", list(core.METHODS))
def test_every_method_makes_the_model_say_the_target(model, method):
    # MEND's strength is the one that it was trained for, which does not suit every prompt.
    own = {"mend": ("Obama grew up in", "Paris")}
    prompt, target = own.get(method, ("Jack Dorsey founded", "IBM"))
    at = make(open_page(PAGE, model=model, prompt=prompt, target=target), method)
    assert not at.exception
    assert not at.error
    assert f"with your edits the model says the target: `·{target}`" in texts(at)
    assert len(charts(at)) == PICTURES
    assert "Your edits: 1 of 1 on" in texts(at)
    assert len(at.session_state[LEDGER]) == 1


@pytest.mark.parametrize("place", ["last", "subject"])
def test_an_edit_that_had_to_leave_the_subject_says_so(place):
    at = edited_page()
    entry = at.session_state[LEDGER][0]
    used = {"token": place, "adapt": True}
    changed = dataclasses.replace(entry.edit, method="rome", hyperparameters=used)
    at.session_state[LEDGER] = [Entry(changed, "mine")]
    at.run()
    assert not at.exception
    assert ("at the prompt's last token, not at the subject" in texts(at)) == (place == "last")


@pytest.mark.parametrize("method", ["rome", "memit", "adam"])
def test_the_estimate_says_where_more_attempts_may_follow(method):
    at = open_page(PAGE)
    at.segmented_control(key="edit_method").set_value(method).run()
    line = next(c.value for c in at.caption if c.value.startswith("This edit"))
    assert "longer where the first attempt" in line
    at.toggle(key="edit_auto").set_value(False).run()
    line = next(c.value for c in at.caption if c.value.startswith("This edit"))
    assert ("longer where the first attempt" in line) == (method != "adam")  # one layer, one rate


def test_undo_and_switching_off_bring_the_original_back():
    at = make(open_page(PAGE))
    entry = at.session_state[LEDGER][0]
    at.checkbox(key=f"edit_on_{entry.id}").uncheck().run()
    assert "Your edits: 0 of 1 on" in texts(at)
    assert not charts(at)
    at.checkbox(key=f"edit_on_{entry.id}").check().run()
    assert len(charts(at)) == PICTURES
    at.button(key="undo_edit").click().run()
    assert at.session_state[LEDGER] == []
    assert "Your edits: none" in texts(at)
    assert not charts(at)


def test_edits_stack_and_the_same_one_is_not_added_twice():
    at = make(open_page(PAGE))
    at.text_input(key="prompt").set_value("Jack Dorsey founded").run()
    at.text_input(key="target").set_value("IBM").run()
    at = make(at)
    assert "Your edits: 2 of 2 on" in texts(at)
    assert "2 active" in str(charts(at)[0]) or len(at.session_state[LEDGER]) == 2
    at.text_input(key="prompt").set_value("Obama grew up in").run()
    assert "with your edits" in texts(at)


def test_rename_and_remove():
    at = make(open_page(PAGE))
    entry = at.session_state[LEDGER][0]
    at.text_input(key=f"edit_name_{entry.id}").set_value("my *first* edit").run()
    assert at.session_state[LEDGER][0].name == "my *first* edit"
    at.button(key=f"edit_remove_{entry.id}").click().run()
    assert at.session_state[LEDGER] == []


def test_a_downloaded_edit_is_read_again_and_others_are_refused():
    model = core.load_model("tiny-gpt2")
    data = core.edit_bytes(core.edit(model, "Obama grew up in", "Paris", method="forward-shift"))
    for content, problem in ((data, ""), (data[:100], "damaged"), (b"", "damaged")):
        at = open_page(PAGE)
        file = ("mine.safetensors", content, "application/octet-stream")
        at.file_uploader(key="edit_file").set_value(file).run()
        assert not at.exception
        assert len(at.session_state[LEDGER]) == (0 if problem else 1)
        if problem:
            assert problem in at.error[0].value
    other = open_page(PAGE, model="tiny-llama2")
    file = ("mine.safetensors", data, "application/octet-stream")
    other.file_uploader(key="edit_file").set_value(file).run()
    assert "with other weights" in other.error[0].value
    assert other.session_state[LEDGER] == []


@pytest.mark.parametrize("page", CHARTS)
def test_every_chart_of_the_edited_model_says_so(page):
    at = edited_page(page)
    assert not at.exception
    assert len(charts(at)) == CHARTS[page]
    for chart in charts(at):
        if page != "compare":  # whose charts say which side they are; the page names the edits
            assert chart["title"] == "The model with your edit"
    for block in at.code:
        compile(block.value, "shown", "exec")
        assert 'Edit.load("mine.safetensors", model)' in block.value


def test_pictures_change_with_the_edit_and_change_back():
    plain = open_page("forward_lens")
    edited = edited_page("forward_lens")
    assert "the model says `·Hawaii`" in texts(plain)
    assert "the model says `·Paris`" in texts(edited)
    edited.button(key="undo_edit").click().run()
    assert "the model says `·Hawaii`" in texts(edited)


def test_another_model_leaves_the_edit_out():
    at = edited_page()
    at.selectbox(key="model_choice").set_value("tiny-llama2").run()
    assert not at.exception
    assert "Your edits: 0 of 1 on" in texts(at)
    at.selectbox(key="model_choice").set_value("tiny-gpt2").run()
    assert "Your edits: 1 of 1 on" in texts(at)


def test_a_second_session_sees_nothing_of_it():
    edited_page()
    assert "Your edits: none" in texts(open_page(PAGE))


def test_settings_of_ones_own():
    at = open_page(PAGE)
    at.toggle(key="edit_auto").set_value(False).run()
    at.slider(key="edit_layer_forward-shift_7").set_value(4).run()
    at.number_input(key="edit_rate_forward-shift").set_value(2.0).run()
    at = make(at)
    made = at.session_state[LEDGER][0].edit
    assert made.layers == (4,)
    assert made.hyperparameters["eta"] == 2.0


def test_a_method_without_its_subject_and_one_that_fails_get_a_sentence(monkeypatch):
    at = open_page(PAGE, subject="nobody")
    at.segmented_control(key="edit_method").set_value("rome").run()
    assert any("needs the subject" in warning.value for warning in at.warning)
    assert not [b for b in at.button if b.key == "make_edit"]

    def fail(*_, **__):
        raise core.EditError("No eta makes 'Paris' the answer through layer 7. Choose another.")

    monkeypatch.setattr("core.edit", fail)
    at = make(open_page(PAGE))
    assert "No eta makes" in at.error[0].value
    assert at.session_state[LEDGER] == []


def test_a_long_edit_shows_progress_and_can_be_cancelled(monkeypatch):
    def slow(*_, on_step, **__):
        while True:  # until it is cancelled
            on_step(3, 400)
            time.sleep(0.01)

    monkeypatch.setattr("core.edit", slow)
    at = open_page(PAGE)
    at.button(key="make_edit").click().run()
    assert "Forward pass shift: 3 of 400 steps" in at.get("progress")[0].proto.text
    at.button(key="cancel_edit").click().run()
    at = after(at, EDIT)
    assert "Cancelled. Nothing has changed." in texts(at)
    assert at.session_state[LEDGER] == []


def test_an_edit_that_waits_for_the_model_says_who_is_before_it():
    at, free = open_page(PAGE), threading.Event()
    lock = load("tiny-gpt2").lock

    def others() -> None:
        person.set("somebody else")
        with lock:
            free.wait(60)

    thread = threading.Thread(target=others)
    thread.start()
    while not lock.held:
        time.sleep(0.01)
    at.button(key="make_edit").click().run()
    while not job_of(at, EDIT).people_before:
        time.sleep(0.01)
    at.run()
    assert "1 person is before you" in at.get("progress")[0].proto.text
    free.set()
    thread.join(60)
    at = after(at, EDIT)
    assert "Your edits: 1 of 1 on" in texts(at)


def test_side_effects_of_a_known_fact_and_prompts_of_ones_own():
    at = make(open_page(PAGE, prompt="Jack Dorsey founded", target="IBM"))
    rows = at.dataframe[0].value
    assert "Biz Stone founded" in set(rows["Prompt"])
    assert set(rows[""]) <= {"✓ good", "~ mixed", "✗ bad"}
    key = "around_paraphrases_Jack Dorsey founded_Jack Dorsey"
    at.text_area(key=key).set_value("Dorsey started\n\n  <b>bold</b>").run()
    prompts = set(at.dataframe[0].value["Prompt"])
    assert {"Dorsey started", "<b>bold</b>"} <= prompts
    at.text_area(key=key).set_value("word " * 700).run()
    assert not at.exception
    assert "tokens long" in at.error[0].value


def test_all_methods_side_by_side():
    at = open_page(PAGE, prompt="Jack Dorsey founded", target="IBM")
    at.button(key="compare_methods").click().run()
    at = after(at, EDIT)
    assert not at.exception
    table = at.dataframe[0].value
    assert list(table["Method"]) == [m.title for m in core.METHODS.values()]
    assert set(table["Says the target"]) == {"✓ yes"}
    assert len(charts(at)) == 1
    assert at.session_state[LEDGER] == []


def test_a_model_folder_only_where_the_operator_allows(monkeypatch, tmp_path):
    assert not [b for b in edited_page().button if b.key == "export_model"]
    monkeypatch.setenv("BACKWARD_LENS_EXPORTS", str(tmp_path))
    at = edited_page()
    at.button(key="export_model").click().run()
    assert not at.exception
    (folder,) = tmp_path.iterdir()
    merged = core.load_model(str(folder))
    assert core.answers(merged, "Obama grew up in", top_k=1)["token"].iloc[0] == " Paris"


def test_running_work_stays_in_sight_when_the_prompt_is_emptied(monkeypatch):
    gate = gated(monkeypatch, "compare_methods")
    at = open_page(PAGE)
    at.button(key="compare_methods").click().run()
    job = job_of(at, EDIT)
    at.text_input(key="prompt").set_value("").run()
    assert not at.exception
    assert "Nothing to show yet" in texts(at)
    assert "Comparing the methods" in at.get("progress")[0].proto.text
    at.button(key="cancel_edit").click().run()
    gate.release(50)
    at = after(at, EDIT)
    assert job.ended_early
    assert not at.get("progress")


def test_the_paper_s_strength_is_a_choice_and_generalises_more():
    at = open_page(PAGE)
    at.segmented_control(key="edit_how_strong").set_value("fixed").run()
    at.button(key="make_edit").click().run()
    at = after(at, EDIT)
    assert not at.exception
    strong = at.session_state[LEDGER][0].edit
    model = core.load_model("tiny-gpt2")
    weak = core.edit(model, strong.prompt, strong.target, method="forward-shift", eta="auto")
    norms = [core.change_sizes(model, made)["share"].iloc[0] for made in (strong, weak)]
    assert norms[0] > 1.2 * norms[1]
    assert "with your edits the model says the target" in texts(at)


def test_tuning_runs_in_the_background_and_shows_what_it_found(monkeypatch, tmp_path):
    monkeypatch.setenv("BACKWARD_LENS_CACHE", str(tmp_path))
    monkeypatch.setattr("app.cells.calibration.LIMIT", 2)
    at = open_page(PAGE)
    at.button(key="start_tuning").click().run()
    at = after(at, "tune")
    assert not at.exception
    assert "Measured on 2 facts that the model knows" in texts(at)
    found = core.known_calibration(load("tiny-gpt2"), "forward-shift")
    assert (found.known, found.settings["layer"] < 8) == (2, True)


def test_a_deep_models_tables_show_every_second_layer_at_first(tmp_path):
    model = random_model("llama", layers=30)
    model.network.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    deep = core.load_model(str(tmp_path))
    entry = Entry(core.edit(deep, "Obama grew up in", "Paris", method="forward-shift"), "mine")
    at = open_page(PAGE, model=str(tmp_path))
    at.session_state[LEDGER] = [entry]
    at.run()
    assert not at.exception
    switch, index = at.toggle(key="lenses_some_of_30"), 1
    assert (switch.label, switch.value) == ("Every 2nd layer", True)
    table = chart_data(at, index)
    assert set(range(1, 30, 2)) <= set(table["layer"]) < set(range(30))
    switch.set_value(False).run()
    assert set(chart_data(at, index)["layer"]) == set(range(30))
    before, after = (
        core.forward_lens(deep, "Obama grew up in", "Paris", edits=e) for e in ((), (entry.edit,))
    )
    gain = after["target_probability"] - before["target_probability"]
    assert before.loc[gain.idxmax(), "layer"] in set(table["layer"])  # the finding's
    changed = before["top_tokens"].str[0] != after["top_tokens"].str[0]
    expected = {(row.layer, row.position) for row in before[changed].itertuples()}
    seen = set(table["layer"])
    assert changed.any()
    assert {(r.layer, r.position) for r in table[table["marked"]].itertuples()} == {
        place for place in expected if place[0] in seen
    }
