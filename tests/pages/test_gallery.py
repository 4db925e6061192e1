"""The gallery on Start: stored pictures without any model's work, the next one, and live."""

from __future__ import annotations

import threading
import time

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.gallery.shelf import shelf
from app.settings import WORKSHOPS
from app.shell.models import downloads
from app.shell.navigation import page_at
from app.work.job import Job
from app.workshop import store
from app.workshop.plan import plan
from tests.conftest import REAL
from tests.pages import test_pages
from tests.pages.test_pages import chart_data, charts

NAMES = list(shelf())
BUILTIN_FINDINGS = [name for name, (finding, _) in shelf().items() if finding.model != REAL]


def open_start(**query: str) -> AppTest:
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    for key, value in query.items():
        at.query_params[key] = value
    return at.run()


def texts(at: AppTest) -> str:
    return test_pages.texts(at).replace("\\", "")


def link(at: AppTest) -> str:
    """The finding that the page's link names."""
    value = at.query_params["finding"]
    return value if isinstance(value, str) else value[0]


def keys(at: AppTest) -> set[str]:
    return {button.key for button in at.button}


@pytest.fixture
def no_model_work(monkeypatch):
    """Whatever asks a model fails: what is drawn is stored."""

    def refuse(*args, **kwargs):
        raise AssertionError("a model was asked")

    for name in ("trace", "forward_lens", "backward_lens", "answers", "rank_curve", "edit"):
        monkeypatch.setattr(core, name, refuse)
    for name in ("vjp_norms", "imprint_and_shift", "gradient_rank"):
        monkeypatch.setattr(core, name, refuse)
    read = core.load_model

    def only_builtin(name, **options):
        assert name != REAL, "a model was loaded for a stored picture"
        return read(name, **options)

    monkeypatch.setattr(core, "load_model", only_builtin)


def test_start_opens_on_the_visitors_own_prompt_and_names_a_finding():
    at = open_start()
    assert not at.exception
    label = at.button(key="show_finding").label.replace("\\", "")
    assert label == "How would you turn Paris into Rome? →"
    assert "try_0" in keys(at)
    assert "finding" not in at.query_params
    at.button(key="show_finding").click().run()
    assert at.selectbox(key="finding").value == NAMES[0]
    assert link(at) == NAMES[0]
    assert "try_0" not in keys(at)


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_finding_is_shown_without_asking_a_model(name, no_model_work):
    at = open_start(finding=name)
    assert not at.exception
    assert not at.error
    finding, stored = shelf()[name]
    assert len(charts(at)) == 1
    shown = texts(at)
    assert finding.title in shown
    for sentence in finding.commentary:
        assert sentence in shown
    assert f"“{finding.prompt} …”" in shown
    assert at.code[0].value.count(f'load_model("{finding.model}")') == 1
    labels = [button.proto.label for button in at.get("download_button")]
    assert {"Download CSV", f"gallery_{name}.png", f"gallery_{name}.svg"} <= set(labels)
    if "position" in stored.table and finding.picture.kind != "target_rank":
        assert chart_data(at)["position"].nunique() == len(stored.tokens)


@pytest.mark.parametrize("name", BUILTIN_FINDINGS)
def test_its_code_makes_the_stored_table(name):
    at = open_start(finding=name)
    scope: dict = {}
    exec(at.code[0].value, scope)
    stored = shelf()[name][1].table
    assert len(scope["table"]) == len(stored)
    assert set(stored) <= set(scope["table"])


@pytest.mark.real
def test_the_code_of_an_edit_makes_the_stored_answers(real_model):
    at = open_start(finding="every-capital")
    scope: dict = {}
    exec(at.code[0].value, scope)
    stored = shelf()["every-capital"][1].table
    assert scope["table"]["token"].tolist() == stored["token"].tolist()
    assert scope["table"]["probability"].tolist() == pytest.approx(stored["probability"], abs=0.01)


