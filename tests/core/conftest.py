import pytest


@pytest.fixture(scope="session", autouse=True)
def _shared_cache(tmp_path_factory):
    """Second moments of the seeded random models, computed once for all tests of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BACKWARD_LENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache of this test's own."""
    monkeypatch.setenv("BACKWARD_LENS_CACHE", str(tmp_path / "cache"))
