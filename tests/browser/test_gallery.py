"""The gallery as a visitor uses it: by a link, to the next, to the live page, by keyboard."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from app.gallery.shelf import shelf
from tests.browser.test_browser import CHART, WAIT, box, idle, settle

TITLES = {name: finding.title for name, (finding, _) in shelf().items()}
NAMES = list(TITLES)


def cell(page: Page, name: str) -> Locator:
    return page.locator(f".st-key-cell_gallery_{name}")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def open_finding(page: Page, server: str, name: str, **query: str) -> None:
    more = "".join(f"&{key}={value}" for key, value in query.items())
    page.goto(f"{server}/?finding={name}{more}")
    expect(cell(page, name)).to_contain_text(TITLES[name], timeout=WAIT)
    settle(page)


def test_a_finding_is_in_sight_from_start_and_opens_with_one_click(page, server):
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto(server)
    settle(page)
    button(page, f"{TITLES[NAMES[0]]} →").click()
    expect(cell(page, NAMES[0])).to_contain_text(TITLES[NAMES[0]], timeout=WAIT)
    expect(page).to_have_url(re.compile(f"finding={NAMES[0]}"), timeout=WAIT)


def test_next_shows_the_next_picture_with_its_commentary(themed_page, server):
    page = themed_page
    open_finding(page, server, NAMES[0])
    for name in NAMES[1:]:
        button(page, "Next").click()
        expect(cell(page, name)).to_contain_text(TITLES[name], timeout=WAIT)
        expect(cell(page, name).locator(f"{CHART} svg")).to_be_visible(timeout=WAIT)
        expect(page).to_have_url(re.compile(f"finding={name}"), timeout=WAIT)
        expect(page.locator(CHART)).to_have_count(1)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_each_picture_begins_above_the_fold_of_a_laptop(page, server):
    page.set_viewport_size({"width": 1366, "height": 768})
    open_finding(page, server, NAMES[0])
    for name in NAMES:
        expect(cell(page, name)).to_contain_text(TITLES[name], timeout=WAIT)
        picture = cell(page, name).locator(f"{CHART} svg")
        expect(picture).to_be_visible(timeout=WAIT)
        idle(page)
        assert picture.bounding_box()["y"] < 450
        button(page, "Next").click()


def test_a_link_opens_the_finding_and_its_live_page_keeps_the_settings(page, server):
    open_finding(page, server, "milan")
    button(page, "Open it live").click()
    heading = page.get_by_test_id("stMain").get_by_role("heading").first
    expect(heading).to_have_text("How does one step store the target?", timeout=WAIT)
    settle(page)
    expect(box(page, "Prompt")).to_have_value("Lionel Messi plays for")
    expect(box(page, "Target")).to_have_value("Paris")
    expect(page.get_by_text("One step of 0.1 on FF2 in layer 4")).to_be_visible(timeout=WAIT)
    expect(page).to_have_url(re.compile("/imprint_and_shift.*imprint_layer_8=4"), timeout=WAIT)
    assert "prompt=Lionel" in page.url
    assert "target=Paris" in page.url
    assert "finding=" not in page.url
    page.reload()  # the link names all of it
    settle(page)
    expect(page.get_by_text("One step of 0.1 on FF2 in layer 4")).to_be_visible(timeout=WAIT)


def test_the_whole_of_it_goes_by_keyboard(page, server):
    open_finding(page, server, NAMES[0])
    following = button(page, "Next")
    following.focus()
    page.keyboard.press("Enter")
    expect(cell(page, NAMES[1])).to_contain_text(TITLES[NAMES[1]], timeout=WAIT)
    own = page.get_by_role("radio", name="Your own prompt")
    if not own.count():
        own = button(page, "Your own prompt")
    own.focus()
    page.keyboard.press("Space")
    expect(page.locator(".st-key-cell_start")).to_be_visible(timeout=WAIT)
    expect(page).not_to_have_url(re.compile("finding="), timeout=WAIT)


def test_it_fits_a_telephone(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    open_finding(page, server, "every-capital")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    for name in ("Next",):
        place = button(page, name).bounding_box()
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= 390
