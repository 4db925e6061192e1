"""The README's screenshot, from the real app and a built-in model: python -m scripts.screenshot

Needs the development requirements and a Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PORT = 8597
PICTURE = ROOT / "data" / "screenshot.png"


def main() -> None:
    environment = os.environ | {
        "STREAMLIT_SERVER_PORT": str(PORT),
        "STREAMLIT_SERVER_HEADLESS": "true",
    }
    server = subprocess.Popen([sys.executable, "-m", "streamlit", "run"], cwd=ROOT, env=environment)
    try:
        wait_until_up()
        take_picture()
    finally:
        server.terminate()
        server.wait(20)


def wait_until_up() -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/_stcore/health", timeout=2)
            return
        except OSError:
            time.sleep(0.25)
    raise TimeoutError("the app did not answer within a minute")


def take_picture() -> None:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(f"http://127.0.0.1:{PORT}/backward_lens?model=tiny-gpt2&prompt=Obama+grew+up+in")
        page.get_by_test_id("stVegaLiteChart").first.locator("svg").wait_for(timeout=60_000)
        app = page.get_by_test_id("stApp")
        expect(app).to_have_attribute("data-test-script-state", "notRunning", timeout=60_000)
        page.wait_for_timeout(1000)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
