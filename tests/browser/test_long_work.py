"""Long work in a browser: it grows, is cancelled, goes on without its tab, and always ends."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import test_ask, test_edit, test_edit_strength, test_studies
from tests.browser.menu import go_to
from tests.browser.serving import serving
from tests.browser.test_browser import CHART, WAIT
from tests.conftest import PROMPT

# The same app, in which work waits after its first steps until it is cancelled or the gate is open:
# a test is never late for it. Work that was cancelled leaves a file of its name beside the gate. A
# lost connection may take one second. One prompt more makes a crowded server: from its answer on,
# the collection of unused objects that follows each run of a page, and holds Python's lock, takes
# most of a second. With a look every 0.4 seconds the looks would leave the answer no time at all,
# and its cursor would blink for ever.
CROWDING = "The capital of France is"
PATIENT = f"""
import os, sys, time
from pathlib import Path
import core
from app.work import job
from streamlit.web.cli import main

job.GRACE = 1.0
GATE, crowd = Path(os.environ["GATE"]), []

def waiting(report, first):
    steps = []
    def step(*arguments):
        report(*arguments)
        steps.append(arguments)
        while len(steps) >= first and not GATE.exists():
            time.sleep(0.02)
            report(*("" if isinstance(a, str) else a for a in arguments))
    return step

def patient(name, on_step="on_step", first=4):
    real = getattr(core, name)
    def work(*arguments, **options):
        if {CROWDING!r} in arguments:
            crowd or crowd.extend([] for _ in range(12_000_000))
        else:
            options[on_step] = waiting(options[on_step], first)
        try:
            return real(*arguments, **options)
        except core.Cancelled:
            GATE.with_name(name).touch()
            raise
    setattr(core, name, work)

patient("complete", "on_token")
patient("study")
patient("edit_strength")
patient("edit", first=1)
patient("compare_methods", first=1)
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
    """Nothing is open, and nothing has been cancelled."""
    for file in gate.parent.iterdir():
        file.unlink()


def wait_for(file: Path) -> None:
    """Until the server has written it."""
    end = time.monotonic() + WAIT / 1000
    while not file.exists():
        assert time.monotonic() < end, f"no {file.name}"
        time.sleep(0.05)


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
    go_to(page, "Forward lens")  # other pages work meanwhile
    expect(page.locator(CHART)).to_have_count(1, timeout=WAIT)
    expect(page.locator(CHART).first).to_contain_text("·Hawaii", timeout=WAIT)
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar.locator(progress)).to_be_visible(timeout=WAIT)
    sidebar.get_by_role("link", name="Go to Many prompts").click()
    cancel(page)
    expect(page.get_by_text("It was cancelled after 4 of 559")).to_be_visible(timeout=WAIT)
    expect(page.locator(CHART)).to_have_count(6, timeout=WAIT)


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


@pytest.mark.parametrize(
    ("button", "name"),
    [("Make it say", "edit"), ("Compare all methods", "compare_methods")],
)
def test_closing_the_tab_ends_an_edit_or_a_comparison(windows, patient_server, gate, button, name):
    tab = windows["light"].new_page()
    test_edit.open_edit(tab, patient_server)
    tab.get_by_role("button", name=button).click(timeout=WAIT)
    expect(tab.get_by_text("the work is cancelled after")).to_be_visible(timeout=WAIT)
    assert not gate.with_name(name).exists()
    tab.close()
    wait_for(gate.with_name(name))


def test_closing_the_tab_ends_a_study_and_keeps_what_it_has(page, windows, patient_server, gate):
    tab = windows["light"].new_page()
    test_studies.open_study(tab, patient_server, "60")
    test_studies.start(tab)
    expect(tab.get_by_text("4 of 60 records")).to_be_visible(timeout=WAIT)
    expect(tab).to_have_url(re.compile("study="), timeout=WAIT)
    link = tab.url
    tab.close()
    wait_for(gate.with_name("study"))
    page.goto(link)
    expect(page.get_by_text("It was cancelled after 4 of 60")).to_be_visible(timeout=WAIT)


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
