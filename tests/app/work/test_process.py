"""What the process asks of the system at start."""

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

import pytest
from streamlit import net_util
from streamlit.web.server import server_util

from app.work import process


@pytest.fixture(autouse=True)
def _no_thread(monkeypatch):
    monkeypatch.setattr(process, "glibc", lambda: None)


def test_threads_that_wait_sleep_unless_the_operator_chose_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    process.begin()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    process.begin()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_no_server_elsewhere_is_asked_for_the_address(monkeypatch):
    monkeypatch.setattr(net_util, "_external_ip", None)
    process.begin()
    monkeypatch.setattr(
        net_util, "_make_blocking_http_get", lambda *_, **__: pytest.fail("something was asked")
    )
    assert not net_util.get_external_ip()
    assert not server_util.is_url_from_allowed_origins("https://elsewhere.example")


def run(work: Coroutine[object, object, None]) -> None:
    """In a thread of its own: the tests' own may have a loop, of a browser's."""
    with ThreadPoolExecutor() as pool:
        pool.submit(asyncio.run, asyncio.wait_for(work, 30)).result()


def test_freed_memory_goes_back_again_and_again(monkeypatch):
    trimmed = []

    class Library:
        def malloc_trim(self, kept: int) -> None:
            trimmed.append(kept)

    async def server() -> None:
        task = asyncio.create_task(process.give_back())
        while len(trimmed) < 3:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    monkeypatch.setattr(process, "glibc", Library)
    monkeypatch.setattr(process, "GIVE_BACK_EVERY", 0.0)
    run(server())
    assert set(trimmed) == {0}


def test_where_there_is_no_such_library_nothing_is_done():
    run(process.give_back())
