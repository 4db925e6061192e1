"""Loading: folders that work, and a sentence for each way in which one does not."""

import json
import os
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file

from core import ModelError, is_on_this_machine, load_model, trace
from core.model.catalog import BUILTIN, BUILTIN_FOLDER
from tests.conftest import PROMPT, TARGET, random_network, tokenizer_of


@pytest.fixture(params=["gpt2", "llama"])
def folder(request, tmp_path):
    """A saved model of either architecture."""
    tokenizer = tokenizer_of({"gpt2": "tiny-gpt2", "llama": "tiny-llama2"}[request.param])
    random_network(request.param, len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def hub_error(kind: type) -> Exception:
    """An error of the hub's client without the HTTP response that it usually holds."""
    return kind.__new__(kind)


def fail_download(monkeypatch, error: Exception) -> None:
    def refuse(*_, local_files_only=False, **__):
        raise LocalEntryNotFoundError("not cached") if local_files_only else error

    monkeypatch.setattr("core.model.catalog.snapshot_download", refuse)


@pytest.mark.parametrize("name", BUILTIN)
def test_built_in_models_load(name):
    model = load_model(name)
    assert model.n_layers >= 6
    assert model.dtype == torch.float32
    assert model.tokenize(PROMPT)[-1] == " in"
    size = sum(file.stat().st_size for file in (BUILTIN_FOLDER / name).iterdir())
    assert size <= 10e6


def test_a_local_folder_loads_and_runs(folder):
    model = load_model(str(folder))
    assert trace(model, PROMPT, TARGET).loss > 0
    assert model.folder == folder
    assert is_on_this_machine(str(folder))
    assert load_model(str(folder), dtype="bfloat16").dtype == torch.bfloat16
    assert load_model(str(folder), device="cpu", dtype=torch.float64).dtype == torch.float64


@pytest.mark.parametrize("absolute", [True, False])
def test_an_index_cannot_name_weights_of_another_folder(folder, tmp_path_factory, absolute):
    secret = tmp_path_factory.mktemp("secret")
    (folder / "model.safetensors").rename(secret / "model.safetensors")
    (folder / "model-00001-of-00001.safetensors").write_bytes(b"")
    elsewhere = secret / "model.safetensors"
    named = str(elsewhere) if absolute else os.path.relpath(elsewhere, folder)
    keys = load_file(secret / "model.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(keys, named)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="there is no such file in its folder"):
        load_model(str(folder))


SHARES = [
    "\\\\server\\share",
    "//server/share",
    "\\/server/share",
    " \\\\?\\UNC\\server\\share\\m.gguf",
]


@pytest.mark.parametrize("name", SHARES)
def test_a_folder_of_another_machine_is_never_looked_at(name, monkeypatch):
    """Windows would log in there: a link to such a model must not give a password's hash away."""
    for look in ("is_dir", "is_file", "stat", "open"):
        monkeypatch.setattr(Path, look, lambda *_, **__: pytest.fail("looked"))
    assert not is_on_this_machine(name)
    with pytest.raises(ModelError, match="There is no"):
        load_model(name)


@pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="a system without /proc")
@pytest.mark.parametrize("file", ["pagemap", "environ", "mem", "auxv"])
def test_files_of_the_system_that_never_end_are_not_opened(file):
    with pytest.raises(ModelError, match="is not a GGUF file"):
        load_model(f"/proc/self/{file}")


def test_a_sharded_folder_loads(tmp_path):
    network = random_network("gpt2", 4096)
    network.save_pretrained(tmp_path, max_shard_size="200KB")
    tokenizer_of("tiny-gpt2").save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    loaded = load_model(str(tmp_path)).network.state_dict()
    for key, value in network.state_dict().items():
        assert torch.equal(loaded[key], value)


def test_unknown_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(ModelError, match="'bert'.*GPT-2 and Llama"):
        load_model(str(folder))


def test_no_folder_and_no_model_in_it(tmp_path):
    with pytest.raises(ModelError, match="There is no folder"):
        load_model(str(tmp_path / "nothing"))
    with pytest.raises(ModelError, match="holds no model"):
        load_model(str(tmp_path))
    with pytest.raises(ModelError, match="No model is named"):
        load_model("  ")


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="only safetensors are read"):
        load_model(str(folder))


@pytest.mark.parametrize("keep", [0, 5, 1000, -100])
def test_truncated_weights(folder, keep):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"damaged.*Download"):
        load_model(str(folder))


def test_weights_that_do_not_fit_the_config(folder):
    config = json.loads((folder / "config.json").read_text())
    layers = "n_layer" if "n_layer" in config else "num_hidden_layers"
    (folder / "config.json").write_text(json.dumps(config | {layers: 6}))
    with pytest.raises(ModelError, match="weights are missing"):
        load_model(str(folder))


def test_broken_config_and_missing_tokenizer(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="damaged or incomplete"):
        load_model(str(folder))
    (folder / "config.json").write_text(text)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="tokenizer|damaged or incomplete"):
        load_model(str(folder))


def test_too_little_memory_is_said_before_anything_is_loaded(folder, monkeypatch):
    monkeypatch.setattr("core.model.loading.free_memory", lambda _: 1000)
    monkeypatch.setattr(
        "core.model.loading.AutoModelForCausalLM.from_pretrained",
        lambda *_, **__: pytest.fail("allocated"),
    )
    with pytest.raises(ModelError, match=r"at least 1 MB of memory, in int8, and .* free"):
        load_model(str(folder))


def test_dtype_and_device_are_checked(folder):
    with pytest.raises(ModelError, match="dtype 'int7' is unknown.*int8"):
        load_model(str(folder), dtype="int7")
    with pytest.raises(ModelError, match="Device 'toaster' is unknown"):
        load_model(str(folder), device="toaster")


def test_hub_errors_get_sentences(monkeypatch):
    fail_download(monkeypatch, hub_error(RepositoryNotFoundError))
    with pytest.raises(ModelError, match=r"no model 'nobody/nothing'.*spelling"):
        load_model("nobody/nothing")
    fail_download(monkeypatch, hub_error(GatedRepoError))
    with pytest.raises(ModelError, match="licence.*HF_TOKEN"):
        load_model("meta-llama/Llama-2-7b-hf")
    fail_download(monkeypatch, ConnectionError("no route"))
    with pytest.raises(ModelError, match="does not answer.*built-in"):
        load_model("gpt2")
    with pytest.raises(ModelError, match="is no model name"):
        load_model("not a name!")


def test_nothing_is_downloaded_to_know_what_is_here(monkeypatch):
    fail_download(monkeypatch, AssertionError("asked the network"))
    assert not is_on_this_machine("gpt2")
    assert is_on_this_machine("tiny-gpt2")
