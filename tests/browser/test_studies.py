"""Clicks on the newer pages: a neuron, a step, a study that runs and is found again."""

import re

from playwright.sync_api import Page, expect

from tests.browser.test_browser import CHART, WAIT, box, idle, settle, visit

FIRST_RANK = f"{CHART} svg .mark-rect.role-mark path"


def open_study(page: Page, server: str, records: str = "30") -> None:
    page.goto(f"{server}/many_prompts?model=tiny-gpt2&prompt=Obama+grew+up+in&target=Paris")
    page.get_by_text("Choose prompts and start a study").click()
    limit = page.get_by_label(re.compile("How many"))
    expect(limit).to_be_visible(timeout=WAIT)
    limit.fill(records)
    limit.press("Enter")
    idle(page)


def start(page: Page) -> None:
    page.get_by_role("button", name="Start with Tiny GPT-2").click()


def test_a_study_runs_and_is_drawn(themed_page, server):
    page = themed_page
    open_study(page, server)
    start(page)
    expect(page.get_by_text("30 records of mini_counterfact.json")).to_be_visible(timeout=WAIT)
    expect(page.locator(CHART)).to_have_count(6, timeout=WAIT)
    settle(page)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.locator(CHART).nth(2)).to_contain_text("last token")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the study").click()
    assert download.value.suggested_filename == "study-tiny-gpt2-0.zip"
    link = page.url
    assert "study=" in link
    page.goto(link)
    expect(page.locator(CHART)).to_have_count(6, timeout=WAIT)


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


def test_a_chart_is_saved_as_a_picture_and_the_subject_follows_the_prompt(page, server):
    visit(page, server, "across_layers")
    expect(box(page, "Subject")).to_have_value("Obama")
    page.get_by_role("button", name="Picture").first.click()
    for form, start in (("svg", b"<svg"), ("png", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"similarity.{form}").click()
        assert download.value.path().read_bytes().startswith(start)
    page.keyboard.press("Escape")
    box(page, "Prompt").fill("Jack Dorsey founded")
    box(page, "Prompt").press("Enter")
    expect(box(page, "Subject")).to_have_value("Jack Dorsey", timeout=WAIT)