def test_next_goes_through_all_of_them_and_round(no_model_work):
    at = open_start(finding=NAMES[0])
    seen = []
    for _ in NAMES:
        at.button(key="next_finding").click().run()
        assert not at.exception
        seen.append(at.selectbox(key="finding").value)
        assert link(at) == seen[-1]
    assert seen == [*NAMES[1:], NAMES[0]]
    at.selectbox(key="finding").set_value("milan").run()
    assert link(at) == "milan"
    assert "Milan" in texts(at)


def test_a_link_to_no_finding_opens_the_first():
    at = open_start(finding="../../etc/passwd<script>")
    assert not at.exception
    assert at.selectbox(key="finding").value == NAMES[0]
    assert link(at) == NAMES[0]


def test_the_visitors_own_prompt_is_one_click_away_and_the_link_forgets_the_finding():
    at = open_start(finding="milan")
    at.segmented_control(key="start_view").set_value("live").run()
    assert "finding" not in at.query_params
    assert "pushes the output **towards** that word" in texts(at)
    assert at.button(key="show_finding").label.startswith("Halfway from Barcelona")


def test_a_finding_is_still_chosen_after_another_page():
    at = open_start(finding="milan")
    at.switch_page("../pages/forward_lens.py").run()
    at.switch_page("../pages/start.py").run()
    assert at.selectbox(key="finding").value == "milan"


@pytest.mark.parametrize("name", BUILTIN_FINDINGS)
def test_open_it_live_fills_the_fields_and_leads_to_the_page(name):
    at = open_start(finding=name, model="tiny-gpt2", prompt="Jack Dorsey founded", target="IBM")
    at.button(key="open_live").click().run()
    assert not at.exception
    assert not at.error
    finding, _ = shelf()[name]
    assert at.selectbox(key="model_choice").value == finding.model
    assert at.text_input(key="prompt").value == finding.prompt
    assert at.text_input(key="target").value == finding.target
    assert at.text_input(key="subject").value == finding.subject
    assert "finding" not in at.query_params
    assert at.session_state["page"] == page_at(finding.page).path
    assert at.session_state["request"].prompt == finding.prompt
    assert charts(at)


@pytest.mark.real
@pytest.mark.parametrize("name", sorted({*NAMES} - {*BUILTIN_FINDINGS}))
def test_open_it_live_loads_the_real_model(real_model, name):
    at = open_start(finding=name)
    at.button(key="open_live").click().run()
    assert not at.exception
    assert not at.error
    finding, _ = shelf()[name]
    assert at.session_state["page"] == page_at(finding.page).path
    assert at.session_state["request"].model_name == REAL
    assert at.text_input(key="subject").value == finding.subject
    if finding.page == "edit":
        assert at.segmented_control(key="edit_how_strong").value == "fixed"
    else:
        assert charts(at)


def test_the_settings_of_the_page_come_along():
    at = open_start(finding="milan")
    at.button(key="open_live").click().run()
    assert at.slider(key="imprint_layer_8").value == 4
    assert at.select_slider(key="imprint_step").value == 0.1
    assert at.query_params["imprint_layer_8"] in ("4", ["4"])
    assert "The model's answer was `·Barcelona` (99%) and is `·Milan` (54%)" in texts(at)


def widgets(at: AppTest) -> list:
    kinds = (at.segmented_control, at.toggle, at.slider, at.select_slider, at.selectbox)
    return [widget for kind in kinds for widget in kind]


@pytest.mark.real
def test_every_setting_is_a_control_of_its_page(real_model):
    for name, (finding, _) in shelf().items():
        at = open_start(finding=name)
        at.button(key="open_live").click().run()
        for key, value in finding.settings.items():
            if key != "backward_normalised":  # only where the final norm has a bias
                assert at.session_state[key] == value, (name, key)
                assert key in {widget.key for widget in widgets(at)}, (name, key)


