"""One's own prompts in a browser: a file, pasted rows and a typed table, up to the pictures."""

import re
from pathlib import Path

from playwright.sync_api import FilePayload, Page, expect

import core
from tests.browser.conftest import opened
from tests.browser.test_browser import CHART, WAIT, settle

START = "Start with Tiny GPT-2"
TYPED = [("The dog of France is", "Rome", "France"), ("The cat of Japan is", "Oslo", "Japan")]
ROWS = "\n".join("\t".join((*row, "Paris", f"group {i}")) for i, row in enumerate(TYPED))


def open_form(page: Page, server: str, way: str = "A file") -> None:
    """Many prompts, and one's own by a way, chosen with the keyboard."""
    page.goto(f"{server}/many_prompts?model=tiny-gpt2&prompt=Obama+grew+up+in&target=Paris")
    page.get_by_text("Choose prompts and start a study").click()
    press(page, "Your own prompts")
    expect(page.get_by_role("button", name="Download a template (CSV)")).to_be_visible(timeout=WAIT)
    if way != "A file":
        press(page, way)


def press(page: Page, name: str) -> None:
    button = page.get_by_role("radio", name=name, exact=True)
    expect(button).to_be_visible(timeout=WAIT)
    button.focus()
    page.keyboard.press("Space")


def write(page: Page, text: str) -> None:
    """Into the table's cell that has the focus; the next cell has it then."""
    page.keyboard.press("Enter")
    box = page.locator("#portal textarea")
    expect(box).to_be_focused(timeout=WAIT)
    page.keyboard.insert_text(text)
    expect(box).to_have_value(text)
    page.keyboard.press("Tab")
    expect(box).to_have_count(0)


def expect_study(page: Page, said: str) -> None:
    page.get_by_role("button", name=START).click()
    expect(page.get_by_text(said)).to_be_visible(timeout=WAIT)
    expect(page.locator(CHART).nth(4)).to_be_visible(timeout=WAIT)
    settle(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_the_template_is_filled_in_and_becomes_a_study(themed_page, server):
    page = themed_page
    open_form(page, server)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download a template (CSV)").click()
    assert download.value.suggested_filename == "prompts-template.csv"
    template = Path(download.value.path()).read_bytes()
    more = "The mother tongue of Goethe is,Dutch,Goethe,German,languages"
    file: FilePayload = {
        "name": "mine.csv",
        "mimeType": "text/csv",
        "buffer": template + f"{more}\r\n,Rome,,,\r\n".encode(),
    }
    page.locator("input[type=file][accept*='.xlsx']").set_input_files(file)
    expect(
        page.get_by_text("4 prompts in 2 groups: capitals (2) and languages (2).")
    ).to_be_visible(timeout=WAIT)
    expect(page.get_by_text("1 row cannot be used and is skipped.")).to_be_visible()
    expect(page.get_by_text("Row 6: its prompt is empty.")).to_be_visible()
    expect_study(page, "4 records of mine.csv")
    assert core.prompts_template() == template


def test_pasted_rows_survive_a_reload(page, server):
    open_form(page, server, "Paste rows")
    box = page.get_by_role("textbox", name=re.compile("^Rows, as you copy"))
    box.fill(ROWS)
    page.get_by_role("button", name="Read these rows").click()
    found = page.get_by_text("2 prompts in 2 groups: group 0 (1) and group 1 (1).")
    expect(found).to_be_visible(timeout=WAIT)
    page.reload()
    expect(box).to_have_value(ROWS, timeout=WAIT)
    expect(found).to_be_visible(timeout=WAIT)
    expect_study(page, "2 records of my-prompts.csv")


def test_a_table_is_typed_into(page, server):
    open_form(page, server, "Type a table")
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible(timeout=WAIT)
    table.click(position={"x": 120, "y": 55})  # the first prompt
    for cells in TYPED:
        for text in cells:
            write(page, text)
        page.keyboard.press("ArrowDown")
        for _ in cells:
            page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("2 prompts.")).to_be_visible(timeout=WAIT)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download these prompts (CSV)").click()
    records = core.load_prompts(download.value.path(), name="my-prompts.csv")
    assert [(r.prompt, r.target_new, r.subject) for r in records] == TYPED
    page.get_by_role("radio", name="Paste rows").click()
    page.get_by_role("radio", name="Type a table").click()
    expect(page.get_by_text("2 prompts.")).to_be_visible(timeout=WAIT)


def test_nothing_is_wider_than_a_narrow_window(browser, server):
    width = 390
    window = browser.new_context(viewport={"width": width, "height": 800})
    with opened(window) as page:
        open_form(page, server, "Type a table")
        page.get_by_role("button", name="Fill in an example").click()
        expect(page.get_by_text("3 prompts in 2 groups")).to_be_visible(timeout=WAIT)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    window.close()
