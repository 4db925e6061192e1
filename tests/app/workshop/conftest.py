"""Each test has a folder for workshops of its own."""

import pytest

from app.settings import CODES, LOGIN, WORKSHOPS


@pytest.fixture(autouse=True)
def workshops(tmp_path, monkeypatch):
    monkeypatch.setenv(WORKSHOPS.name, str(tmp_path / "workshops"))
    monkeypatch.delenv(CODES.name, raising=False)
    monkeypatch.delenv(LOGIN.name, raising=False)
    return tmp_path / "workshops"
