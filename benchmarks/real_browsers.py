"""Real browsers beside the room's sessions: what a person at a screen waits for a page."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from benchmarks.visitor import new_prompt

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 120_000  # milliseconds for one page


@contextmanager
def watching(
    address: str, browsers: int, page: str, model: str, think: float
) -> Iterator[list[float]]:
    """Chromium windows that open the page and type another prompt, for as long as the block runs.

    Gives the seconds of each, from the click to the picture.
    """
    times: list[float] = []
    over = threading.Event()
    url = f"{address.replace('ws:', 'http:').partition('/_stcore')[0]}/{page}"
    given = (url, model, think, times, over)
    threads = [threading.Thread(target=one, args=given) for _ in range(browsers)]
    for thread in threads:
        thread.start()
    yield times
    over.set()
    for thread in threads:
        thread.join()


def one(url: str, model: str, think: float, times: list[float], over: threading.Event) -> None:
    rng = random.Random(threading.get_ident())
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": 1366, "height": 768})
        while not over.is_set():
            query = urlencode({"model": model, "prompt": new_prompt(), "target": "Paris"})
            begun = time.perf_counter()
            window.goto(f"{url}?{query}")
            whole(window)
            times.append(time.perf_counter() - begun)
            over.wait(rng.uniform(0, think))
            field = window.get_by_role("textbox", name="Prompt").first
            field.fill(new_prompt())
            begun = time.perf_counter()
            field.press("Enter")
            window.wait_for_timeout(50)  # until the browser has sent it
            whole(window)
            times.append(time.perf_counter() - begun)
            over.wait(rng.uniform(0, think))
        browser.close()


def whole(window: Page) -> None:
    """Wait until the script has run and its picture is drawn."""
    window.locator("[data-testid=stVegaLiteChart] svg").first.wait_for(timeout=PATIENCE)
    window.wait_for_function(
        "document.querySelector('[data-testid=stApp]').dataset.testScriptState == 'notRunning'",
        timeout=PATIENCE,
    )
