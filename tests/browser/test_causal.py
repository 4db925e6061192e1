"""A click on a cell of a lens, in a real browser: what opens, what is framed, what stays put."""

import re

from playwright.sync_api import Locator, Page, expect

from tests.browser.test_browser import WAIT, idle, visit

LONG = "The man who was born in the old house by the river and later lived in Paris grew up in"


def picture(page: Page, key: str) -> Locator:
    return page.locator(f".st-key-{key}_chart svg.marks")


def word(page: Page, key: str, layer: int, position: int) -> Locator:
    """The word in a cell of the table with this key, by what a screen reader reads."""
    label = f"Prompt token: {position}; Layer: {layer};"
    return picture(page, key).locator(f'text[aria-label^="{label}"]')


def dashes(page: Page, key: str) -> Locator:
    """The frame around what the picked cell can reach."""
    return picture(page, key).locator("path[stroke-dasharray]")


def same_picture(page: Page, key: str) -> Locator:
    """The drawing as it is now: found later only if it is still the same one."""
    picture(page, key).evaluate("svg => { svg.dataset.mark = 'here' }")
    return page.locator(f'.st-key-{key}_chart svg[data-mark="here"]')


def cell_two(page: Page, key: str) -> Locator:
    return page.locator(f".st-key-cell_{key}")


def test_a_click_swaps_a_cell_and_the_picture_stays_put(themed_page, server):
    page = themed_page
    visit(page, server, "forward_lens")
    drawn = same_picture(page, "forward")
    expect(dashes(page, "forward")).to_have_count(0)
    word(page, "forward", 4, 3).click()
    cell = cell_two(page, "swap")
    expect(cell).to_contain_text("What if layer 4 at ·in had read something else?", timeout=WAIT)
    expect(cell).to_contain_text("the answer turns from ·Hawaii")
    expect(cell.get_by_role("table")).to_have_count(3)
    expect(cell).to_contain_text("Dashes frame the 3 cells")
    idle(page)
    expect(drawn).to_have_count(1)
    expect(dashes(page, "forward")).to_have_count(1)
    # The other prompt in a field of its own, without the rest of the page.
    field = page.get_by_role("textbox", name="Take it from this prompt")
    field.fill("Obama grew up in")
    field.press("Enter")
    expect(cell).to_contain_text("Nothing changes", timeout=WAIT)
    # Another click on the same picture.
    word(page, "forward", 2, 0).click()
    expect(cell).to_contain_text("What if layer 2 at Obama", timeout=WAIT)
    expect(cell).to_contain_text("Dashes frame the 20 cells")
    idle(page)
    expect(drawn).to_have_count(1)


def test_the_keyboard_picks_a_cell_too(page, server):
    visit(page, server, "forward_lens")
    for label, keys in (("Layer of the cell", "5"), ("Token of the cell", "2. ·grew")):
        field = page.get_by_role("combobox", name=re.compile(label))
        field.focus()
        page.keyboard.type(keys)
        page.keyboard.press("Enter")
        idle(page)
    expect(cell_two(page, "swap")).to_contain_text("What if layer 5 at ·grew", timeout=WAIT)
    idle(page)
    expect(dashes(page, "forward")).to_have_count(1)


def test_a_long_table_keeps_its_place(page, server):
    visit(page, server, "forward_lens", prompt=LONG)
    box = page.locator(".st-key-forward_chart .stVegaLiteChart")
    box.evaluate("box => { box.scrollLeft = -400 }")
    seen = box.evaluate("box => box.scrollLeft")
    assert seen != 0
    target = word(page, "forward", 3, 9)
    before = target.bounding_box()
    target.click()
    expect(cell_two(page, "swap")).to_contain_text("What if layer 3 at", timeout=WAIT)
    idle(page)
    assert box.evaluate("box => box.scrollLeft") == seen
    assert target.bounding_box() == before


def test_a_click_lets_one_cell_learn_and_keeps_it(page, server):
    visit(page, server, "backward_lens")
    word(page, "backward", 6, 3).click()
    cell = cell_two(page, "one_cell")
    expect(cell).to_contain_text("What if only layer 6 learned, from ·in alone?", timeout=WAIT)
    expect(cell).to_contain_text("and become the answer, instead of ·Hawaii")
    expect(cell).to_contain_text("Measured, the loss falls by")
    idle(page)
    slider = cell.get_by_role("slider")
    slider.focus()
    page.keyboard.press("Home")
    expect(cell).to_contain_text("with a change of 0.1% of its size", timeout=WAIT)
    page.keyboard.press("End")
    expect(cell).to_contain_text("with a change of 100% of its size", timeout=WAIT)
    idle(page)
    cell.get_by_role("button", name="Keep it as an edit").click()
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Your edits: 1 of 1 on", timeout=WAIT)
    expect(cell).to_contain_text("Kept: it is on")
    expect(cell).to_contain_text("it is the answer already")
    word(page, "backward", 7, 0).click()
    expect(cell).to_contain_text("Nothing would change: δ is zero here", timeout=WAIT)
