"""python -m app.workshop: two links once, and a sentence for every wrong argument."""

import re
import time

import pytest

import core
from app.settings import CODES
from app.workshop import store
from app.workshop.__main__ import main
from app.workshop.codes import shared_part
from core.model.catalog import BUILTIN_FOLDER

WHOLE = [
    *("new", "--title", "Lens for linguists", "--model", "tiny-gpt2", "--expires", "8h"),
    *("--pages", "edit, start,backward_lens", "--prompt", "Obama grew up in", "--target", "Paris"),
    *("--prompt-tokens", "20", "--study-records", "50", "--jobs", "1"),
]


def output(capsys, *argv: str) -> str:
    assert main(argv) == 0
    return capsys.readouterr().out


def sentence(*argv: str) -> str:
    with pytest.raises(SystemExit) as error:
        main(argv)
    assert isinstance(error.value.code, str)
    assert error.value.code.endswith(".")
    return error.value.code


def test_new_shows_two_links_and_keeps_what_it_pins(capsys):
    shown = output(capsys, *WHOLE, "--address", "https://lens.example.org/")
    (code,) = re.findall(r"https://lens\.example\.org/\?workshop=(\S+)", shown)
    (lead,) = re.findall(r"https://lens\.example\.org/workshop\?lead=(\S+)", shown)
    assert shared_part(lead) == code
    (workshop,) = store.every()
    assert store.find(code) == (workshop, False)
    assert store.find(lead) == (workshop, True)
    assert workshop.title == "Lens for linguists"
    assert workshop.pages == ("", "backward_lens", "edit"), "in the order of the menu"
    assert (workshop.model, workshop.prompt, workshop.target) == (
        "tiny-gpt2",
        "Obama grew up in",
        "Paris",
    )
    assert (workshop.prompt_tokens, workshop.study_records, workshop.jobs) == (20, 50, 1)
    assert workshop.expires == pytest.approx(time.time() + 8 * 3600, abs=300)
    assert "open for 8 hours" in shown
    assert "without BACKWARD_LENS_CODES=on" in shown


def test_everything_may_be_left_out(capsys, monkeypatch):
    monkeypatch.setenv(CODES.name, "on")
    shown = output(capsys, "new")
    assert "http://localhost:8501/?workshop=" in shown
    assert "CODES" not in shown
    (workshop,) = store.every()
    assert workshop.pages == ()
    assert workshop.model == workshop.prompt == ""
    assert workshop.jobs is None


def test_a_folder_is_a_model_too(capsys):
    output(capsys, "new", "--model", str(BUILTIN_FOLDER / "tiny-llama2"))
    assert store.every()[0].model == str(BUILTIN_FOLDER / "tiny-llama2")


def test_a_limit_above_the_servers_is_said(capsys):
    shown = output(capsys, "new", "--prompt-tokens", "500")
    assert "the server's limit is 128 (BACKWARD_LENS_PROMPT_TOKENS)" in shown


def test_a_model_that_is_not_here_yet_is_said(capsys, monkeypatch):
    monkeypatch.setattr(core, "is_on_this_machine", lambda name: False)
    monkeypatch.setattr(core, "load_model", lambda name: pytest.fail("it is not here"))
    shown = output(capsys, "new", "--model", "gpt2", "--prompt", "x", "--target", "y")
    assert "gpt2 is not on this machine yet" in shown
    assert "was not tried" in shown


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (
            ["--pages", "start,edits"],
            "There is no page “edits”. The pages are start, lessons, my_notebook",
        ),
        (["--model", "tiny-gpt3"], "There is no model “tiny-gpt3” on this machine."),
        (["--model", "/nowhere/at/all"], "There is no folder or file “/nowhere/at/all”"),
        (["--expires", "tomorrow"], "Write it as 30m, 8h or 2d"),
        (["--expires", "0h"], "Write it as 30m, 8h or 2d"),
        (["--expires", "900d"], "366 days at most"),
        (["--prompt", "Obama grew up in"], "--prompt and --target go together"),
        (["--target", "Paris"], "--prompt and --target go together"),
        (["--prompt", "x" * 5000, "--target", "y"], "--prompt has 5,000 letters"),
        (["--prompt", "x", "--target", "y" * 300], "--target has 300 letters"),
        (["--prompt", "a\nb", "--target", "y"], "--prompt holds a line break"),
        (["--prompt", "x", "--target", "  "], "--target is only spaces"),
        (["--title", "t" * 100], "--title has 100 letters"),
        (["--prompt-tokens", "0"], "--prompt-tokens is “0”: it must be a whole number"),
        (["--study-records", "many"], "--study-records is “many”: it must be a whole number"),
        (["--jobs", "1.5"], "--jobs is “1.5”: it must be a whole number"),
        (["--address", "lens.example.org"], "“lens.example.org” is no address"),
        (["--address", "https://"], "is no address"),
        (["--colour", "red"], "Unrecognized arguments: --colour red"),
    ],
)
def test_a_wrong_argument_is_a_sentence_and_makes_nothing(arguments, why):
    assert why in sentence("new", *arguments)
    assert store.every() == []


@pytest.mark.parametrize(
    ("prompt", "target", "why"),
    [
        ("word " * 200, "Paris", "Shorten it"),
        ("Obama grew up in Hawaii", "Paris", "the pages show at most 3"),
    ],
)
def test_the_prompt_is_tried_on_the_model(prompt, target, why):
    arguments = ["--model", "tiny-gpt2", "--prompt", prompt, "--target", target]
    assert why in sentence("new", *arguments, "--prompt-tokens", "3")
    assert store.every() == []


def test_list_and_end(capsys):
    assert "There are no workshops" in output(capsys, "list")
    output(capsys, *WHOLE)
    output(capsys, "new", "--title", "Second")
    first, second = store.every()
    lines = output(capsys, "list").splitlines()
    assert lines[0].startswith(f"{second.id}  open, 7 h 59 min left  Second: any model; all pages")
    assert lines[1].endswith("Lens for linguists: tiny-gpt2; start, backward_lens, edit")
    assert "has ended" in output(capsys, "end", first.id)
    assert f"{first.id}  ended" in output(capsys, "list")
    assert "There is no workshop “nothing”" in sentence("end", "nothing")


@pytest.mark.parametrize("argv", [[], ["make"], ["end"], ["list", "all"]])
def test_a_command_that_is_none(argv):
    assert "--help shows what can be written" in sentence(*argv)


def test_a_folder_that_cannot_be_written(workshops):
    workshops.write_text("a file")
    assert "it is a file, and must be a folder" in sentence("new")
