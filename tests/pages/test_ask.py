"""The page that asks the original and the edited model, with good input and bad."""

import threading

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import core
from app.cells.prompt_table import KEPT, RESULT
from app.cells.turns import FIELD, LENGTH, MOST_TURNS, PROBLEM, TURNS
from app.charts.answer_bars import answer_bars
from app.shell.ledger import LEDGER, Entry
from app.shell.models import load
from app.shell.navigation import ASK_ALL, PAGES
from app.words import percent
from tests.conftest import PROMPT, TARGET
from tests.pages.test_pages import after, job_of, open_page, texts

ODD = [
    "👩‍🚀 🎉",
    "**bold** `code` ```` _x_",
    "<script>alert(1)</script> <b>x</b> &amp;",
    "$a^2$ :red[no] [link](http://localhost)",
    "ﷺ e\u0301 \u202eabc 北京",
    "quotes \" \\ and '",
]


def made(model: str = "tiny-gpt2") -> Entry:
    edit = core.edit(load(model), PROMPT, TARGET, method="forward-shift")
    return Entry(edit, edit.name)


def open_ask(*entries: Entry, **state: object) -> AppTest:
    at = open_page()
    at.session_state[LEDGER] = list(entries)
    for key, value in state.items():
        at.session_state[key] = value
    return at.switch_page("../pages/ask.py").run()


def settled(at: AppTest) -> AppTest:
    """After the threads have written to the end."""
    for voice in at.session_state[TURNS][-1].voices:
        voice.job.thread.join(60)
        assert not voice.running
    return at.run()


def ask(at: AppTest, prompt: str) -> AppTest:
    at.chat_input[0].set_value(prompt).run()
    return settled(at)


def ask_all(at: AppTest) -> AppTest:
    at.button(key="ask_all").click().run()
    return after(at, ASK_ALL)


def shown(at: AppTest) -> list[str]:
    return [text.value for text in at.text]


def run_code(code: str) -> pd.DataFrame:
    scope: dict = {}
    exec(code, scope)
    return scope["table"]


@pytest.fixture
def slow_answers(monkeypatch):
    """Text that grows only as far as the test lets it, piece by piece."""
    steps = threading.Semaphore(0)
    real = core.complete

    def waiting(*args, on_token, **options):
        def take(piece):
            steps.acquire(timeout=30)
            on_token(piece)

        return real(*args, on_token=take, **options)

    monkeypatch.setattr("core.complete", waiting)
    return steps


def test_an_empty_page_offers_what_to_do():
    at = open_ask()
    assert not at.exception
    assert at.header[0].value == "What does the edited model say?"
    assert "only the original model answers" in texts(at)
    assert not at.code
    links = [link.proto.page for link in at.get("page_link")]
    assert links == [page.path for page in PAGES if page.file == "edit.py"]
    assert at.button(key="ask_suggestion_0").label == PROMPT


def test_without_edits_the_original_answers_alone():
    at = ask(open_ask(), PROMPT)
    assert not at.exception
    text = core.complete(load("tiny-gpt2"), PROMPT, max_new_tokens=20)
    assert shown(at) == [PROMPT, text.strip()]
    assert "The most probable next token is `·Hawaii` (96\\.7\\%)" in texts(at)
    table = run_code(at.code[0].value)
    assert set(table["model"]) == {"original"}


def test_both_models_answer_and_the_difference_is_named(tmp_path, monkeypatch):
    entry = made()
    at = ask(open_ask(entry), PROMPT)
    assert not at.exception
    prompt, original, edited = shown(at)
    assert prompt == PROMPT
    assert original.startswith("Hawaii")
    assert edited.startswith("Paris")
    assert "**≠ Changed:** with your edits the most probable next token is `·Paris`" in texts(at)
    assert "**With your edits (1)**" in texts(at)
    assert "Obama grew up in → Paris" in texts(at)

    monkeypatch.chdir(tmp_path)
    entry.edit.save("Obama-grew-up-in-Paris.safetensors")
    table = run_code(at.code[0].value)
    assert list(table["token"].iloc[[0, 5]]) == [" Hawaii", " Paris"]
    assert list(table["continuation"].iloc[[0, 5]].str.strip()) == [original, edited]


def test_an_unchanged_answer_is_called_the_same():
    at = ask(open_ask(made()), "The capital of France is")
    assert "**= The same:** `·Paris` stays the most probable next token" in texts(at)


