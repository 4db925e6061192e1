"""A lesson in a real browser: with the keyboard alone, over a reload, and for a class."""

import csv
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app.settings import WORKSHOPS
from app.workshop import store
from app.workshop.plan import Workshop, plan
from tests.browser.conftest import opened
from tests.browser.serving import serving
from tests.browser.test_browser import WAIT, idle, settle, type_into

TITLE = "Where do I begin?"


@pytest.fixture(scope="module")
def class_server(tmp_path_factory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(WORKSHOPS.name, str(tmp_path_factory.mktemp("workshops")))
        with serving() as url:
            yield url


@pytest.fixture
def workshop(class_server) -> tuple[Workshop, str, str]:
    made, code, lead = plan(time.time(), 3600, "Lens for linguists", model="tiny-gpt2")
    store.save(made)
    return made, code, lead


@pytest.fixture
def somebody(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own: what a visitor has done is kept under its cookie."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    yield context
    context.close()


def pill(page: Page, text: str):
    return page.get_by_test_id("stMain").get_by_text(text)


def open_lessons(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_role("heading", name=TITLE)).to_be_visible(timeout=WAIT)
    settle(page)


def tab_to(page: Page, name: str, role: str) -> None:
    """Press Tab until something has the focus."""
    wanted = page.get_by_test_id("stMain").get_by_role(role, name=name, exact=True)
    for _ in range(60):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"the keyboard does not reach {name}")


def test_a_lesson_with_the_keyboard_and_over_a_reload(somebody, class_server):
    with opened(somebody) as page:
        open_lessons(page, f"{class_server}/lessons?model=tiny-gpt2")
        tab_to(page, "Your answer", "textbox")
        page.keyboard.type("Honolulu")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Not yet.")).to_be_visible(timeout=WAIT)
        for name in ("Hint 1 of 3", "Hint 2 of 3", "Show me"):
            tab_to(page, name, "button")
            page.keyboard.press("Enter")
            expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0, timeout=WAIT)
            settle(page)
        expect(page.get_by_text("Here it is Hawaii")).to_be_visible(timeout=WAIT)
        expect(page.get_by_role("textbox", name="Your answer")).to_have_value("Hawaii")
        tab_to(page, "Check", "button")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Right.")).to_be_visible(timeout=WAIT)
        settle(page)
        page.get_by_role("textbox", name="What do you think?").fill("Layer 6, <b>suddenly</b>")
        page.keyboard.press("Tab")
        expect(page.get_by_text("Kept. You can change it.")).to_be_visible(timeout=WAIT)
        settle(page)
        page.reload()
        expect(page.get_by_text("You have done 1 of 6.")).to_be_visible(timeout=WAIT)
        settle(page)
        expect(pill(page, "✓ 1 What does a model expect?")).to_be_visible()
        thought = page.get_by_role("textbox", name="What do you think?")
        expect(thought).to_have_value("Layer 6, <b>suddenly</b>")
        expect(page.get_by_text("Hint 2.")).to_be_visible()
        page.get_by_role("button", name="Next: What would it learn?").click()
        expect(page.get_by_text("Lesson 2:")).to_be_in_viewport(timeout=WAIT)


def test_an_edits_lesson_leads_there_and_back(somebody, class_server):
    with opened(somebody) as page:
        open_lessons(page, f"{class_server}/lessons?model=tiny-gpt2")
        pill(page, "5 Make it believe").click()
        expect(page.get_by_text("Lesson 5: Make it believe")).to_be_visible(timeout=WAIT)
        idle(page)
        page.get_by_role("button", name="Open the page Edit").click()
        expect(page.get_by_text("Can you make it say something else?")).to_be_visible(timeout=WAIT)
        idle(page)
        expect(page.get_by_text("Lesson 5 · Make it believe")).to_be_visible()
        page.get_by_role("button", name="Make it say").click()
        expect(page.get_by_text("Your edits: 1 of 1 on")).to_be_visible(timeout=WAIT)
        idle(page)
        page.get_by_role("link", name="Back to the lesson").click()
        expect(page.get_by_role("heading", name=TITLE)).to_be_visible(timeout=WAIT)
        idle(page)
        page.get_by_role("button", name="Check").click()
        expect(page.get_by_text("With your edit the model says")).to_be_visible(timeout=WAIT)


def test_a_class_and_its_file(somebody, windows, class_server, workshop, tmp_path):
    _, code, lead = workshop
    with opened(somebody) as page:
        open_lessons(page, f"{class_server}/lessons?workshop={code}")
        type_into(page, "Your name", "=Ana")
        settle(page)
        page.get_by_role("textbox", name="In a sentence or two").fill("From a database")
        page.keyboard.press("Tab")
        expect(page.get_by_text("Kept, and sent.")).to_be_visible(timeout=WAIT)
        settle(page)
        page.get_by_role("textbox", name="Your answer").fill("hawaii")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Right.")).to_be_visible(timeout=WAIT)
    with opened(windows["dark"]) as desk:
        desk.goto(f"{class_server}/workshop?lead={lead}")
        line = "1 participant, 1 checked answer, 1 text; before and after: 0."
        expect(desk.get_by_text(line)).to_be_visible(timeout=WAIT)
        with desk.expect_download() as fetched:
            desk.get_by_test_id("stMain").get_by_role("button", name="Download CSV").click()
        file = tmp_path / fetched.value.suggested_filename
        fetched.value.save_as(file)
    assert file.name == "Lens-for-linguists-answers.csv"
    with file.open(encoding="utf-8-sig", newline="") as text:
        before, check = csv.DictReader(text)
    assert (before["kind"], before["answer"], before["name"]) == (
        "before",
        "From a database",
        "'=Ana",
    )
    assert (check["unit"], check["answer"], check["right"]) == ("1-expect", "hawaii", "yes")
    assert check["prompt"] == "Obama grew up in"
