"""Asking both models in a browser, light and dark."""

import re
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

import core
from tests.browser.test_browser import WAIT, idle
from tests.conftest import PROMPT, TARGET


def made_edit(folder: Path) -> Path:
    path = folder / "obama.safetensors"
    core.edit(core.load_model("tiny-gpt2"), PROMPT, TARGET, method="forward-shift").save(path)
    return path


@pytest.fixture(scope="module")
def edit_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_edit(tmp_path_factory.mktemp("edits"))


def visit(page: Page, server: str) -> None:
    query = {"model": "tiny-gpt2", "prompt": PROMPT, "target": TARGET}
    page.goto(f"{server}/ask?{urlencode(query)}")
    expect(field(page)).to_be_visible(timeout=WAIT)
    idle(page)


def field(page: Page):
    return page.get_by_test_id("stChatInputTextArea")


def add_edit(page: Page, edit_file: Path) -> None:
    page.get_by_role("button", name="Add from a file").click()
    page.locator("input[type=file]").first.set_input_files(edit_file)
    expect(page.get_by_text("Your edits: 1 of 1 on")).to_be_visible(timeout=WAIT)
    page.keyboard.press("Escape")
    idle(page)


def ask(page: Page, prompt: str) -> None:
    field(page).fill(prompt)
    field(page).press("Enter")


def test_both_answers_stand_side_by_side(themed_page, server, edit_file):
    page = themed_page
    visit(page, server)
    expect(page.get_by_text("only the original model answers")).to_be_visible()
    add_edit(page, edit_file)
    ask(page, PROMPT)
    expect(page.get_by_text("≠ Changed:")).to_be_visible(timeout=WAIT)
    original = page.get_by_text(re.compile("^Hawaii and is"))
    edited = page.get_by_text(re.compile(r"^Paris\. "))
    expect(original).to_be_visible(timeout=WAIT)
    expect(edited).to_be_visible(timeout=WAIT)
    expect(page.get_by_role("button", name="Settings")).to_be_visible()
    expect(page.locator(".st-key-ask_stop")).to_have_count(0, timeout=WAIT)
    left, right = original.bounding_box(), edited.bounding_box()
    assert left["x"] + left["width"] <= right["x"] + 1
    assert abs(left["y"] - right["y"]) < 4
    ask(page, "<b>x</b> **y** `z`")
    asked = page.get_by_test_id("stChatMessage").get_by_text("<b>x</b> **y** `z`", exact=True)
    expect(asked).to_be_visible(timeout=WAIT)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_prompt_that_is_too_long_stays_in_the_field(page, server):
    visit(page, server)
    long = "word " * 200
    ask(page, long)
    expect(page.get_by_text("Shorten it")).to_be_visible(timeout=WAIT)
    expect(field(page)).to_have_value(long)


def test_the_answers_and_the_field_fit_on_a_laptop(page, server, edit_file):
    page.set_viewport_size({"width": 1366, "height": 768})
    visit(page, server)
    add_edit(page, edit_file)
    ask(page, PROMPT)
    expect(page.get_by_text("Show code")).to_have_count(1, timeout=WAIT)
    idle(page)
    box = field(page).bounding_box()
    assert box["y"] + box["height"] < 768


def test_several_prompts_at_once(page, server, edit_file):
    visit(page, server)
    add_edit(page, edit_file)
    page.get_by_role("button", name="Ask all").click()
    expect(page.get_by_text("Your edits change the answer to 1 of 3 prompts.")).to_be_visible(
        timeout=WAIT
    )
    expect(page.get_by_role("button", name="Download CSV")).to_have_count(1)
