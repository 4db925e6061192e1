"""A workshop's session in Streamlit's own test harness: the door, what is pinned, the room."""

import threading
import time
from dataclasses import replace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import core
from app.settings import CODES, LOGIN, PROMPT_TOKENS, WORKSHOPS
from app.shell.state import MODEL
from app.words import plain
from app.work.job import Job
from app.work.sessions import JOBS
from app.workshop import gate, limits, login, store
from app.workshop.guesses import MOST, PAUSE, Guesses
from app.workshop.plan import plan
from app.workshop.room import Board, Person, room
from app.workshop.visit import Visit

PROMPT, TARGET = "Ferrari Mondial, created by", "Nintendo"
PINS = {"model": "tiny-gpt2", "pages": ("", "edit"), "prompt": PROMPT, "target": TARGET}


@pytest.fixture(autouse=True)
def _closed_server(tmp_path, monkeypatch):
    monkeypatch.setenv(WORKSHOPS.name, str(tmp_path))
    monkeypatch.setenv(CODES.name, "on")
    monkeypatch.delenv(LOGIN.name, raising=False)
    monkeypatch.setattr(gate, "guesses", Guesses)


@pytest.fixture
def workshop():
    made, code, lead = plan(time.time(), 3600, "Lens", **PINS)
    store.save(made)
    return made, code, lead


def open_app(page: str = "start", **query: str) -> AppTest:
    at = AppTest.from_file("../../app/main.py", default_timeout=60)
    for key, value in query.items():
        at.query_params[key] = value
    if page != "start":
        at.switch_page(f"../pages/{page}.py")
    return at.run()


def url(at: AppTest, name: str) -> str:
    """What stands in the URL under a name."""
    value = at.query_params[name]
    return value if isinstance(value, str) else value[0]


def texts(at: AppTest) -> str:
    kinds = (at.markdown, at.warning, at.info, at.error, at.caption, at.header)
    return "\n".join(element.value for kind in kinds for element in kind)


def html(at: AppTest) -> str:
    return "\n".join(element.proto.body for element in at.get("html"))


def is_door(at: AppTest) -> bool:
    """Whether the door is shown; nothing is on the page beside it."""
    assert not at.exception
    closed = at.header[0].value == "Backward Lens"
    if closed:
        assert len(at.sidebar) == 0
        assert not at.get("vega_lite_chart")
    return closed


# The door


@pytest.mark.parametrize("page", ["start", "backward_lens", "ask", "workshop"])
def test_without_a_code_there_is_a_sentence_and_nothing_else(page, monkeypatch):
    monkeypatch.setattr(core, "load_model", lambda *_, **__: pytest.fail("a model was asked for"))
    monkeypatch.setattr("app.shell.sidebar.load", lambda *_: pytest.fail("a model was asked for"))
    at = open_app(page, model="tiny-llama2", prompt="x", target="y")
    assert is_door(at)
    assert gate.NO_CODE in texts(at)
    assert "request" not in at.session_state
    assert "x" not in [field.value for field in at.text_input]


def test_a_server_that_is_open_to_all_is_as_it_was(monkeypatch):
    monkeypatch.setenv(CODES.name, "off")
    at = open_app()
    assert not is_door(at)
    assert at.text_input(key="prompt").value == "Obama grew up in"
    assert "workshop" not in at.query_params


def test_the_links_code_lets_in_and_stays_in_the_url(workshop):
    _, code, _ = workshop
    at = open_app(workshop=code)
    assert not is_door(at)
    assert url(at, "workshop") == code
    at.switch_page("../pages/edit.py").run()
    assert not is_door(at)
    assert url(at, "workshop") == code


def test_the_code_may_be_typed(workshop):
    _, code, _ = workshop
    at = open_app("edit")
    at.text_input(key="typed_code").set_value(f" {code.upper().replace('-', ' ')} ")
    at = at.button[0].click().run()
    assert not is_door(at)
    assert at.header[0].value == "Can you make it say something else?"
    assert url(at, "workshop") == code


def test_a_wrong_code_has_its_own_sentence_and_can_be_put_right(workshop):
    _, code, _ = workshop
    at = open_app(workshop="kqmp-7xw3-ab9d")
    assert is_door(at)
    assert plain(gate.UNKNOWN) in texts(at)
    at.text_input(key="typed_code").set_value(code)
    assert not is_door(at.button[0].click().run())


