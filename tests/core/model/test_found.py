"""Models of other programs: hub cache, LM Studio, Ollama; nothing that cannot be opened."""

import json

import pytest

from core import found_models, load_model
from core.model import found
from tests.conftest import random_network, tokenizer_of
from tests.gguf_files import write_gguf

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder without any model."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    monkeypatch.setenv("BACKWARD_LENS_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(found, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(found, "SMALLEST", 1000)
    monkeypatch.setattr(found, "ollama_folders", lambda: [tmp_path / "ollama"])
    return tmp_path


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    network = random_network("llama", 4096, layers=1).eval()
    folder = tmp_path_factory.mktemp("written")
    return write_gguf(folder / "m.gguf", network, tokenizer_of("tiny-gpt2")).read_bytes()


def add_manifest(home, name, digest):
    manifest = home / "ollama" / "manifests" / "registry.ollama.ai" / "library" / name / "latest"
    manifest.parent.mkdir(parents=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "f" * 64},
        {"mediaType": found.OLLAMA_MODEL, "digest": digest},
    ]
    manifest.write_text(json.dumps({"layers": layers}))


def test_nothing_where_nothing_is(home):
    assert found_models() == ()


def test_ollamas_blobs_by_their_manifests(home, written):
    blob = home / "ollama" / "blobs" / f"sha256-{DIGEST}"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(written)
    add_manifest(home, "tiny", f"sha256:{DIGEST}")
    for i, bad in enumerate(("sha256:" + "a" * 64, "sha256:../../etc/passwd", "x", None)):
        add_manifest(home, f"bad{i}", bad)
    (model,) = found_models()
    assert (model.title, model.place, model.size) == ("tiny:latest", "Ollama", len(written))
    assert load_model(model.path).n_layers == 1


def test_lm_studios_files(home, written):
    folder = home / ".lmstudio" / "models" / "publisher" / "repository"
    folder.mkdir(parents=True)
    (folder / "good.gguf").write_bytes(written)
    (folder / "cut.gguf").write_bytes(written[:5000])
    (folder / "readme.md").write_text("no model")
    (model,) = found_models()
    assert (model.title, model.place) == ("good", "LM Studio")


def test_lm_studios_folder_by_its_settings(home, written):
    folder = home / "elsewhere" / "publisher" / "repository"
    folder.mkdir(parents=True)
    (folder / "good.gguf").write_bytes(written)
    (home / ".lmstudio").mkdir()
    settings = home / ".lmstudio" / "settings.json"
    settings.write_text(json.dumps({"downloadsFolder": str(home / "elsewhere")}))
    assert [model.title for model in found_models()] == ["good"]
    settings.write_text("{")
    assert found_models() == ()


def test_the_hubs_cache(home, monkeypatch):
    for name, kind in (("owner/llama", "llama"), ("owner/bert", "bert")):
        folder = home / "hub" / f"models--{name.replace('/', '--')}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"model_type": kind}))
        (folder / "model.safetensors").write_bytes(bytes(2000))
    monkeypatch.setattr(
        found, "local_folder", lambda name: home / "hub" / f"models--{name.replace('/', '--')}"
    )
    (model,) = found_models()
    assert (model.path, model.place, model.size) == ("owner/llama", "Hugging Face", 2000)
