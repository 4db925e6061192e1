"""Long work in a browser: it grows, is cancelled, goes on without its tab, and always ends."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import test_ask, test_edit_strength, test_studies
from tests.browser.serving import serving
from tests.browser.test_browser import CHART, WAIT
from tests.conftest import PROMPT

# The same app, in which work waits after its fourth step until it is cancelled or the gate is open:
# a test is never late for it. One prompt more makes a crowded server: from its answer on, the
# collection of unused objects that follows each run of a page, and holds Python's lock, takes most
# of a second. With a look every 0.4 seconds the looks would leave the answer no time at all, and
# its cursor would blink for ever.
CROWDING = "The capital of France is"
PATIENT = f"""
import os, sys, time
from pathlib import Path
import core
from streamlit.web.cli import main

GATE, crowd = Path(os.environ["GATE"]), []

def waiting(report):
    steps = []
    def step(*arguments):
        report(*arguments)
        steps.append(arguments)
        while len(steps) >= 4 and not GATE.exists():
            time.sleep(0.02)
            report(*("" if isinstance(a, str) else a for a in arguments))
    return step

def patient(real, name):
    def work(*arguments, **options):
        if {CROWDING!r} in arguments:
            crowd or crowd.extend([] for _ in range(12_000_000))
        else:
            options[name] = waiting(options[name])
        return real(*arguments, **options)
    return work

core.complete = patient(core.complete, "on_token")
core.study = patient(core.study, "on_step")
core.edit_strength = patient(core.edit_strength, "on_step")
sys.argv = ["streamlit", "run"]
main()
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate") / "open"


@pytest.fixture(scope="module")
def patient_server(gate: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "GATE", str(gate))
        with serving(PATIENT) as url:
            yield url


@pytest.fixture(autouse=True)
def closed(gate: Path) -> None:
    gate.unlink(missing_ok=True)


def cancel(page: Page) -> None:
    page.get_by_role("button", name="Cancel", exact=True).click(timeout=WAIT)


def test_text_grows_and_stop_ends_it(page, patient_server, tmp_path):
    edit_file = test_ask.made_edit(tmp_path)
    test_ask.visit(page, patient_server)
    test_ask.add_edit(page, edit_file)
    test_ask.ask(page, PROMPT)
    expect(page.get_by_text(re.compile("^Hawaii and is.*▌$"))).to_be_visible(timeout=WAIT)
    expect(page.get_by_text(re.compile("^Paris.*▌$"))).to_be_visible(timeout=WAIT)
    page.locator(".st-key-ask_stop button").click()
    expect(page.get_by_text("Stopped.")).to_have_count(2, timeout=WAIT)
    expect(page.locator(".st-key-ask_stop")).to_have_count(0, timeout=WAIT)
    expect(page.get_by_text(re.compile("^Hawaii and is"))).to_be_visible()
    written = page.get_by_test_id("stChatMessage").last.inner_text()
    assert "▌" not in written
    assert "Aeroflot" not in written


def test_a_study_is_cancelled_and_keeps_what_it_has(page, patient_server):
    test_studies.open_study(page, patient_server, "559")
    test_studies.start(page)
    progress = page.get_by_text("Study of mini_counterfact.json: 4 of 559 records")
    expect(page.get_by_test_id("stMain").locator(progress)).to_be_visible(timeout=WAIT)
    page.get_by_role("link", name="Forward lens").click()  # other pages work meanwhile
    expect(page.locator(CHART)).to_have_count(1, timeout=WAIT)
    expect(page.locator(CHART).first).to_contain_text("·Hawaii", timeout=WAIT)
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.locator(progress)).to_be_visible(timeout=WAIT)
    sidebar.get_by_role("link", name="Go to Many prompts").click()
    cancel(page)
    expect(page.get_by_text("It was cancelled after 4 of 559")).to_be_visible(timeout=WAIT)
    expect(page.locator(CHART)).to_have_count(5, timeout=WAIT)


def test_a_study_that_is_kept_goes_on_without_its_tab(page, windows, patient_server, gate):
    tab = windows["light"].new_page()
    test_studies.open_study(tab, patient_server, "60")
    tab.get_by_text("Go on when I close this tab").click()
    test_studies.start(tab)
    expect(tab.get_by_text("this page's link finds it again")).to_be_visible(timeout=WAIT)
    expect(tab).to_have_url(re.compile("study="), timeout=WAIT)
    link = tab.url
    tab.close()
    gate.touch()
    page.goto(link)
    expect(page.get_by_text("60 records of mini_counterfact.json, seed 0")).to_be_visible(
        timeout=2 * WAIT
    )


def test_a_search_is_cancelled(page, patient_server):
    test_edit_strength.open_strength(page, patient_server)
    test_edit_strength.start(page)
    expect(page.get_by_text("4 of 24 steps")).to_be_visible(timeout=WAIT)
    cancel(page)
    expect(page.get_by_text("was cancelled; nothing of it is kept")).to_be_visible(timeout=WAIT)
    expect(page.locator(CHART)).to_have_count(0)
    expect(page.get_by_role("button", name=re.compile("24 searches"))).to_be_visible()


def test_looks_leave_the_work_its_time(page, patient_server):
    """The last one here: the server is crowded from now on."""
    test_ask.visit(page, patient_server)
    test_ask.ask(page, CROWDING)
    expect(page.get_by_text("Show code")).to_have_count(1, timeout=2 * WAIT)
    expect(page.locator(".st-key-ask_stop")).to_have_count(0)
    expect(page.get_by_text("▌")).to_have_count(0)