def test_what_was_chosen_on_the_page_before_gives_way():
    at = open_start(finding="milan", prompt="Lionel Messi plays for")
    at.switch_page("../pages/imprint_and_shift.py").run()
    at.slider(key="imprint_layer_8").set_value(2).run()
    at.select_slider(key="imprint_step").set_value(3.0).run()
    at.selectbox(key="imprint_token_5").set_value(1).run()
    at.switch_page("../pages/start.py").run()
    at.button(key="open_live").click().run()
    assert not at.exception
    assert "One step of 0.1 on FF2 in layer 4" in texts(at)
    assert "is `·Milan` (54%)" in texts(at)


@pytest.fixture
def no_real_model(monkeypatch):
    monkeypatch.setattr(core, "is_on_this_machine", lambda name: name != REAL)
    downloads().clear()
    yield
    downloads().clear()


def test_a_model_that_is_not_here_is_offered(no_real_model, monkeypatch):
    at = open_start(finding="paris-to-rome")
    assert len(charts(at)) == 1
    assert "open_live" not in keys(at)
    assert at.button(key="fetch_for_finding").label == "Fetch SmolLM2 135M (93 MB)"
    assert "SmolLM2 135M must be on this machine" in texts(at)
    asked = []
    monkeypatch.setattr(core, "download_model", lambda name, **given: asked.append(name))
    at.button(key="fetch_for_finding").click().run()
    downloads()[REAL].thread.join(60)
    assert asked == [REAL]


def test_while_a_model_comes_its_progress_is_shown(no_real_model):
    gate = threading.Event()
    job = downloads()[REAL] = Job("Downloading SmolLM2 135M", lambda on_step: gate.wait(60))
    job.start()
    at = open_start(finding="paris-to-rome")
    assert not at.exception
    assert len(charts(at)) == 1
    assert "fetch_for_finding" not in keys(at)
    assert "cancel_fetch_real" in keys(at)
    gate.set()
    job.thread.join(60)


def test_without_downloads_the_finding_is_shown_and_the_reason_said(no_real_model, monkeypatch):
    monkeypatch.setenv("BACKWARD_LENS_DOWNLOADS", "off")
    at = open_start(finding="paris-to-rome")
    assert len(charts(at)) == 1
    assert not {"open_live", "fetch_for_finding"} & keys(at)
    assert "It cannot be opened live here." in texts(at)
    assert "switched downloads off" in texts(at)


def test_a_chosen_model_that_cannot_be_used_does_not_hide_the_findings():
    at = open_start(finding="milan", model="nobody/nothing")
    assert len(charts(at)) == 1
    assert "open_live" in keys(at)


def test_a_server_without_findings_has_no_gallery(monkeypatch):
    monkeypatch.setattr("app.cells.gallery.shelf", dict)
    at = open_start(finding="milan")
    assert not at.exception
    assert "show_finding" not in keys(at)
    assert "try_0" in keys(at)


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """Makes a workshop with these pins; its participants' code."""
    monkeypatch.setenv(WORKSHOPS.name, str(tmp_path))

    def make(**pins: object) -> str:
        made, code, _ = plan(time.time(), 3600, "Lens", **pins)
        store.save(made)
        return code

    return make


def test_a_workshop_of_another_model_shows_the_finding_as_it_was_stored(workshop):
    at = open_start(finding="paris-to-rome", workshop=workshop(model="tiny-gpt2"))
    assert len(charts(at)) == 1
    assert not {"open_live", "fetch_for_finding"} & keys(at)
    assert "This workshop works with Tiny GPT-2; the finding is of SmolLM2 135M" in texts(at)


def test_a_workshop_of_the_same_model_opens_it_live(workshop):
    at = open_start(finding="milan", workshop=workshop(model="tiny-gpt2"))
    at.button(key="open_live").click().run()
    assert at.session_state["page"] == "imprint_and_shift"
    assert at.session_state["request"].prompt == "Lionel Messi plays for"


def test_a_closed_page_is_not_opened(workshop):
    at = open_start(finding="milan", workshop=workshop(pages=("", "forward_lens")))
    assert len(charts(at)) == 1
    assert "open_live" not in keys(at)
    assert "Imprint and shift, is not a part of the workshop" in texts(at)
    at.selectbox(key="finding").set_value("first-guess").run()
    assert "open_live" in keys(at)
