"""Clicks on the newer pages: a neuron, a step, a study that runs, is cancelled and found again."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_browser import CHART, WAIT, box, settle, visit

FIRST_RANK = f"{CHART} svg .mark-rect.role-mark path"


def open_study(page: Page, server: str, records: str = "30") -> None:
    page.goto(f"{server}/many_prompts?model=tiny-gpt2&prompt=Obama+grew+up+in&target=Paris")
    limit = page.get_by_label(re.compile("How many"))
    expect(limit).to_be_visible(timeout=WAIT)
    limit.fill(records)
    limit.press("Enter")
    expect(page.get_by_test_id("stApp")).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=WAIT
    )


def start(page: Page) -> None:
    page.get_by_role("button", name="Start with Tiny GPT-2").click()


def test_a_study_runs_and_is_drawn(themed_page, server):
    page = themed_page
    open_study(page, server)
    start(page)
    expect(page.locator(CHART)).to_have_count(5, timeout=WAIT)
    settle(page)
    expect(page.get_by_text("30 records of mini_counterfact.json")).to_be_visible(timeout=WAIT)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.locator(CHART).nth(1)).to_contain_text("last token")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the study").click()
    assert download.value.suggested_filename == "study-tiny-gpt2-0.zip"
    link = page.url
    assert "study=" in link
    page.goto(link)
    expect(page.locator(CHART)).to_have_count(5, timeout=WAIT)


def test_a_study_is_cancelled_and_keeps_what_it_has(page, server):
    open_study(page, server, "559")
    start(page)
    progress = re.compile(r"Study of mini_counterfact.json: \d+ of 559 records")
    expect(page.get_by_test_id("stMain").get_by_text(progress)).to_be_visible(timeout=WAIT)
    page.get_by_role("link", name="Forward lens").click()  # other pages work meanwhile
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.get_by_text(progress)).to_be_visible(timeout=WAIT)
    expect(page.locator(CHART)).to_have_count(1, timeout=WAIT)
    expect(page.locator(CHART).first).to_contain_text("·Hawaii", timeout=WAIT)
    sidebar.get_by_role("link", name="Go to Many prompts").click()
    page.get_by_role("button", name="Cancel", exact=True).click(timeout=WAIT)
    expect(page.get_by_text("It was cancelled after")).to_be_visible(timeout=WAIT)
    expect(page.locator(CHART)).to_have_count(5, timeout=WAIT)


def test_a_study_that_is_kept_goes_on_without_its_tab(windows, server: str):
    page = windows["light"].new_page()
    open_study(page, server, "120")
    page.get_by_text("Go on when I close this tab").click()
    start(page)
    expect(page.get_by_text("this page's link finds it again")).to_be_visible(timeout=WAIT)
    expect(page).to_have_url(re.compile("study="), timeout=WAIT)
    link = page.url
    page.close()
    again = windows["light"].new_page()
    again.goto(link)
    expect(again.get_by_text("120 records of mini_counterfact.json, seed 0")).to_be_visible(
        timeout=2 * WAIT
    )
    again.close()


def test_a_click_on_a_column_shows_its_neuron(page, server):
    visit(page, server, "neurons")
    number = page.get_by_label(re.compile("^Neuron, 0 to 511"))
    before = number.input_value()
    page.locator(CHART).nth(1).locator("svg .mark-rect.role-mark path").nth(40).click()
    expect(number).not_to_have_value(before, timeout=WAIT)
    expect(page.get_by_text(f"Neuron {number.input_value()} is number")).to_be_visible(timeout=WAIT)


def test_the_step_moves_the_picture(page, server):
    visit(page, server, "imprint_and_shift")
    expect(page.get_by_text("Prediction and measurement agree")).to_be_visible(timeout=WAIT)
    finding = page.get_by_text(re.compile("One step of 0.1 on FF2"))
    expect(finding).to_be_visible()
    page.get_by_role("slider", name=re.compile("Size of the step")).press("ArrowRight")
    expect(page.get_by_text(re.compile("One step of 0.3 on FF2"))).to_be_visible(timeout=WAIT)


@pytest.mark.parametrize(("form", "start"), [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_a_chart_is_saved_as_a_picture(page, server, form, start):
    visit(page, server, "across_layers")
    page.get_by_role("button", name="Picture").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name=f"similarity.{form}").click()
    assert download.value.path().read_bytes().startswith(start)


def test_the_subject_follows_the_prompt(page, server):
    visit(page, server, "across_layers")
    expect(box(page, "Subject")).to_have_value("Obama")
    box(page, "Prompt").fill("Jack Dorsey founded")
    box(page, "Prompt").press("Enter")
    expect(box(page, "Subject")).to_have_value("Jack Dorsey", timeout=WAIT)
