import pytest

from tests.core.mend_networks import random_mend


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    monkeypatch.setenv("BACKWARD_LENS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def any_mend(monkeypatch):
    """A random MEND network for whatever model, whose weights do not count."""
    monkeypatch.setattr("core.editing.mend.mend_network", random_mend)
