"""Long work ends, and its page says so, however long the server takes for each look at it."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.serving import serving
from tests.browser.test_ask import ask, visit
from tests.browser.test_browser import WAIT
from tests.conftest import PROMPT

# The same app on a crowded server: from the first answer on, the collection of unused objects that
# follows each run of a page, and holds Python's lock, takes most of a second. With a look every
# 0.4 seconds the looks would leave the answer no time, and its cursor would blink for ever.
CROWDED = """
import sys
import core
from streamlit.web.cli import main

real, crowd = core.complete, []

def crowded(*args, **options):
    if not crowd:
        crowd.extend([] for _ in range(12_000_000))
    return real(*args, **options)

core.complete = crowded
sys.argv = ["streamlit", "run"]
main()
"""


@pytest.fixture(scope="module")
def crowded_server() -> Iterator[str]:
    with serving(CROWDED) as url:
        yield url


def test_looks_leave_the_work_its_time(page, crowded_server):
    visit(page, crowded_server)
    ask(page, PROMPT)
    answer = page.get_by_text(re.compile(r"^Hawaii and is.*[^▌]$"))
    expect(answer).to_be_visible(timeout=2 * WAIT)
    expect(page.locator(".st-key-ask_stop")).to_have_count(0, timeout=WAIT)
    expect(page.get_by_text("Show code")).to_have_count(1, timeout=WAIT)
