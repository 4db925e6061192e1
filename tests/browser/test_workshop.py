"""A room of two browsers: a participant and the facilitator of a workshop, each by a link."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from app.settings import CODES, WORKSHOPS
from app.workshop import store
from app.workshop.gate import NO_CODE
from app.workshop.plan import Workshop, plan
from tests.browser.conftest import opened
from tests.browser.menu import go_to, titles
from tests.browser.serving import serving
from tests.browser.test_browser import CHART, WAIT, box, idle, settle, type_into

MESSAGE = "Now open <b>Edit</b> & make it say **Rome**"
PINS = {"model": "tiny-gpt2", "pages": ("", "edit"), "prompt": "Ferrari Mondial, created by"}


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory) -> Iterator[str]:
    """A server that lets nobody in without a code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CODES.name, "on")
        patch.setenv(WORKSHOPS.name, str(tmp_path_factory.mktemp("workshops")))
        with serving() as url:
            yield url


@pytest.fixture
def workshop(closed_server) -> tuple[Workshop, str, str]:
    made, code, lead = plan(time.time(), 3600, "Lens for linguists", target="Nintendo", **PINS)
    store.save(made)
    return made, code, lead


@pytest.fixture
def participant(windows: dict[str, BrowserContext]) -> Iterator[Page]:
    with opened(windows["light"]) as page:
        yield page


@pytest.fixture
def facilitator(windows: dict[str, BrowserContext]) -> Iterator[Page]:
    with opened(windows["dark"]) as page:
        yield page


def in_url(page: Page) -> dict[str, str]:
    return {name: value for name, (value, *_) in parse_qs(urlsplit(page.url).query).items()}


def metric(page: Page, label: str):
    return page.get_by_test_id("stMetric").filter(has_text=label).get_by_test_id("stMetricValue")


def test_without_a_code_there_is_a_sentence(participant, closed_server):
    for path in ("", "edit", "workshop"):
        participant.goto(f"{closed_server}/{path}")
        expect(participant.get_by_text(NO_CODE)).to_be_visible(timeout=WAIT)
        idle(participant)
        expect(participant.get_by_test_id("stSidebar")).to_have_count(0)
        expect(participant.locator(CHART)).to_have_count(0)
        expect(participant.get_by_role("dialog")).to_have_count(0)


def test_the_code_is_typed_at_the_door(participant, closed_server, workshop):
    page, (_, code, _) = participant, workshop
    page.goto(f"{closed_server}/edit")
    field = page.get_by_role("textbox", name="The workshop's code")
    field.fill("kqmp-7xw3-ab9d")
    field.press("Enter")
    expect(page.get_by_text("This code opens no workshop here")).to_be_visible(timeout=WAIT)
    field.fill(code.upper().replace("-", " "))
    page.get_by_role("button", name="Come in").click()
    expect(page.get_by_text("Can you make it say something else?")).to_be_visible(timeout=WAIT)
    expect(page).to_have_url(re.compile(f"/edit.*workshop={code}"), timeout=WAIT)


def test_a_participant_and_a_facilitator(participant, facilitator, closed_server, workshop):
    made, code, lead = workshop
    page = participant
    page.goto(f"{closed_server}/?workshop={code}&model=tiny-llama2")
    settle(page)
    assert box(page, "Prompt").input_value() == made.prompt
    assert box(page, "Target").input_value() == made.target
    assert titles(page) == ["Start", "Edit"]
    page.get_by_role("combobox", name="Model").click()
    expect(page.get_by_role("option")).to_have_count(1)
    expect(page.get_by_role("option")).to_contain_text("Tiny GPT-2")
    page.keyboard.press("Escape")
    type_into(page, "Your name", "Ana <i>B</i>")

    facilitator.goto(f"{closed_server}/workshop?lead={lead}")
    expect(metric(facilitator, "People here")).to_have_text("1", timeout=WAIT)
    expect(facilitator.get_by_text("Ana <i>B</i>.", exact=True)).to_be_visible(timeout=WAIT)
    assert titles(facilitator) == ["Start", "Workshop", "Edit"]
    idle(facilitator)
    facilitator.get_by_role("textbox", name="Message").fill(MESSAGE)
    facilitator.get_by_role("button", name="Send to all").click()
    notice = page.get_by_role("status").get_by_text(MESSAGE, exact=True)
    expect(notice).to_be_visible(timeout=WAIT)
    facilitator.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("timer")).to_contain_text("left for this exercise", timeout=WAIT)

    go_to(page, "Edit")
    expect(page.get_by_text("Can you make it say something else?")).to_be_visible(timeout=WAIT)
    expect(notice).to_be_visible(timeout=WAIT)
    expect(page).to_have_url(re.compile(f"/edit.*workshop={code}"), timeout=WAIT)
    page.reload()
    expect(page.get_by_text("Can you make it say something else?")).to_be_visible(timeout=WAIT)
    expect(notice).to_be_visible(timeout=WAIT)
    facilitator.get_by_role("button", name="Take it back").click()
    expect(notice).to_have_count(0, timeout=WAIT)

    page.goto(f"{closed_server}/neurons?workshop={code}")
    expect(page.get_by_text("This page is not a part of the workshop.")).to_be_visible(timeout=WAIT)
    page.get_by_role("link", name="Go to Start").click()
    settle(page)
    page.goto("about:blank")
    expect(metric(facilitator, "People here")).to_have_text("0", timeout=WAIT)


def test_the_facilitators_code_leaves_the_address_with_the_page(
    facilitator, closed_server, workshop
):
    _, code, lead = workshop
    page = facilitator
    page.goto(f"{closed_server}/workshop?lead={lead}")
    expect(page.get_by_text(f"{closed_server}/?workshop={code}")).to_be_visible(timeout=WAIT)
    go_to(page, "Start")
    settle(page)
    assert in_url(page)["workshop"] == code
    assert "lead" not in in_url(page)
    go_to(page, "Workshop")
    expect(metric(page, "Time left")).to_be_visible(timeout=WAIT)
    expect(page).to_have_url(re.compile(f"lead={lead}"), timeout=WAIT)


def test_a_workshop_that_ends_keeps_what_was_typed(participant, closed_server, workshop):
    made, code, _ = workshop
    page = participant
    page.goto(f"{closed_server}/?workshop={code}")
    settle(page)
    type_into(page, "Prompt", "Jack Dorsey founded")
    expect(page).to_have_url(re.compile("prompt=Jack"), timeout=WAIT)
    settle(page)
    store.save(replace(made, expires=time.time() - 1))
    type_into(page, "Target", "IBM")
    expect(page.get_by_text("its time has run out")).to_be_visible(timeout=WAIT)
    idle(page)
    expect(box(page, "Prompt")).to_have_value("Jack Dorsey founded")
    expect(page).to_have_url(re.compile("target=IBM"), timeout=WAIT)
    assert in_url(page)["prompt"] == "Jack Dorsey founded"
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
