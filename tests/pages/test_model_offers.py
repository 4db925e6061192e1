"""The real model's offer, models found on this machine, and what a GGUF file's page says."""

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.shell.examples import REAL, REAL_EXAMPLES
from app.shell.model_offers import found_here
from app.shell.models import downloads, loaded
from tests.conftest import random_network, tokenizer_of
from tests.gguf_files import write_gguf

FOUND = core.FoundModel("tiny:latest", "/no/such/model.gguf", "Ollama", 4_000_000_000)
WAIT = 60


@pytest.fixture(autouse=True)
def _settings(tmp_path, monkeypatch):
    for name in ("BACKWARD_LENS_FOLDERS", "BACKWARD_LENS_DOWNLOADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BACKWARD_LENS_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(core, "found_models", lambda: (FOUND,))
    found_here.clear()
    downloads().clear()
    yield
    found_here.clear()
    downloads().clear()


def start(model="tiny-gpt2"):
    at = AppTest.from_file("../../app/main.py", default_timeout=WAIT)
    at.query_params["model"] = model
    return at.run()


def keys(at):
    return {button.key for button in at.button}


def test_a_real_model_that_is_not_here_is_fetched_with_one_click(monkeypatch):
    asked = []
    monkeypatch.setattr(core, "download_model", lambda name, on_progress: asked.append(name))
    at = start()
    button = at.button(key="fetch_real")
    assert button.label == "Fetch a real model (93 MB)"
    for words in ("Apache-2.0", "instructions", "4-bit"):
        assert words in button.help
    button.click().run()
    downloads()[REAL].thread.join(10)
    assert asked == [REAL]


def test_a_server_without_downloads_does_not_offer_it(monkeypatch):
    monkeypatch.setenv("BACKWARD_LENS_DOWNLOADS", "off")
    assert not {"fetch_real", "see_real"} & keys(start())


def test_one_that_is_here_is_shown_with_its_own_examples(monkeypatch, tmp_path):
    network = random_network("llama", 4096, layers=2).eval()
    file = write_gguf(tmp_path / "m.gguf", network, tokenizer_of("tiny-gpt2"))
    core.unpack_gguf(file, tmp_path / "models" / REAL)
    at = start()
    assert "fetch_real" not in keys(at)
    at.button(key="see_real").click().run()
    loaded().forget()
    assert not at.exception
    assert at.text_input(key="prompt").value == REAL_EXAMPLES[0].prompt
    assert at.text_input(key="target").value == REAL_EXAMPLES[0].target
    assert "see_real" not in keys(at)
    assert at.button(key="try_1").label.startswith(REAL_EXAMPLES[1].prompt)
    at.button(key="try_1").click().run()
    assert at.text_input(key="prompt").value == REAL_EXAMPLES[1].prompt
    loaded().forget()


def test_models_found_here_are_one_click_away(monkeypatch):
    at = start()
    button = at.button(key="found_0")
    assert "tiny:latest" in button.label
    assert "Ollama · 4.0 GB" in button.label
    button.click().run()
    assert at.text_input(key="other_model").value == FOUND.path
    assert "There is no file" in at.error[0].value


@pytest.mark.parametrize("folders", ["", "/srv/models"])
def test_they_are_never_listed_where_the_operator_named_folders(monkeypatch, folders):
    monkeypatch.setenv("BACKWARD_LENS_FOLDERS", folders)
    monkeypatch.setattr(core, "found_models", lambda: pytest.fail("searched"))
    assert "found_0" not in keys(start())


def test_a_gguf_file_obeys_the_operators_folders_through_links(monkeypatch, tmp_path):
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret.gguf").write_bytes(b"GGUF")
    (tmp_path / "allowed" / "link.gguf").symlink_to(tmp_path / "secret.gguf")
    monkeypatch.setenv("BACKWARD_LENS_FOLDERS", str(tmp_path / "allowed"))
    for path in (tmp_path / "secret.gguf", tmp_path / "allowed" / "link.gguf"):
        at = start(str(path))
        assert "only where its operator allows it" in at.error[0].value


def test_a_rounded_file_is_said_and_can_be_kept(tmp_path):
    from gguf import GGMLQuantizationType

    network = random_network("llama", 4096, layers=2).eval()
    kind = GGMLQuantizationType.Q4_0
    file = write_gguf(tmp_path / "m.gguf", network, tokenizer_of("tiny-gpt2"), kind)
    at = start(str(file))
    assert not at.exception
    assert any("this **4-bit file** says" in caption.value for caption in at.caption)
    at.button(key="keep_unpacked").click().run()
    downloads()[f"keep:{file}"].thread.join(30)
    at.run()
    assert any("opens at once next time" in caption.value for caption in at.caption)
    assert core.load_model(str(file)).folder.parent == tmp_path / "models"
