"""A study of two groups in a real browser: its panels, its sentence, and a narrow window."""

import dataclasses
import re

import pytest
from playwright.sync_api import Page, expect

import core
from core.studies.counterfact import MINI_COUNTERFACT
from tests.browser.test_browser import CHART, WAIT, idle


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    """The zip of a study of 40 prompts in two groups."""
    records = list(core.load_counterfact(MINI_COUNTERFACT))[:40]
    named = [
        dataclasses.replace(record, group=("North", "South")[i % 2])
        for i, record in enumerate(records)
    ]
    path = tmp_path_factory.mktemp("study") / "groups.zip"
    path.write_bytes(core.study(core.load_model("tiny-gpt2"), named).as_zip())
    return str(path)


def open_groups(page: Page, server: str, file: str) -> None:
    page.goto(f"{server}/many_prompts?model=tiny-gpt2&prompt=Obama+grew+up+in&target=Paris")
    upload = page.locator(".st-key-study_file input[type=file]")
    upload.wait_for(state="attached", timeout=WAIT)
    upload.set_input_files(file)
    expect(page.get_by_text("Groups of prompts:")).to_be_visible(timeout=WAIT)
    idle(page)


def test_groups_stand_side_by_side_with_their_difference(themed_page, server, file):
    page = themed_page
    open_groups(page, server, file)
    norms = page.locator(".st-key-cell_study_norms")
    expect(norms.locator(CHART)).to_have_count(3, timeout=WAIT)
    expect(norms).to_contain_text(re.compile("95% interval|No difference"))
    for i, title in enumerate(("North", "South", "North minus South")):
        expect(norms.locator(CHART).nth(i).locator("svg")).to_contain_text(title, timeout=WAIT)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    tops = [norms.locator(CHART).nth(i).bounding_box()["y"] for i in (0, 1)]
    assert tops[0] == tops[1]


def test_the_layer_compared_is_chosen_by_keyboard(page, server, file):
    open_groups(page, server, file)
    box = page.get_by_role("combobox", name=re.compile("Compared at"))
    box.focus()
    box.press("ArrowDown")
    box.press("ArrowDown")
    box.press("Enter")
    expect(page.get_by_text(re.compile(r"at the last token \(layer \d\)")).first).to_be_visible(
        timeout=WAIT
    )


def test_in_a_narrow_window_panels_stand_below_each_other_and_scroll(page, server, file):
    page.set_viewport_size({"width": 390, "height": 800})
    open_groups(page, server, file)
    panels = page.locator(".st-key-cell_study_norms").locator(CHART)
    expect(panels).to_have_count(3, timeout=WAIT)
    expect(panels.nth(1).locator("svg")).to_contain_text("South", timeout=WAIT)
    first, second = (panels.nth(i).bounding_box() for i in (0, 1))
    assert second["y"] > first["y"] + first["height"] / 2
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    scrolls = panels.first.evaluate(
        """one => { for (let e = one; e; e = e.parentElement) {
            if (e.scrollWidth > e.clientWidth + 20 &&
                ["auto", "scroll"].includes(getComputedStyle(e).overflowX)) return true }
            return false }"""
    )
    assert scrolls
