"""Two requests side by side in a real browser: the way there, the difference, swap, the link."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import opened
from tests.browser.test_browser import CHART, WAIT, box, chart_text, settle, type_into, visit


def sides(page: Page, left: str, right: str) -> None:
    """Until the page says that it shows these."""
    both = re.compile(f"Left: {left} .*Right: {right} ", re.DOTALL)
    expect(page.locator(".st-key-compare_sides")).to_contain_text(both, timeout=WAIT)


def go(page: Page, choice: str) -> None:
    """By the popover at the head of a page."""
    page.get_by_role("button", name="Compare with …").click()
    link, button = (page.get_by_role(role, name=choice) for role in ("link", "button"))
    link.or_(button).first.click()
    expect(page).to_have_url(re.compile("/compare"), timeout=WAIT)
    expect(page.get_by_role("heading", name="What differs?")).to_be_visible(timeout=WAIT)
    settle(page)


@pytest.fixture
def comparison(themed_page, server) -> Page:
    visit(themed_page, server, "backward_lens")
    go(themed_page, "the model's own answer")
    return themed_page


def test_from_a_page_to_two_tables_and_their_difference(comparison):
    page = comparison
    sides(page, "Obama grew up in → Paris", "Obama grew up in → Hawaii")
    expect(page.locator(CHART).nth(3)).to_contain_text("·Hawaii", timeout=WAIT)
    assert "·Paris" in chart_text(page, 2)
    boxes = [page.locator(CHART).nth(i).locator("svg").bounding_box() for i in (2, 3)]
    assert boxes[0]["y"] == boxes[1]["y"], "beside one another on a laptop"
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    backward = page.locator(".st-key-cell_compare_backward")
    backward.get_by_role("radio", name="Difference").click()
    legend = backward.locator(CHART)
    expect(legend).to_have_count(1, timeout=WAIT)
    expect(legend).to_contain_text("← Paris has more · Hawaii has more →", timeout=WAIT)
    expect(backward).to_contain_text("For Paris the signal is stronger than for Hawaii in 8 of 8")
    backward.get_by_role("radio", name="List").click()
    expect(backward.get_by_test_id("stDataFrame")).to_be_visible(timeout=WAIT)
    expect(page).to_have_url(re.compile("compare_backward_view=List"), timeout=WAIT)


def test_swap_reload_and_another_window(comparison, windows, server):
    page = comparison
    type_into(page, "Other target", "Rome")
    sides(page, "Obama grew up in → Paris", "Obama grew up in → Rome")
    page.get_by_role("button", name="Swap").click()
    sides(page, "Obama grew up in → Rome", "Obama grew up in → Paris")
    expect(page).to_have_url(re.compile("[?&]target=Rome"), timeout=WAIT)
    expect(page).to_have_url(re.compile("right_target=Paris"), timeout=WAIT)
    settle(page)
    page.reload()
    settle(page)
    sides(page, "Obama grew up in → Rome", "Obama grew up in → Paris")
    with opened(windows["light"]) as other:
        other.goto(page.url)
        settle(other)
        sides(other, "Obama grew up in → Rome", "Obama grew up in → Paris")


def test_a_link_leaves_nothing_of_an_earlier_visit(page, server):
    visit(page, server, "compare", right_prompt="Mozart grew up in", right_model="tiny-llama2")
    expect(page.get_by_text("Tiny Llama 2").first).to_be_visible(timeout=WAIT)
    page.go_back()
    visit(page, server, "forward_lens")
    go(page, "Another prompt")
    expect(box(page, "Other prompt")).not_to_have_value("")
    go(page, "the model's own answer")
    sides(page, "Obama grew up in → Paris", "Obama grew up in → Hawaii")


def test_the_history_survives_a_reload_and_leads_back(page, server):
    visit(page, server, "backward_lens", target="Dublin")
    type_into(page, "Target", "Berlin")
    expect(page.locator(CHART).first).to_contain_text("·Berlin", timeout=WAIT)
    page.reload()
    settle(page)
    page.get_by_role("button", name=re.compile("^History")).click()
    newest = page.locator("[class*=st-key-history_]").filter(has_text="→")
    expect(newest.first).to_contain_text("Obama grew up in → Berlin", timeout=WAIT)
    newest.nth(1).get_by_role("button", name="Back to it").click()
    expect(box(page, "Target")).to_have_value("Dublin", timeout=WAIT)
    expect(page.locator(CHART).first).to_contain_text("·Dublin", timeout=WAIT)
    page.get_by_role("button", name=re.compile("^History")).click()
    newest.nth(1).get_by_role("link", name="Compare with it").click()
    sides(page, "Obama grew up in → Dublin", "Obama grew up in → Berlin")


def test_the_keyboard_reaches_the_comparison(page, server):
    visit(page, server, "backward_lens")
    page.get_by_role("button", name="Compare with …").focus()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="the model's own answer")
    expect(link).to_be_visible(timeout=WAIT)
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="What differs?")).to_be_visible(timeout=WAIT)
