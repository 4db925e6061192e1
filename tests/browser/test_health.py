"""The ledger's health meter and the table of several facts, as a visitor sees them."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import core
from tests.browser.conftest import opened
from tests.browser.serving import serving
from tests.browser.test_browser import CHART, WAIT, idle
from tests.core.edited_models import random_edit

SEVERAL = "edit?model=tiny-gpt2&prompt=Jack+Dorsey+founded&target=IBM&edit_how_many=Several+facts"
# The same app, in which health is measured only when the gate is open.
GATED = """
import os, time
from pathlib import Path
import core
from streamlit.web.cli import main

real, gate = core.health, Path(os.environ["HEALTH_GATE"])

def waiting(model, edits, *, on_step, on_measured):
    while not gate.exists():
        time.sleep(0.02)
        on_step(0, 1)
    return real(model, edits, on_step=on_step, on_measured=on_measured)

core.health = waiting
main(["run", "streamlit_app.py"])
"""


@pytest.fixture(scope="module")
def edit_files(tmp_path_factory) -> tuple[Path, Path]:
    """An edit that does nothing, and one that breaks the model."""
    model, folder = core.load_model("tiny-gpt2"), tmp_path_factory.mktemp("edits")
    made = random_edit(model, 0)
    for name, strength in (("harmless", 0.0), ("harmful", 100.0)):
        change = made.changes[0]
        changed = replace(made, name=name, changes=(replace(change, u=strength * change.u),))
        changed.save(folder / f"{name}.safetensors")
    return folder / "harmless.safetensors", folder / "harmful.safetensors"


@pytest.fixture(scope="module")
def gated(tmp_path_factory) -> Iterator[tuple[str, Path]]:
    gate = tmp_path_factory.mktemp("gate") / "open"
    os.environ["HEALTH_GATE"] = str(gate)
    try:
        with serving(GATED) as url:
            yield url, gate
    finally:
        del os.environ["HEALTH_GATE"]


def open_page(page: Page, server: str, path: str = "ask?model=tiny-gpt2") -> None:
    page.goto(f"{server}/{path}")
    idle(page)


def upload(page: Page, file: Path, number: int) -> None:
    sidebar = page.get_by_test_id("stSidebar")
    sidebar.get_by_role("button", name="Add from a file").click()
    page.get_by_test_id("stPopoverBody").locator("input[type=file]").set_input_files(file)
    expect(sidebar.get_by_text(f"Your edits: {number} of {number} on")).to_be_visible(timeout=WAIT)
    page.keyboard.press("Escape")


def meter(page: Page, says: str) -> None:
    found = page.get_by_test_id("stSidebar").get_by_role("status").filter(has_text="Health")
    expect(found).to_contain_text(says, timeout=WAIT)


def test_the_meter_says_what_to_do_and_one_click_does_it(themed_page, server, edit_files):
    page = themed_page
    open_page(page, server)
    expect(page.get_by_text("Health:")).to_have_count(0)
    upload(page, edit_files[0], 1)
    meter(page, "Health: ✓ good")
    upload(page, edit_files[1], 2)
    meter(page, "Health: ✗ bad")
    sidebar = page.get_by_test_id("stSidebar")
    sidebar.get_by_role("button", name="Switch off “harmful”").click(timeout=WAIT)
    expect(sidebar.get_by_text("Your edits: 1 of 2 on")).to_be_visible(timeout=WAIT)
    meter(page, "Health: ✓ good")
    sidebar.get_by_role("button", name="Switch 1 edit on again").click()
    meter(page, "Health: ✗ bad")
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_the_meter_comes_by_itself_and_holds_nothing_up(page, gated, edit_files):
    url, gate = gated
    gate.unlink(missing_ok=True)
    open_page(page, url)
    upload(page, edit_files[0], 1)
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.get_by_text("Health: measuring …")).to_be_visible(timeout=WAIT)
    page.goto(f"{url}/forward_lens?model=tiny-gpt2&prompt=Obama+grew+up+in&target=Paris")
    expect(page.locator(CHART)).to_have_count(1, timeout=WAIT)  # a new session, without edits
    upload(page, edit_files[1], 1)
    expect(sidebar.get_by_text("Health: measuring …")).to_be_visible(timeout=WAIT)
    page.get_by_role("radio", name="Entropy").click()  # the page goes on meanwhile
    expect(page.get_by_text("Health: measuring …")).to_be_visible(timeout=WAIT)
    gate.touch()
    meter(page, "Health: ✗ bad")
    expect(sidebar.get_by_role("button", name="Switch it off")).to_be_visible(timeout=WAIT)


def test_several_facts_are_taught_and_what_is_typed_outlives_a_reload(themed_page, server):
    page = themed_page
    open_page(page, server, SEVERAL)
    page.get_by_role("button", name="Add examples").click()
    page.get_by_role("button", name="Teach it 4 facts").click(timeout=WAIT)
    expect(page.get_by_text("With your edits the model says 4 of 4 facts")).to_be_visible(
        timeout=2 * WAIT
    )
    expect(page.locator(CHART)).to_have_count(3, timeout=WAIT)
    meter(page, "other answers stay")
    page.reload()
    idle(page)
    expect(page.get_by_role("button", name="Teach it 4 facts")).to_be_visible(timeout=WAIT)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_row_is_typed_and_a_wrong_one_is_named(page, server):
    open_page(page, server, SEVERAL)
    expect(page.get_by_role("button", name=re.compile("^Teach it"))).to_be_visible(timeout=WAIT)
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible(timeout=WAIT)
    table.click(position={"x": 600, "y": 55})  # the first row's subject
    page.keyboard.press("Enter")
    box = page.locator("#portal textarea")
    expect(box).to_be_focused(timeout=WAIT)
    box.fill("nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Row 1: The subject 'nobody' is not in the prompt.")).to_be_visible(
        timeout=WAIT
    )


def test_nothing_is_wider_than_a_narrow_window(browser: Browser, server):
    width = 390
    window = browser.new_context(viewport={"width": width, "height": 800})
    with opened(window) as page:
        open_page(page, server, SEVERAL)
        page.get_by_role("button", name="Teach it 1 fact").click(timeout=WAIT)
        expect(page.locator(CHART)).to_have_count(3, timeout=2 * WAIT)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_test_id("stExpandSidebarButton").click()
        line = page.get_by_role("status").filter(has_text="Health")
        expect(line).to_contain_text("other answers stay", timeout=WAIT)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    window.close()
