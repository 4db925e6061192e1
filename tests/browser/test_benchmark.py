"""The Benchmark page with a mouse: a method's row, a failure opened on Edit, a file and back."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import serving
from tests.browser.test_browser import CHART, box, idle

WAIT = 120_000  # a page of four cells, at once for the first time

# The app as it is started, with an invented benchmark that ships.
SCRIPT = """
import sys
import core
from streamlit.web import cli
from tests.app.benchmarks import benchmark
made = {"tiny-gpt2": benchmark()}
core.shipped_benchmarks = lambda: made
sys.argv = ["streamlit", "run"]
cli.main()
"""


@pytest.fixture(scope="module")
def shipping() -> Iterator[str]:
    with serving(SCRIPT) as url:
        yield url


def visit(page: Page, url: str) -> None:
    page.goto(f"{url}/benchmark?model=tiny-gpt2&prompt=Obama+grew+up+in&target=Paris")
    expect(page.get_by_role("button", name="Open on Edit").first).to_be_visible(timeout=WAIT)
    expect(page.locator(f"{CHART} svg").first).to_be_visible(timeout=WAIT)


def test_the_page_opens_on_what_ships(themed_page, shipping):
    page = themed_page
    visit(page, shipping)
    expect(page.get_by_role("heading", name="Which method edits best?")).to_be_visible()
    expect(page.locator(CHART)).to_have_count(2, timeout=WAIT)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.locator(CHART).first).to_contain_text("Neighbours stay right")
    expect(page.get_by_text("ROME says the new fact most often").first).to_be_visible()


def test_a_click_on_a_row_shows_where_its_method_failed(page, shipping):
    visit(page, shipping)
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    rows = ["Unedited model", "paper", "shift", "paper", "Fine-tuning", "paper", "paper", "ROME"]
    table.locator("canvas").first.click(
        position={"x": 15, "y": 38 + 30 * rows.index("ROME") + 15}, force=True
    )
    expect(page.get_by_text(re.compile("worst failures of ROME"))).to_be_visible(timeout=WAIT)


def test_a_failure_is_opened_on_the_edit_page(page, shipping):
    visit(page, shipping)
    page.get_by_role("button", name="Open on Edit").first.click()
    heading = page.get_by_role("heading", name="Can you make it say something else?")
    expect(heading).to_be_visible(timeout=WAIT)
    expect(box(page, "Prompt")).not_to_have_value("Obama grew up in")
    expect(page.get_by_role("radio", name="As the paper does it")).to_be_checked(timeout=WAIT)


def test_a_benchmark_is_downloaded_and_opened_again(page, shipping):
    visit(page, shipping)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the benchmark").click()
    assert download.value.suggested_filename == "benchmark-tiny-gpt2-0.zip"
    file = page.locator("input[type=file]").last
    content = download.value.path().read_bytes()
    file.set_input_files({"name": "b.zip", "mimeType": "application/zip", "buffer": content})
    said = "40 records of mini_counterfact.json, seed 0, 4 methods."
    expect(page.get_by_text(said)).to_be_visible(timeout=WAIT)
    idle(page)  # a file that is offered is another one after each run
    with page.expect_download() as download:
        page.get_by_role("button", name="The table as LaTeX").click()
    assert b"\\toprule" in download.value.path().read_bytes()
