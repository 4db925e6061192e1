"""What was asked before: in order, bounded, the same after a reload, and one click away."""

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.shell import ledger
from app.shell.compare_field import choices
from app.shell.history import HISTORY, MOST, Asked, History, gone_edits, shows_request
from app.shell.history_field import OPEN, described
from app.shell.other_side import NO_EDITS, OtherSide, edit_ids
from app.shell.state import Request
from app.work.own import Visitors
from tests.conftest import PROMPT, TARGET
from tests.pages.test_pages import charts, open_page, texts

ASKED = Asked("tiny-gpt2", PROMPT, TARGET, "Obama")
ROME = Asked("tiny-gpt2", PROMPT, "Rome", "Obama")


def test_no_two_in_a_row_are_the_same():
    history = History()
    for now, (asked, page) in enumerate([(ASKED, "a"), (ASKED, "b"), (ROME, "b"), (ASKED, "a")]):
        history.add(asked, page, now)
    kept = [(entry.asked, entry.page, entry.time) for entry in history.entries]
    assert kept == [(ASKED, "b", 1), (ROME, "b", 2), (ASKED, "a", 3)]
    assert len({entry.serial for entry in history.entries}) == 3


def test_the_oldest_go_first():
    history = History()
    for i in range(MOST + 5):
        history.add(Asked("m", f"prompt {i}", "t", None), "", i)
    prompts = [entry.asked.prompt for entry in history.entries]
    assert prompts == [f"prompt {i}" for i in range(5, MOST + 5)]
    assert 0 < history.size < 100_000


def test_it_survives_a_reload_and_is_nobody_elses():
    visitors = Visitors(lambda: 1e6)
    visitors.own("a", HISTORY, History).add(ASKED, "", 0)
    assert visitors.own("a", HISTORY, History).entries[0].asked == ASKED
    assert visitors.own("b", HISTORY, History).entries == []


def test_what_differs_is_bold():
    assert "**" not in described(ASKED, None)
    assert "**→ Rome**" in described(ROME, ASKED).replace("\\", "")
    assert described(ROME, ASKED).count("**") == 2
    other = Asked("tiny-llama2", PROMPT, TARGET, "Obama", ("1", "2"))
    assert "**Tiny Llama 2** · **2 edits**" in described(other, ASKED)


def test_markup_stays_text():
    attack = Asked("tiny-gpt2", "**a** <b>[x](y)", "`t`", None)
    assert described(attack, None).startswith("\\*\\*a\\*\\* \\<b\\>\\[x\\]\\(y\\) ")


def test_pages_that_are_about_the_request():
    assert all(map(shows_request, ("", "forward_lens", "neurons", "edit", "compare")))
    assert not any(map(shows_request, ("ask", "many_prompts", "workshop", "nothing")))


def test_edits_that_are_gone_are_told():
    assert gone_edits(0, 3) == ""
    assert "no longer among your edits" in gone_edits(1, 1)
    assert "Of the 3 edits" in gone_edits(2, 3)


def test_a_whole_request_as_the_other_side():
    side = OtherSide.of(ASKED)
    assert (side.prompt, side.target, side.edits) == (PROMPT, TARGET, NO_EDITS)
    edited = Asked("tiny-gpt2", PROMPT, TARGET, None, ("a1", "b2"))
    assert edit_ids(OtherSide.of(edited).edits) == ("a1", "b2")
    assert edit_ids(NO_EDITS) == edit_ids("") == edit_ids("all") == ()


def back_buttons(at: AppTest) -> list[str]:
    """Their keys, with the popover open; the harness has none, and forgets it in the next run."""
    at.session_state[OPEN] = True
    at.run()
    assert "Going back computes nothing again" in texts(at)
    return [b.key for b in at.button if b.key.startswith("history_back_")]


def test_back_to_a_request_without_computing(monkeypatch):
    at = open_page("backward_lens", prompt="Jack Dorsey founded", target="IBM")
    before = charts(at)
    at.text_input(key="subject").set_value("Dorsey").run()
    at.text_input(key="prompt").set_value("Obama grew up in").run()
    at.text_input(key="target").set_value("Paris").run()
    at.selectbox(key="model_choice").set_value("tiny-llama2").run()
    assert [e.asked.target for e in at.session_state[HISTORY].entries] == [
        "IBM",
        "IBM",
        "IBM",
        "Paris",
        "Paris",
    ]
    *_, oldest = back_buttons(at)
    monkeypatch.setattr(core, "trace", lambda *_, **__: pytest.fail("computed again"))
    monkeypatch.setattr(core, "backward_lens", lambda *_, **__: pytest.fail("computed again"))
    at.button(key=oldest).click().run()
    assert not at.exception
    assert at.text_input(key="prompt").value == "Jack Dorsey founded"
    assert at.text_input(key="target").value == "IBM"
    assert at.text_input(key="subject").value == "Jack Dorsey"
    assert at.selectbox(key="model_choice").value == "tiny-gpt2"
    assert charts(at) == before
    newest = back_buttons(at)[1]
    at.button(key=newest).click().run()
    assert at.selectbox(key="model_choice").value == "tiny-llama2"


def test_going_back_switches_exactly_the_edits_of_then():
    model = core.load_model("tiny-gpt2")
    edits = [
        core.edit(model, PROMPT, target, method="forward-shift") for target in ("Paris", "Rome")
    ]
    at = open_page("backward_lens")
    at.session_state["ledger"] = [ledger.Entry(edit, edit.name) for edit in edits]
    at.run()
    both = at.session_state["ledger"]
    at.checkbox(key=f"edit_on_{both[0].id}").uncheck().run()
    at.checkbox(key=f"edit_on_{both[1].id}").uncheck().run()
    only_second, with_both = back_buttons(at)[1:3]
    at.button(key=only_second).click().run()
    assert [entry.on for entry in at.session_state["ledger"]] == [False, True]
    back_buttons(at)
    at.button(key=with_both).click().run()
    assert [entry.on for entry in at.session_state["ledger"]] == [True, True]
    at.button(key=f"edit_remove_{both[0].id}").click().run()
    back_buttons(at)
    at.button(key=with_both).click().run()
    assert "Of the 2 edits that were on then, 1" in texts(at).replace("\\", "")
    assert [entry.on for entry in at.session_state["ledger"]] == [True]
    assert "Of the 2 edits" not in texts(at.run())


def test_nothing_is_remembered_of_a_bad_request():
    at = open_page("backward_lens", target=" ")
    assert HISTORY not in at.session_state or not at.session_state[HISTORY].entries


def test_what_a_request_can_be_compared_with(monkeypatch):
    at = open_page("backward_lens")  # its session has a history
    labels = []
    monkeypatch.setattr("app.shell.compare_field.history", lambda: at.session_state[HISTORY])
    labels = [label for label, _ in choices(Request("tiny-gpt2", PROMPT, TARGET, "Obama"))]
    assert labels[:2] == ["Another target: the model's own answer", "Another target: IBM"]
    assert labels[2].startswith("Another prompt: ")
    assert not any("Asked before" in label for label in labels), "it is this very request"
    others = choices(Request("tiny-gpt2", "Jack Dorsey founded", "IBM", "Jack Dorsey"))
    assert others[-1][1] == OtherSide.of(ASKED)
