"""Requests as the sidebar would leave them."""

from collections.abc import Callable

import pytest

import core
from app.settings import LESSONS
from app.shell.ledger import Entry
from app.shell.models import load
from app.shell.state import Request

Asked = Callable[..., Request]


@pytest.fixture(autouse=True)
def _shipped_lessons(monkeypatch):
    monkeypatch.delenv(LESSONS.name, raising=False)


@pytest.fixture
def asked() -> Asked:
    def ask(model, prompt="Obama grew up in", target="Paris", subject=None, entries=()) -> Request:
        return Request(model, prompt, target, subject, tuple(entries))

    return ask


def edited(request: Request, eta: str = "auto") -> Request:
    """The request after a press of "Make it say" on the page Edit, on top of its edits."""
    new = core.edit(
        load(request.model_name),
        request.prompt,
        request.target,
        method="forward-shift",
        subject=request.subject,
        eta=eta,
        edits=request.edits,
    )
    entries = (*request.entries, Entry(new, new.name))
    return Request(request.model_name, request.prompt, request.target, request.subject, entries)
