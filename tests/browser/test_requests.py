"""Nothing is loaded from elsewhere, by any page; and no other site can speak to the server."""

import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import streamlit
from playwright.sync_api import Browser, BrowserContext, Page, expect

from app.shell.navigation import PAGES
from tests.browser.conftest import opened
from tests.browser.menu import go_to
from tests.browser.test_browser import CHART, WAIT, idle, settle

OWN_INDEX = Path(streamlit.__file__).parent / "static" / "index.html"
ELSEWHERE = "http://elsewhere.invalid"
# What the protocol of websockets asks a client to send; the key may be any.
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "streamlit",
}


@dataclass
class Watched:
    """A browser's window, and every request that went out of it to anywhere but the server."""

    window: BrowserContext
    server: str
    asked: int = 0
    foreign: list[str] = field(default_factory=list)

    def see(self, url: str) -> None:
        self.asked += 1
        if self.is_foreign(url):
            self.foreign.append(url)

    def is_foreign(self, url: str) -> bool:
        """`data:` and `blob:` are the page's own memory."""
        parts = urlsplit(url)
        return parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.server).netloc


@pytest.fixture
def watched(browser: Browser, server: str) -> Iterator[Watched]:
    """A window of its own, with nothing in its cache: every file is asked for."""
    window = browser.new_context(viewport={"width": 1366, "height": 1100})
    watch = Watched(window, server)
    window.on("request", lambda request: watch.see(request.url))
    window.on("page", lambda page: page.on("websocket", lambda socket: watch.see(socket.url)))
    yield watch
    window.close()


def open_path(page: Page, server: str, path: str) -> None:
    inputs = {"model": "tiny-gpt2", "prompt": "Obama grew up in", "target": "Paris"}
    page.goto(f"{server}/{path}?{urlencode(inputs)}")
    idle(page)


def test_no_page_asks_anything_of_another_machine(watched):
    with opened(watched.window) as page:
        for path in [page.path for page in PAGES]:
            open_path(page, watched.server, path)
            expect(page.get_by_test_id("stMain").get_by_role("heading").first).to_be_visible()
    assert watched.asked > 100  # scripts, fonts, styles, and the pages' sockets
    assert watched.foreign == []


def test_pictures_full_screen_and_files_are_made_here(watched):
    with opened(watched.window) as page:
        open_path(page, watched.server, "backward_lens")
        settle(page)
        page.locator(CHART).first.locator("svg .mark-text.role-mark text").first.hover(force=True)
        expect(page.locator("#vg-tooltip-element")).to_be_visible(timeout=WAIT)
        page.get_by_role("button", name="Picture").first.click()
        for form in ("png", "svg"):
            with page.expect_download() as download:
                page.get_by_role("button", name=f"backward.{form}").click()
            assert download.value.path().stat().st_size > 1000
        page.keyboard.press("Escape")
        page.get_by_role("button", name=re.compile("^Fullscreen")).first.focus()
        page.keyboard.press("Enter")
        closing = page.get_by_role("button", name=re.compile("^Close fullscreen"))
        expect(closing).to_have_count(1, timeout=WAIT)
        page.keyboard.press("Escape")
        expect(closing).to_have_count(0, timeout=WAIT)
        page.get_by_text("Show code").first.click()
        expect(page.get_by_test_id("stCode").first).to_be_visible(timeout=WAIT)
    assert watched.foreign == []


def test_making_and_asking_an_edit_asks_nothing_elsewhere(watched):
    with opened(watched.window) as page:
        open_path(page, watched.server, "edit")
        page.get_by_role("button", name="Make it say").click(timeout=WAIT)
        expect(page.get_by_text("Your edits: 1 of 1 on")).to_be_visible(timeout=WAIT)
        go_to(page, "Ask")
        page.get_by_test_id("stChatInputTextArea").fill("Obama grew up in")
        page.keyboard.press("Enter")
        expect(page.get_by_test_id("stChatMessage").first).to_be_visible(timeout=WAIT)
        idle(page)
    assert watched.foreign == []


def test_the_watch_sees_what_goes_elsewhere(watched):
    """The tests above can fail: a picture, a style, a fetch and a socket of another machine's."""
    with opened(watched.window) as page:
        page.goto(watched.server)
        page.evaluate(
            """async elsewhere => {
                document.head.append(Object.assign(
                    document.createElement("link"), {rel: "stylesheet", href: `${elsewhere}/a.css`}
                ));
                await new Promise(seen => {
                    const picture = Object.assign(new Image(), {onerror: seen});
                    picture.src = `${elsewhere}/b.png`;
                });
                await fetch(`${elsewhere}/c`).catch(() => 0);
                await new Promise(seen => {
                    new WebSocket(`${elsewhere.replace("http", "ws")}/d`).onerror = seen;
                });
            }""",
            ELSEWHERE,
        )
    seen = {urlsplit(url).path for url in watched.foreign}
    assert seen == {"/a.css", "/b.png", "/c", "/d"}


def answer(server: str, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    try:
        connection.request(method, path, headers=headers)
        return connection.getresponse()
    finally:
        connection.close()


def test_the_source_is_streamlits_own(server):
    """No script, style or font of ours stands in it, and all that it names lies on the server."""
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    for path in [page.path for page in PAGES]:
        connection.request("GET", f"/{path}")
        assert connection.getresponse().read() == OWN_INDEX.read_bytes()
    connection.close()
    named = re.findall(r"""(?:src|href)=["']([^"']+)""", OWN_INDEX.read_text(encoding="utf-8"))
    assert named
    assert all(name.startswith("./") for name in named)


@pytest.mark.parametrize(("origin", "status"), [(None, 101), (ELSEWHERE, 403)])
def test_only_the_servers_own_pages_may_open_a_session(server, origin, status):
    headers = HANDSHAKE | {"Origin": origin or server}
    assert answer(server, "GET", "/_stcore/stream", **headers).status == status


def test_an_upload_needs_the_sessions_own_token(server):
    assert answer(server, "PUT", "/_stcore/upload_file/a/b", Origin=server).status == 403
    for origin in (server, ELSEWHERE):
        allowed = answer(server, "OPTIONS", "/_stcore/upload_file/a/b", Origin=origin)
        assert allowed.headers["access-control-allow-origin"] not in ("*", ELSEWHERE)


@pytest.mark.parametrize("up", ["../", "..%2f", "%2e%2e/", "..\\", "..%5c", "%2e%2e%2f", "//"])
@pytest.mark.parametrize("front", ["", "static/", "media/", "component/x/", "app/static/"])
def test_no_address_leads_out_of_the_servers_own_files(server, front, up):
    connection = http.client.HTTPConnection(urlsplit(server).netloc, timeout=30)
    for target in ("etc/passwd", "app/main.py", "README.md"):
        connection.request("GET", f"/{front}{up * 12}{target}")
        got = connection.getresponse()
        content = got.read()
        assert got.status >= 400 or content == OWN_INDEX.read_bytes()
    connection.close()
