"""The page on edit strength in a browser: a search runs and is drawn."""

import re

from playwright.sync_api import Page, expect

from tests.browser.test_browser import CHART, WAIT, chart_text, settle


def open_strength(page: Page, server: str) -> None:
    page.goto(f"{server}/edit_strength?model=tiny-gpt2&prompt=Obama+grew+up+in&target=Paris")
    expect(page.get_by_role("button", name=re.compile("24 searches"))).to_be_visible(timeout=WAIT)


def start(page: Page) -> None:
    page.get_by_role("button", name=re.compile("24 searches")).click()


def test_a_search_runs_and_is_drawn(themed_page, server):
    page = themed_page
    open_strength(page, server)
    start(page)
    expect(page.locator(CHART)).to_have_count(2, timeout=WAIT)
    settle(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_text(re.compile("Least is needed by"))).to_be_visible()
    assert "Smallest rate that works (log scale)" in chart_text(page)
    assert "one step of Adam" in chart_text(page)
    expect(page.locator(CHART).nth(1)).to_contain_text("the unedited model", timeout=WAIT)
    marks = page.locator(CHART).first.locator("svg .mark-symbol.role-mark path")
    expect(marks).to_have_count(24)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").first.click()
    assert download.value.suggested_filename == "strength_rates.csv"