def test_an_edit_that_is_off_or_of_another_model_is_not_asked():
    off, other = made(), made("tiny-llama2")
    off.on = False
    at = ask(open_ask(off, other), PROMPT)
    assert not at.exception
    assert len(at.session_state[TURNS][-1].voices) == 1
    assert "Switch one on at the left" in texts(at)


@pytest.mark.parametrize("prompt", ODD)
def test_odd_texts_are_shown_as_they_are(prompt):
    at = ask(open_ask(made()), prompt)
    assert not at.exception
    assert not at.error
    assert shown(at)[0] == prompt
    assert not any("<script" in markdown.value for markdown in at.markdown)
    assert at.session_state[TURNS][-1].voices[1].answers is not None
    compile(at.code[0].value, "shown", "exec")
    assert at.button(key="ask_suggestion_0").label == PROMPT


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("   ", "The prompt is only spaces"),
        ("x " * 120, "this model reads at most 96"),
        ("x" * 5000, "the limit is 4,000"),
    ],
)
def test_a_prompt_that_cannot_be_asked_is_kept_with_the_reason(prompt, words):
    at = open_ask()
    at.chat_input[0].set_value(prompt).run()
    assert not at.exception
    assert words in at.error[0].value.replace("\\", "")
    assert at.session_state[TURNS] == []
    field = at.chat_input[0].proto
    assert field.set_value
    assert field.value == prompt
    ask(at, PROMPT)
    assert at.session_state[PROBLEM] == ""
    assert not at.error


def test_text_streams_and_stop_ends_it_within_a_token(slow_answers):
    at = open_ask(made(), **{LENGTH: 60})
    at.chat_input[0].set_value(PROMPT).run()
    turn = at.session_state[TURNS][-1]
    assert turn.running
    assert not at.code
    slow_answers.release(2)
    assert [b.key for b in at.button if b.key == "ask_stop"] == ["ask_stop"]
    at.chat_input[0].set_value("The capital of France is").run()
    assert "still being written" in texts(at)
    assert at.chat_input[0].proto.value == "The capital of France is"
    at.button(key="ask_stop").click().run()
    slow_answers.release(2)  # the token in hand, of either model
    at = settled(at)
    assert not at.exception
    assert all(voice.job.ended_early for voice in turn.voices)
    assert sum(len(voice.text.split()) for voice in turn.voices) <= 6
    assert texts(at).count("Stopped.") == 2
    assert "ask_stop" not in [button.key for button in at.button]


def test_the_conversation_is_kept_and_bounded():
    at = open_ask(**{LENGTH: 1})
    for number in range(MOST_TURNS + 2):
        ask(at, f"Number {number}")
    known = at.session_state[TURNS]
    assert [turn.prompt for turn in known] == [f"Number {n}" for n in range(2, MOST_TURNS + 2)]
    at.switch_page("../pages/start.py").run()
    at.switch_page("../pages/ask.py").run()
    assert shown(at)[0] == "Number 2"
    assert len(at.session_state[TURNS]) == MOST_TURNS
    at.button(key="ask_clear").click().run()
    assert shown(at) == []
    assert not at.exception


def test_settings_reach_the_model():
    at = open_ask()
    at.slider(key="ask_length").set_value(3).run()
    at.slider(key="ask_temperature").set_value(1.5).run()
    at.number_input(key="ask_seed").set_value(7).run()
    at = ask(at, PROMPT)
    options = {"max_new_tokens": 3, "temperature": 1.5, "seed": 7}
    assert shown(at)[1] == core.complete(load("tiny-gpt2"), PROMPT, **options).strip()
    assert "max_new_tokens=3, temperature=1.5, seed=7" in at.code[0].value


def test_a_suggestion_is_one_click_and_knows_the_record():
    at = open_page(prompt="Jack Dorsey founded")
    at.switch_page("../pages/ask.py").run()
    at.button(key="ask_suggestion_1").click().run()
    at = settled(at)
    asked = shown(at)[0]
    assert asked == "The organisation that Jack Dorsey helped to found is"
    assert at.button(key="ask_suggestion_1").label.endswith("…")