def test_a_workshop_that_is_over_says_so_and_what_was_typed_stays(workshop):
    made, code, _ = workshop
    at = open_app(workshop=code)
    at.text_input(key="prompt").set_value("Jack Dorsey founded").run()
    store.save(replace(made, expires=time.time() - 1))
    at.text_input(key="target").set_value("IBM").run()
    assert is_door(at.run()) is True
    assert "The workshop “Lens” is over" in texts(at)
    assert at.text_input(key="prompt").value == "Jack Dorsey founded"
    assert at.text_input(key="target").value == "IBM"
    assert url(at, "prompt") == "Jack Dorsey founded"
    assert url(at, "target") == "IBM"


def test_time_is_the_gates_own(workshop, monkeypatch):
    made, code, _ = workshop
    monkeypatch.setattr(gate, "now", lambda: made.expires - 1)
    assert not is_door(open_app(workshop=code))
    monkeypatch.setattr(gate, "now", lambda: made.expires)
    assert is_door(open_app(workshop=code))


def test_a_workshop_that_was_ended_says_so(workshop):
    made, code, lead = workshop
    at = open_app(workshop=code)
    store.end(made.id, time.time())
    for session in (at.run(), open_app(workshop=code), open_app("workshop", lead=lead)):
        assert is_door(session)
        assert "has been ended" in texts(session)


def test_on_an_open_server_one_goes_on_without_the_workshop(workshop, monkeypatch):
    monkeypatch.setenv(CODES.name, "off")
    made, code, _ = workshop
    at = open_app(workshop=code)
    store.end(made.id, time.time())
    at.run()
    assert is_door(at)
    at.button(key="leave_workshop").click().run()
    assert not is_door(at)
    assert "workshop" not in at.query_params
    assert at.selectbox(key=MODEL).value == "tiny-gpt2"


def test_on_a_closed_server_there_is_no_way_around(workshop):
    made, code, _ = workshop
    store.end(made.id, time.time())
    at = open_app(workshop=code)
    assert [button.label for button in at.button] == ["Come in"]


def test_another_workshops_code_takes_the_session_there(workshop):
    other, code, _ = plan(time.time(), 3600, "Second", model="tiny-llama2")
    store.save(other)
    at = open_app(workshop=workshop[1])
    at.query_params["workshop"] = code
    at.run()
    assert at.session_state["request"].model_name == "tiny-llama2"


def test_wrong_codes_are_slowed_and_a_right_one_still_comes_in(workshop, monkeypatch):
    guesses, slept = Guesses(lambda: 0.0), []
    monkeypatch.setattr(gate, "guesses", lambda: guesses)
    monkeypatch.setattr(gate, "sleep", slept.append)
    for _ in range(MOST):
        guesses.note()
    at = open_app(workshop="wrong")
    assert slept == [PAUSE]
    at.run()
    assert slept == [PAUSE], "the same code in the same session counts once"
    assert not is_door(open_app(workshop=workshop[1]))
    assert slept == [PAUSE, PAUSE]


# Signing in


@pytest.fixture
def provider(monkeypatch):
    monkeypatch.setenv(LOGIN.name, "on")
    monkeypatch.setattr(login, "providers", lambda: [None])


def test_sign_in_is_offered_instead_of_the_codes_sentence(provider, workshop):
    at = open_app()
    assert is_door(at)
    assert "Sign in to use this server" in texts(at)
    assert gate.NO_CODE not in texts(at)
    assert at.button(key="sign_in_").label == "Sign in"
    assert not is_door(open_app(workshop=workshop[1])), "a code still lets in"


def test_without_authlib_signing_in_is_a_sentence(provider):
    at = open_app()
    at.button(key="sign_in_").click().run()
    assert is_door(at)
    assert "not set up completely" in texts(at)


def test_without_a_provider_it_is_a_sentence(monkeypatch):
    monkeypatch.setenv(LOGIN.name, "on")
    monkeypatch.setenv(CODES.name, "off")
    at = open_app()
    assert is_door(at), "signing in closes an open server"
    assert "has no [auth]" in texts(at)


def test_who_has_signed_in_comes_in_without_a_code(provider, monkeypatch):
    monkeypatch.setattr(st, "user", {"is_logged_in": True})
    at = open_app()
    assert not is_door(at)
    assert at.button(key="sign_out").label == "Sign out"
    monkeypatch.setenv(LOGIN.name, "off")
    assert is_door(at.run()), "only while the operator lets people sign in"


# What is pinned


def test_a_first_visit_begins_with_the_workshops_own(workshop):
    at = open_app(workshop=workshop[1])
    assert at.text_input(key="prompt").value == PROMPT
    assert at.text_input(key="target").value == TARGET
    assert at.button(key="try_0").label == f"{PROMPT} … {TARGET}"
    assert at.selectbox(key="example").options[0] == f"{PROMPT} … {TARGET}"
    at.text_input(key="prompt").set_value("Obama grew up in").run()
    at.button(key="try_0").click().run()
    assert at.text_input(key="prompt").value == PROMPT


