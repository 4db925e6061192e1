"""The pages' tests begin as the server does: with the default model loaded."""

import pytest

from app.shell.models import preload_default


@pytest.fixture(scope="session", autouse=True)
def _as_the_server_begins():
    preload_default()