def test_a_model_that_fails_is_a_sentence(monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("inside")

    monkeypatch.setattr("core.complete", broken)
    at = ask(open_ask(), PROMPT)
    assert not at.exception
    assert "failed unexpectedly" in at.error[0].value


def test_several_prompts_with_a_bad_row(tmp_path, monkeypatch):
    entry = made()
    rows = [PROMPT, "The capital of France is", "", "x " * 120, "a `b` | <i>"]
    at = open_ask(entry, **{KEPT: rows})
    at = ask_all(at)
    assert not at.exception
    table = at.dataframe[-1].value
    assert list(table["Prompt"]) == rows
    assert list(table["Original"])[:2] == ["·Hawaii", "·Paris"]
    assert list(table["With your edits"])[:3] == ["·Paris", "·Paris", "–"]
    results = list(table["Result"])
    assert results[:2] == ["≠ changed", "= the same"]
    assert results[2] == "⚠ The prompt is empty. Type at least one word."
    assert "this model reads at most 96" in results[3]
    assert "Your edits change the answer to 1 of 3 prompts. 2 rows could not" in texts(at)

    monkeypatch.chdir(tmp_path)
    entry.edit.save("Obama-grew-up-in-Paris.safetensors")
    again = run_code(at.code[-1].value)
    assert list(again["changed"]) == [True, False, False]
    assert list(again["prompt"]) == [rows[0], rows[1], rows[4]]


def test_the_table_without_edits_and_with_too_many_rows():
    at = open_ask(**{KEPT: [f"Prompt {n}" for n in range(23)]})
    assert "The table has 23 rows; the first 20 are asked" in at.warning[0].value
    at = ask_all(at)
    assert len(at.session_state[RESULT].rows) == 20
    assert list(at.dataframe[-1].value)[1:] == ["Original", "Original: how sure", "Result"]
    assert len(at.session_state[KEPT]) == 23
    assert list(run_code(at.code[-1].value)["prompt"])[-1] == "Prompt 19"
    at.session_state[LEDGER] = [made()]
    at.run()
    assert "have changed since" in texts(at)


def test_only_bad_rows_are_no_traceback():
    at = open_ask(**{KEPT: [""]})
    at = ask_all(at)
    assert not at.exception
    assert "1 row could not be asked" in texts(at)
    assert len(run_code(at.code[-1].value)) == 0


def test_rows_outlive_a_visit_to_another_page():
    at = open_ask(**{KEPT: ["Mine"]})
    at.switch_page("../pages/start.py").run()
    at.switch_page("../pages/ask.py").run()
    assert at.session_state[KEPT] == ["Mine"]


def test_a_table_that_is_cancelled_keeps_the_rows_that_it_has(monkeypatch):
    steps, real = threading.Semaphore(0), core.answers

    def waiting(*args, **options):
        assert steps.acquire(timeout=30)
        return real(*args, **options)

    monkeypatch.setattr("core.answers", waiting)
    at = open_ask(**{KEPT: ["One", "Two", "Three"]})
    at.button(key="ask_all").click().run()
    assert "Asking: 0 of 3 prompts" in at.get("progress")[0].proto.text
    at.switch_page("../pages/start.py").run()  # other pages work meanwhile
    assert "Asking: 0 of 3 prompts" in at.get("progress")[0].proto.text
    at.switch_page("../pages/ask.py").run()
    at.button(key=f"cancel_{ASK_ALL}").click().run()
    steps.release(9)
    at = after(at, ASK_ALL)
    assert not at.exception
    assert job_of(at, ASK_ALL).ended_early
    assert [row["prompt"] for row in at.session_state[RESULT].rows] == ["One"]
    assert "Only 1 of 3 were asked" in texts(at)


def test_the_page_needs_only_a_model():
    at = open_page(prompt="", target="")
    at.switch_page("../pages/ask.py").run()
    assert FIELD in [field.key for field in at.chat_input]
    assert not at.exception
    at = open_page(model="no/such/model")
    at.switch_page("../pages/ask.py").run()
    assert "Nothing to show yet" in at.info[0].value
    assert not at.exception


def test_bars_escape_the_models_text_and_never_claim_certainty():
    answers = pd.DataFrame({"token": ['<b>"', " x"], "probability": [0.9999, 0.0001]})
    table = answer_bars(answers, dark=False, label="<i>")
    assert "<b>" not in table
    assert "&lt;b&gt;" in table
    assert "&gt;99.9%" in table
    assert "width:max(2px,0.01%)" in table
    assert [percent(p) for p in (0.0, 0.5, 1.0)] == ["<0.1%", "50.0%", ">99.9%"]
