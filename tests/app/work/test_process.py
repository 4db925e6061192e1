"""What the process asks of the system at start."""

import os

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


def test_freed_memory_goes_back_again_and_again(monkeypatch):
    class EnoughError(Exception):
        pass

    class Library:
        trimmed = 0

        def malloc_trim(self, kept):
            self.trimmed += 1
            if self.trimmed == 3:
                raise EnoughError

    library, slept = Library(), []
    monkeypatch.setattr(process.time, "sleep", slept.append)
    with pytest.raises(EnoughError):
        process.give_back(library)
    assert slept == [process.GIVE_BACK_EVERY] * 3
