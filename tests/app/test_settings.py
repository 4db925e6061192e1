"""The operator's settings: each value is what was meant, or a sentence at start."""

from pathlib import Path

import pytest

from app import settings
from app.settings import ALL, PREFIX, Setting

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(autouse=True)
def none_set(monkeypatch):
    for setting in ALL:
        monkeypatch.delenv(setting.name, raising=False)


def read(monkeypatch, setting: Setting, text: str):
    monkeypatch.setenv(setting.name, text)
    return setting.value


def test_the_readme_has_the_table():
    assert settings.table() in README.read_text(encoding="utf-8")


def test_nothing_set_is_nothing_wrong():
    assert settings.problems() == []
    settings.require_valid()


@pytest.mark.parametrize("setting", ALL, ids=lambda s: s.name)
def test_defaults_are_told_as_they_are(setting):
    assert setting.value == setting.default
    assert setting.meaning.endswith(".")
    assert "|" not in setting.meaning + setting.shown_default


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        (settings.MEMORY, "2 GB", 2 * 10**9),
        (settings.MEMORY, "1.5gb", 15 * 10**8),
        (settings.MEMORY, " 500 MB ", 5 * 10**8),
        (settings.THREADS, "auto", None),
        (settings.THREADS, "8", 8),
        (settings.JOBS, "3", 3),
        (settings.CODES, "ON", True),
        (settings.DOWNLOADS, "no", False),
        (settings.FOLDERS, "", ()),
        (settings.EXPORTS, "", None),
        (settings.EXPORTS, "/srv/exports", Path("/srv/exports")),
    ],
)
def test_values(monkeypatch, setting, text, value):
    assert read(monkeypatch, setting, text) == value
    assert settings.problems() == []


@pytest.mark.parametrize(
    ("setting", "text", "why"),
    [
        (settings.MEMORY, "2", "as in 500 MB or 2 GB"),
        (settings.MEMORY, "lots", "as in 500 MB or 2 GB"),
        (settings.MEMORY, "-2 GB", "as in 500 MB or 2 GB"),
        (settings.MEMORY, "3 MB", "at least 50 MB"),
        (settings.MEMORY, "", "at least 50 MB"),
        (settings.THREADS, "all", "auto or a whole number from 1 to 1,024"),
        (settings.THREADS, "0", "auto or a whole number"),
        (settings.JOBS, "0", "from 1 to 100"),
        (settings.JOBS, "1.5", "a whole number"),
        (settings.JOBS, "٣", "a whole number"),
        (settings.PROMPT_TOKENS, "9999999999999999999", "from 1 to 1,024"),
        (settings.CODES, "perhaps", "on or off"),
        (settings.DOWNLOADS, "", "on or off"),
        (settings.RECORDS, "/nowhere/at/all", "there is no folder /nowhere/at/all"),
        (settings.FOLDERS, "/nowhere/at/all", "there is no folder"),
        (settings.EXPORTS, __file__, "it is a file"),
        (settings.CACHE, "~nosuchuser/x", "cannot be a folder's name"),
        (settings.MODELS, "x" * 5000, "cannot be a folder's name"),
    ],
)
def test_a_wrong_value_is_a_sentence_at_start(monkeypatch, setting, text, why):
    monkeypatch.setenv(setting.name, text)
    (problem,) = settings.problems()
    assert problem.startswith(f"{setting.name} is “{text}”: ")
    assert why in problem
    assert problem.endswith(".")
    with pytest.raises(SystemExit, match="does not start"):
        settings.require_valid()


def test_signing_in_needs_a_package(monkeypatch):
    monkeypatch.setenv(settings.LOGIN.name, "on")
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    (problem,) = settings.problems()
    assert problem.startswith("BACKWARD_LENS_LOGIN is “on”: signing in needs the package Authlib")
    monkeypatch.setattr(settings, "find_spec", lambda name: name)
    assert settings.problems() == []


def test_a_name_with_a_slip_of_the_pen_is_a_sentence_too(monkeypatch):
    monkeypatch.setenv(PREFIX + "MEMROY", "2 GB")
    assert settings.problems() == [
        "BACKWARD_LENS_MEMROY is no setting. Is BACKWARD_LENS_MEMORY meant?"
    ]


def test_all_wrong_values_are_told_at_once(monkeypatch):
    monkeypatch.setenv(settings.JOBS.name, "many")
    monkeypatch.setenv(settings.CODES.name, "some")
    with pytest.raises(SystemExit) as error:
        settings.require_valid()
    assert len(str(error.value).splitlines()) == 3
