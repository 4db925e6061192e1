"""axe-core's rules on every page, in both themes, and the tour on a browser's first visit."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from app.shell.navigation import PAGES
from app.shell.tour import STEPS
from tests.browser.conftest import opened
from tests.browser.test_browser import WAIT, idle

GRAVE = {"serious", "critical"}


def findings(page: Page) -> list[str]:
    """What axe-core finds grave: the rule, and where. What fades in is looked at when it is
    there."""
    page.wait_for_function("document.getAnimations().every(a => a.playState !== 'running')")
    violations = Axe().run(page).response["violations"]
    return [
        f"{rule['id']} at {' '.join(map(str, node['target']))}: {node['html'][:200]}"
        for rule in violations
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("path", [page.path for page in PAGES])
def test_nothing_grave_on_any_page(themed_page, server, path):
    themed_page.goto(f"{server}/{path}?prompt=Obama+grew+up+in&target=Paris&model=tiny-gpt2")
    main = themed_page.get_by_test_id("stMain")
    expect(main.get_by_role("heading").first).to_be_visible(timeout=WAIT)
    idle(themed_page)
    assert findings(themed_page) == []


def test_the_tour_begins_once_and_by_the_keyboard(browser: Browser, server):
    window = browser.new_context(viewport={"width": 1366, "height": 768})
    with opened(window) as page:
        page.goto(server)
        for step in STEPS[:-1]:
            words = step.words.split("**")[1]
            expect(page.locator(".st-key-tour").get_by_text(words)).to_be_visible(timeout=WAIT)
            idle(page)
            assert findings(page) == []
            page.get_by_role("button", name="Next", exact=True).focus()
            page.keyboard.press("Enter")
        page.get_by_role("button", name="Close", exact=True).focus()
        page.keyboard.press("Enter")
        expect(page.locator(".st-key-tour")).to_have_count(0, timeout=WAIT)
    with opened(window) as page:
        page.goto(server)
        expect(page.get_by_role("button", name="Take the tour")).to_be_visible(timeout=WAIT)
        idle(page)
        expect(page.locator(".st-key-tour")).to_have_count(0)
    window.close()
