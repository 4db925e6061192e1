"""My notebook in a real browser: kept, reloaded, given away, and opened without a network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import THEMES
from tests.browser.test_browser import CHART, WAIT, idle

INPUTS = {"model": "tiny-gpt2", "prompt": "Obama grew up in", "target": "Paris"}


def open_at(page: Page, server: str, path: str) -> None:
    page.goto(f"{server}/{path}?{urlencode(INPUTS)}")
    idle(page)


def keep_all(page: Page) -> None:
    buttons = page.get_by_role("button", name="Keep", exact=True)
    expect(buttons.first).to_be_visible(timeout=WAIT)
    idle(page)
    cells = page.locator('[class*="st-key-cell_"]').filter(has=buttons)
    for place in range(cells.count()):
        cell = cells.nth(place)
        cell.get_by_role("button", name="Keep", exact=True).click()
        expect(cell.get_by_role("link", name="Kept ✓").first).to_be_visible(timeout=WAIT)
        idle(page)


def saved(page: Page, button: str, folder: Path) -> Path:
    """A file that the notebook's page gives."""
    page.get_by_role("button", name="Save or give away").click()
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    page.keyboard.press("Escape")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


@contextmanager
def visitor(browser: Browser, theme: str = "light") -> Iterator[Page]:
    """A browser of its own: nobody else's notebook."""
    window = browser.new_context(viewport={"width": 1366, "height": 1100}, color_scheme=theme)
    yield window.new_page()
    window.close()


@pytest.fixture(scope="module")
def files(browser: Browser, server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook of three cells and a text, in all forms."""
    folder = tmp_path_factory.mktemp("files")
    with visitor(browser) as page:
        for path in ("forward_lens", "where_learning_happens"):
            open_at(page, server, path)
            keep_all(page)
        open_at(page, server, "my_notebook")
        page.get_by_label("Title of your notebook").fill("Where is Obama from?")
        page.get_by_label("Title of your notebook").press("Enter")
        idle(page)
        for button in ("One web page", "Backward Lens (.backwardlens)"):
            saved(page, button, folder)
    return folder


def test_what_was_kept_survives_a_reload_and_is_nobody_elses(browser, server):
    with visitor(browser) as page:
        open_at(page, server, "forward_lens")
        keep_all(page)
        page.reload()
        idle(page)
        page.get_by_role("link", name="My notebook", exact=True).first.click()
        idle(page)
        title = page.get_by_role("heading", name="What each layer would say next")
        expect(title).to_be_visible(timeout=WAIT)
        expect(page.locator(CHART)).to_have_count(1, timeout=WAIT)
        page.get_by_role("button", name="Open it live").click()
        expect(page.get_by_role("heading", name="What does the model think")).to_be_visible(
            timeout=WAIT
        )
    with visitor(browser) as page:
        open_at(page, server, "my_notebook")
        expect(page.get_by_text("Nothing is kept yet")).to_be_visible(timeout=WAIT)


def test_a_text_is_written_and_moved_by_the_keyboard_alone(browser, server):
    with visitor(browser) as page:
        open_at(page, server, "my_notebook")
        page.get_by_role("button", name="Write text first").focus()
        page.keyboard.press("Enter")
        page.get_by_label("Your text").focus()
        page.keyboard.type("# Hypothesis\nCities **differ**.")
        page.keyboard.press("Control+Enter")
        idle(page)
        page.get_by_role("button", name="Done").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Hypothesis")).to_be_visible(timeout=WAIT)
        expect(page.locator(".kept strong")).to_have_text("differ")


def test_a_saved_file_opens_with_another_visitor(browser, server, files):
    with visitor(browser) as page:
        open_at(page, server, "my_notebook")
        page.get_by_role("button", name="Open a notebook").click()
        (file,) = files.glob("*.backwardlens")
        page.locator('input[type="file"]').last.set_input_files(file)
        expect(page.get_by_label("Title of your notebook")).to_have_value(
            "Where is Obama from?", timeout=WAIT
        )
        expect(page.locator(CHART)).to_have_count(4, timeout=WAIT)


@contextmanager
def offline(browser: Browser, theme: str) -> Iterator[tuple[BrowserContext, Page, list[str]]]:
    """A browser that reaches nothing; its errors, and what it asked for."""
    window = browser.new_context(viewport={"width": 1366, "height": 900}, color_scheme=theme)
    window.set_offline(True)
    page, noted = window.new_page(), []
    page.on("console", lambda message: noted.append(message.text))
    page.on("pageerror", lambda error: noted.append(str(error)))
    page.on("request", lambda request: noted.append(request.url))
    page.on("requestfailed", lambda request: noted.append(f"{request.url}: {request.failure}"))
    yield window, page, noted
    window.close()


@pytest.mark.parametrize("theme", THEMES)
def test_the_web_page_opens_without_a_network_in_its_readers_theme(browser, files, theme):
    (file,) = files.glob("*.html")
    with offline(browser, theme) as (_, page, noted):
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-drawn=yes]", timeout=WAIT)
        assert noted == [file.as_uri()]
        assert page.locator('[data-drawn="no"]').count() == 0
        shown = page.locator(".chart:visible")
        assert shown.count() == 4
        assert page.locator(".chart").count() == 8
        assert page.locator(".chart:visible svg .mark-rect path").count() > 20
        assert all(theme in (one.get_attribute("class") or "") for one in shown.all())
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (light == "rgb(255, 255, 255)") == (theme == "light")
        shown.first.locator(".mark-text text").first.hover()
        expect(page.locator("#vg-tooltip-element")).to_be_visible()
        other = {"light": "Dark", "dark": "Light"}[theme]
        page.get_by_label(other).check()
        assert page.locator(f".chart.{other.lower()}:visible").count() == 4
        page.emulate_media(media="print")
        assert page.locator(".chart.light:visible").count() == 4
        assert page.locator(".chart.dark:visible").count() == 0
        assert page.locator("fieldset:visible, details:visible").count() == 0
        assert noted == [file.as_uri()]


def test_the_web_page_runs_nothing_that_was_written_into_it(browser, files, tmp_path):
    """Whatever came into the file later: its own rule keeps it from being run or fetched."""
    (file,) = files.glob("*.html")
    text = file.read_text(encoding="utf-8")
    evil = '<script>document.title = "run"</script><img src="http://127.0.0.1:9/a.png">'
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("<main>", f"<main>{evil}"), encoding="utf-8")
    with offline(browser, "light") as (_, page, noted):
        page.goto(changed.as_uri())
        page.wait_for_selector("html[data-drawn=yes]", timeout=WAIT)
        assert page.title() == "Where is Obama from?"
        assert any("Content Security Policy" in line for line in noted)
        assert "http://127.0.0.1:9/a.png: csp" in noted  # refused before it left