def test_what_a_link_says_of_the_prompt_counts(workshop):
    at = open_app(workshop=workshop[1], prompt="Obama grew up in", target="Paris")
    assert at.text_input(key="prompt").value == "Obama grew up in"


@pytest.mark.parametrize("around", ["tiny-llama2", "smollm2-135m", "/etc", "tiny-gpt2@int8"])
def test_neither_a_link_nor_a_field_changes_the_model(workshop, around):
    at = open_app(workshop=workshop[1], model=around, precision="int8")
    picker = next(box for box in at.selectbox if box.label == "Model")
    assert picker.options == ["Tiny GPT-2 · 4 MB · built in"]
    assert at.session_state["request"].model_name == "tiny-gpt2"
    assert url(at, "model") == "tiny-gpt2"
    at.session_state[MODEL], at.session_state["precision_choice"] = "tiny-llama2", "int8"
    at.run()
    assert at.session_state["request"].model_name == "tiny-gpt2"
    assert not [b for b in at.button if b.key in ("see_real", "fetch_real")]


def test_a_pinned_folder_is_used_and_its_path_not_told(monkeypatch, workshop, tmp_path):
    folder = str(core.model.catalog.BUILTIN_FOLDER / "tiny-llama2")
    monkeypatch.setenv("BACKWARD_LENS_FOLDERS", str(tmp_path))
    made, code, _ = workshop
    store.save(replace(made, model=folder))
    at = open_app(workshop=code)
    assert at.session_state["request"].model_name == folder
    picker = next(box for box in at.selectbox if box.label == "Model")
    assert picker.options == ["tiny-llama2"]
    assert "model" not in at.query_params


def test_other_pages_are_not_in_the_menu_and_not_reached_by_a_link(workshop):
    at = open_app("neurons", workshop=workshop[1])
    assert "This page is not a part of the workshop." in texts(at)
    assert not at.get("vega_lite_chart")
    assert "request" not in at.session_state
    (link,) = at.get("page_link")
    assert link.proto.label == "Go to Start"
    at.switch_page("../pages/edit.py").run()
    assert at.header[0].value == "Can you make it say something else?"


def test_a_workshop_without_start_begins_with_its_first_page(workshop):
    made, code, _ = workshop
    store.save(replace(made, pages=("backward_lens", "edit")))
    at = open_app(workshop=code, prompt="Obama grew up in")
    assert at.header[0].value == "What would the model change?"
    assert at.text_input(key="prompt").value == "Obama grew up in"


def test_the_smaller_limit_counts(workshop, monkeypatch):
    made, code, _ = workshop
    store.save(replace(made, prompt_tokens=3))
    at = open_app(workshop=code)
    assert "the pages show at most 3" in texts(at)
    monkeypatch.setenv(PROMPT_TOKENS.name, "2")
    assert "the pages show at most 2" in texts(at.run())


@pytest.mark.parametrize(("pinned", "records", "jobs"), [((50, 1), 50, 1), ((9999, 9), 2000, 2)])
def test_limits_of_studies_and_jobs(monkeypatch, workshop, pinned, records, jobs):
    made, code, _ = workshop
    made = replace(made, study_records=pinned[0], jobs=pinned[1])
    monkeypatch.setattr("app.workshop.visit.visit", lambda: Visit(made, code))
    assert limits.study_records() == records
    assert limits.jobs_at_once() == jobs
    monkeypatch.setattr("app.workshop.visit.visit", lambda: None)
    assert (limits.study_records(), limits.jobs_at_once()) == (2000, 2)
    assert limits.prompt_tokens() == 128


def test_a_study_takes_no_more_than_the_workshop_allows(workshop):
    made, code, _ = workshop
    store.save(replace(made, pages=(), study_records=7))
    at = open_app("many_prompts", workshop=code)
    assert at.number_input(key="study_limit_7").max == 7


def test_a_visitor_has_no_more_jobs_than_the_workshop_allows(workshop):
    made, code, _ = workshop
    store.save(replace(made, pages=(), jobs=1))
    ended = threading.Event()
    job = Job("An edit", lambda on_step: ended.wait(60))
    job.start()
    at = open_app("many_prompts", workshop=code)
    at.session_state[JOBS]["edit"] = job
    at.run()
    at.button(key="start_study").click().run()
    ended.set()
    job.thread.join(60)
    assert any("lets each visitor run 1 at once" in error.value for error in at.error)


# The room


