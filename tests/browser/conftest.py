"""The real app in a real browser. Without a Chromium these tests fail and say how to get one."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, Playwright, sync_playwright

from tests.browser.serving import PATIENCE, serving

NAMES = ("chromium", "chromium-browser", "google-chrome")
THEMES = ("light", "dark")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser" in item.nodeid:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    try:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
    except Error as error:
        pytest.fail(
            "No browser could be started for the browser tests. Install Chromium (Debian and "
            "Ubuntu: apt-get install chromium; elsewhere: .venv/bin/playwright install chromium) "
            f"and run make test again. {error}",
            pytrace=False,
        )
    yield chromium
    chromium.close()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture(scope="session")
def windows(browser: Browser) -> Iterator[dict[str, BrowserContext]]:
    """A laptop's browser for each theme. Pages of one share its cache, and open sooner for it."""
    size = {"width": 1366, "height": 1100}
    contexts = {theme: browser.new_context(viewport=size, color_scheme=theme) for theme in THEMES}
    yield contexts
    for context in contexts.values():
        context.close()


@contextmanager
def opened(window: BrowserContext) -> Iterator[Page]:
    """A new session of the app; fails on any script error in the page."""
    page = window.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        yield page
    except BaseException as error:
        error.add_note(f"The page says: {said(page)}")
        raise
    page.close()
    assert errors == []


def said(page: Page) -> str:
    """What stands on a page on which a test has failed, as far as it can still be read."""
    try:
        return page.get_by_test_id("stMain").inner_text(timeout=5000)[:800]
    except Error as error:
        return f"nothing ({error.message.splitlines()[0]})"


@pytest.fixture
def page(windows: dict[str, BrowserContext]) -> Iterator[Page]:
    """For what does not depend on the theme."""
    with opened(windows["light"]) as page:
        yield page


@pytest.fixture(params=THEMES)
def themed_page(
    windows: dict[str, BrowserContext], request: pytest.FixtureRequest
) -> Iterator[Page]:
    """Once light and once dark, for what is drawn."""
    with opened(windows[request.param]) as page:
        yield page
