"""Edit, look, undo, share; and nobody else sees anything of it."""

import re

from playwright.sync_api import Page, expect

from tests.browser.menu import go_to
from tests.browser.test_browser import CHART, WAIT, idle


def open_edit(page: Page, server: str, path: str = "edit") -> None:
    page.goto(f"{server}/{path}?model=tiny-gpt2&prompt=Jack+Dorsey+founded&target=IBM")
    idle(page)


def make(page: Page) -> None:
    page.get_by_role("button", name="Make it say").click(timeout=WAIT)
    expect(page.locator(CHART)).to_have_count(3, timeout=WAIT)
    expect(page.get_by_text("with your edits the model says the target")).to_be_visible(
        timeout=WAIT
    )


def test_edit_look_undo(themed_page, server):
    page = themed_page
    open_edit(page, server)
    make(page)
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.get_by_text("Your edits: 1 of 1 on")).to_be_visible(timeout=WAIT)
    expect(page.locator(CHART).first).to_contain_text("·IBM")
    expect(page.locator(CHART).first).to_contain_text("·Twitter")
    go_to(page, "Forward lens")
    expect(page.get_by_text("What does the model think")).to_be_visible(timeout=WAIT)
    expect(page.locator(CHART)).to_have_count(1, timeout=WAIT)  # the other page's have gone
    expect(page.locator(CHART).first).to_contain_text("The model with your edit", timeout=WAIT)
    expect(page.get_by_text("the model says").first).to_contain_text("·IBM")
    sidebar.get_by_role("button", name="Undo the last").click()
    expect(page.get_by_text("the model says").first).to_contain_text("·Twitter", timeout=WAIT)
    expect(page.locator(CHART).first).not_to_contain_text("The model with your edit", timeout=WAIT)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_second_visitor_sees_nothing_of_the_firsts_edits(page, windows, server):
    first, second = page, windows["dark"].new_page()
    open_edit(first, server)
    make(first)
    open_edit(second, server, "forward_lens")
    expect(second.get_by_text("Your edits: none")).to_be_visible(timeout=WAIT)
    expect(second.get_by_text("the model says").first).to_contain_text("·Twitter", timeout=WAIT)
    second.goto(first.url)  # not through a link either
    expect(second.get_by_text("Your edits: none")).to_be_visible(timeout=WAIT)
    second.close()


def test_an_edit_is_downloaded_and_uploaded(page, server, tmp_path):
    open_edit(page, server)
    make(page)
    idle(page)  # a run of the page closes what is open in it
    sidebar = page.get_by_test_id("stSidebar")
    sidebar.get_by_role("button", name="⋯").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    file = tmp_path / download.value.suggested_filename
    assert file.name == "Jack-Dorsey-founded-IBM.safetensors"
    download.value.save_as(file)
    open_edit(page, server)  # a new session
    expect(sidebar.get_by_text("Your edits: none")).to_be_visible(timeout=WAIT)
    sidebar.get_by_role("button", name="Add from a file").click()
    page.get_by_test_id("stPopoverBody").locator("input[type=file]").set_input_files(file)
    expect(sidebar.get_by_text("Your edits: 1 of 1 on")).to_be_visible(timeout=WAIT)


def test_all_methods_are_compared(themed_page, server):
    page = themed_page
    open_edit(page, server)
    page.get_by_role("button", name="Compare all methods").click(timeout=WAIT)
    expect(page.get_by_text(re.compile("methods make the model say"))).to_be_visible(
        timeout=3 * WAIT
    )
    expect(page.locator(CHART)).to_have_count(1)