@pytest.fixture
def others(workshop):
    """Participants of the workshop, as their own sessions would bring them into the room."""
    came = []

    def come(**known) -> Person:
        person = Person(room(), workshop[0].id, **known)
        room().add(person)
        came.append(person)
        return person

    yield come
    for person in came:
        person.jobs = {}
        person.leave()


def test_the_facilitators_page_is_the_facilitators(workshop):
    _, code, lead = workshop
    at = open_app("workshop", lead=lead)
    assert at.header[0].value == "Who is here, and what are they doing?"
    assert url(at, "lead") == lead
    at = open_app("workshop", workshop=code)
    assert "for the person who runs a workshop" in texts(at)
    assert not at.metric
    at = open_app("workshop", lead=code)
    assert not at.metric, "the participants' code opens it under no name"


def test_other_pages_addresses_hold_the_participants_code(workshop):
    _, code, lead = workshop
    at = open_app("workshop", lead=lead)
    assert "workshop" not in at.query_params
    at.switch_page("../pages/edit.py").run()
    assert url(at, "workshop") == code
    assert "lead" not in at.query_params
    at.switch_page("../pages/workshop.py").run()
    assert url(at, "lead") == lead
    assert at.metric[0].label == "People here"


def test_who_is_here(workshop, others):
    at = open_app("workshop", lead=workshop[2])
    assert (at.metric[0].label, at.metric[0].value) == ("People here", "0")
    assert "Nobody has come yet" in texts(at)
    others(name="Ana")
    others(name="<b>Bo</b> *x*")
    others()
    at.run()
    assert at.metric[0].value == "3"
    assert plain("Ana, <b>Bo</b> *x* and 1 without a name.") in texts(at)
    assert at.metric[3].value.endswith("B")
    assert "of 2.0 GB" in texts(at).replace("\\", "")
    assert at.metric[4].value == "59 min"


def test_a_name_is_given_in_the_sidebar_and_kept_out_of_links(workshop):
    at = open_app(workshop=workshop[1])
    at.text_input(key="visitor_name").set_value("Ana").run()
    (ana,) = [p for p in room().people(workshop[0].id) if p.name]
    assert ana.name == "Ana"
    assert ana.model == "Tiny GPT-2"
    assert ana.lock() is not None
    assert "Ana" not in str(dict(at.query_params))
    at.switch_page("../pages/edit.py").run()
    assert at.text_input(key="visitor_name").value == "Ana"


def test_what_runs_is_shown_and_ended(workshop, others):
    goes_on = threading.Event()

    def work(on_step):
        goes_on.wait(60)
        on_step(1, 2)

    job = Job("Study of *x*", work, total=2)
    job.start()
    others(name="Ana", jobs={"study": job})
    at = open_app("workshop", lead=workshop[2])
    assert at.metric[1].value == "1"
    assert r"By Ana" in texts(at)
    at.button(key=f"end_{job.token}").click().run()
    assert job.cancelled.is_set()
    assert at.button(key=f"end_{job.token}").disabled
    goes_on.set()
    job.thread.join(60)
    assert job.ended_early
    assert "Nothing runs now." in texts(at.run())


def test_a_message_is_seen_as_text_and_taken_back(workshop):
    made, code, lead = workshop
    at = open_app("workshop", lead=lead)
    at.text_area(key="message").set_value("Open <b>Edit</b> & **look**")
    send = next(button for button in at.button if button.label == "Send to all")
    at = send.click().run()
    assert room().board(made.id).message == "Open <b>Edit</b> & **look**"
    for page in ("start", "edit"):
        seen = html(open_app(page, workshop=code))
        assert "Open &lt;b&gt;Edit&lt;/b&gt; &amp; **look**" in seen
        assert "<b>Edit" not in seen
    other, other_code, _ = plan(time.time(), 3600, "Second")
    store.save(other)
    assert "Edit&lt;" not in html(open_app(workshop=other_code))
    back = next(button for button in at.button if button.label == "Take it back")
    back.click().run()
    assert "Edit&lt;" not in html(open_app(workshop=code))


def test_the_clock_is_started_and_seen_by_all(workshop):
    made, code, lead = workshop
    at = open_app("workshop", lead=lead)
    at.number_input(key="exercise_minutes").set_value(25).run()
    at.button(key="start_clock").click().run()
    assert room().board(made.id).minutes == 25
    seen = html(open_app(workshop=code))
    assert "left for this exercise" in seen
    at.button(key="stop_clock").click().run()
    assert room().board(made.id) == Board()


def test_the_participants_link_is_shown_to_the_facilitator(workshop):
    _, code, lead = workshop
    at = open_app("workshop", lead=lead)
    assert at.code[0].value.endswith(f"/?workshop={code}")
    assert lead not in at.code[0].value
