"""The precision that fits: chosen from what is free, kept in memory as the file says, refused."""

import pytest
import torch

from core import ModelError, load_model, trace
from core.model.architectures import GPT2, LLAMA
from core.model.precision import Sizes, choose
from core.model.weights import sizes_of
from tests.conftest import PROMPT, TARGET, random_network, tokenizer_of

# 100 numbers, 80 of them in matrices of 10 rows: needs 440, 220 and 1.1 (80 + 40 + 40) = 176 bytes
SIZES = Sizes(parameters=100, matrices=80, rows=10)


@pytest.fixture(params=["gpt2", "llama"])
def folder(request, tmp_path):
    tokenizer = tokenizer_of({"gpt2": "tiny-gpt2", "llama": "tiny-llama2"}[request.param])
    random_network(request.param, len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def chosen(free: int, wanted: str | None = None, places: tuple[str, ...] = ("cpu",)):
    return choose("it", SIZES, wanted, places, lambda _: free)


@pytest.mark.parametrize(
    ("free", "kind"),
    [(440, "float32"), (439, "bfloat16"), (220, "bfloat16"), (219, "int8"), (176, "int8")],
)
def test_the_most_exact_one_that_fits(free, kind):
    assert [SIZES.need(k) for k in ("float32", "bfloat16", "int8")] == [440, 220, 176]
    choice = chosen(free)
    assert choice.precision.name == kind
    assert choice.precision.reason


def test_an_accelerator_comes_first_and_the_cpu_last():
    free = {"cuda:0": 200, "cpu": 10**6}
    choice = choose("it", SIZES, None, ("cuda:0", "cpu"), free.get)
    assert (choice.place, choice.precision.name) == ("cuda:0", "int8")
    free["cuda:0"] = 100
    choice = choose("it", SIZES, None, ("cuda:0", "cpu"), free.get)
    assert (choice.place, choice.precision.name) == ("cpu", "float32")


def test_a_refusal_names_the_smallest_need():
    big = Sizes(parameters=10**10, matrices=8 * 10**9, rows=10**6)
    with pytest.raises(ModelError, match=r"at least 13\.2 GB of memory, in int8, and 12\.0 GB"):
        choose("it", big, None, ("cpu",), lambda _: 12 * 10**9)
    with pytest.raises(ModelError, match=r"44\.0 GB of memory in float32.*'bfloat16' fits.*13\.2"):
        choose("it", big, "float32", ("cpu",), lambda _: 30 * 10**9)


def test_load_model_follows_the_memory(folder, monkeypatch):
    architecture = GPT2 if "h.0" in str(folder_keys(folder)) else LLAMA
    sizes = sizes_of(folder, architecture)
    for kind in ("float32", "bfloat16", "int8"):
        need = sizes.need(kind)
        monkeypatch.setattr("core.model.loading.free_memory", lambda _, need=need: need)
        model = load_model(str(folder), device="cpu")
        assert model.precision.name == kind
        assert trace(model, PROMPT, TARGET).loss > 0
    monkeypatch.setattr("core.model.loading.free_memory", lambda _: sizes.need("int8") - 1)
    with pytest.raises(ModelError, match=r"at least .* in int8"):
        load_model(str(folder), device="cpu")


def folder_keys(folder):
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        return list(file.keys())


@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_weights_are_those_of_the_file_before_and_after(folder, kind):
    exact = load_model(str(folder), device="cpu", dtype="float32")
    model = load_model(str(folder), device="cpu", dtype=kind)
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    trace(model, PROMPT, TARGET)
    for name, module in exact.network.named_modules():
        for part, value in module.named_parameters(recurse=False):
            got = getattr(model.network.get_submodule(name), part).float()
            step = value.abs().amax(-1, keepdim=True) / 127 if kind == "int8" else 0
            limit = 0.501 * step + 2**-8 * value.abs()
            assert ((got - value).abs() <= limit).all(), f"{name}.{part}"
    after = model.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_bfloat16_file_is_kept_bit_by_bit(folder):
    network = random_network("llama", 4096).bfloat16()
    network.save_pretrained(folder)
    tokenizer_of("tiny-llama2").save_pretrained(folder)
    model = load_model(str(folder), device="cpu", dtype="bfloat16")
    for name, value in network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name].bfloat16(), value)
    assert trace(model, PROMPT, TARGET).factors["ff2"].delta.dtype == torch.float32


def test_missing_weights_are_refused_in_every_precision(folder):
    import json

    config = json.loads((folder / "config.json").read_text())
    layers = "n_layer" if "n_layer" in config else "num_hidden_layers"
    (folder / "config.json").write_text(json.dumps(config | {layers: 6}))
    with pytest.raises(ModelError, match="weights are missing"):
        load_model(str(folder), dtype="int8", device="cpu")
