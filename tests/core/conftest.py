import pytest


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    monkeypatch.setenv("BACKWARD_LENS_CACHE", str(tmp_path / "cache"))
