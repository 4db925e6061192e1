"""Published MEND files: read right, and refused without running anything of theirs."""

import os
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config

from core import EditError, edit, load_model
from core.editing import mend_files
from core.editing.gradient_step import descent
from core.editing.mend_import import Inert, published_network, read_published
from core.editing.mend_network import MendNetwork, keep_mend_network, mend_network, usual_sites
from core.model.edits import Change, Fact
from scripts import import_mend
from tests.conftest import random_model

FACT = Fact("Obama grew up in", "Obama", "Paris")
RANK, MODES = 7, 3


def published_content(
    d_model: int = 32, d_mlp: int = 128, start: str = "mend", seed: int = 0
) -> dict:
    """What the published code saves: dict(model, opt, lr_opt, ...) with GPT2Config as it is."""
    torch.manual_seed(seed)
    width = d_model + d_mlp
    model: dict[str, object] = {"edit_lrs": torch.tensor([-0.3, 0.2, 0.5, 0.1, -0.4, 0.6])}
    for d_in, d_out in ((d_model, d_mlp), (d_mlp, d_model)):
        own = f"{start}.({d_in}, {d_out})."
        for side, size in (("u", d_in), ("v", d_out)):
            model[f"{own}{side}_mean"] = torch.randn(size)
            model[f"{own}{side}_std"] = torch.rand(size) + 0.1
            model[f"{own}{side}_s"] = torch.rand(size)
        model[f"{own}k"] = torch.tensor([1234.0])
        for layer in range(2):
            part = f"{own}mlp.layers.{layer}."
            model[f"{part}u"] = 0.1 * torch.randn(width, RANK)
            model[f"{part}v"] = torch.randn(RANK, width)
            model[f"{part}bias"] = 0.1 * torch.randn(width)
            model[f"{part}mode_shift.weight"] = 0.1 * torch.randn(MODES, width)
            model[f"{part}mode_scale.weight"] = 1 + 0.1 * torch.randn(MODES, width)
    model["model_config"] = GPT2Config(n_embd=d_model, n_layer=4, n_head=4)
    moments = {"state": {0: {"step": 3, "exp_avg": torch.randn(width, RANK)}}, "param_groups": []}
    return {
        "model": model,
        "opt": moments,
        "lr_opt": None,
        "val_stats": {"edit/acc_val": 0.9, "loss/total_val": 1.5},
        "start_time": "20211102.1035.7",
        "elapsed_time": 12345.6,
        "step": 99,
    }


def saved(folder: Path, content: object) -> Path:
    path = folder / "mend-10tok-tiny.pt"
    torch.save(content, path)
    return path


def by_hand(content: dict, x: Tensor, delta: Tensor, mode: int, rate: float) -> Tensor:
    """MEND's change of one matrix (d_in, d_out), written down anew from the published formulas."""
    (d_in, d_out), entries = (x.shape[1], delta.shape[1]), content["model"]
    own = {
        key.split(").", 1)[1]: value
        for key, value in entries.items()
        if f"({d_in}, {d_out})." in key
    }
    total = torch.zeros(d_in, d_out)
    for x_i, delta_i in zip(x, delta, strict=True):
        if not x_i.any() or not delta_i.any():
            continue
        u = (x_i - own["u_mean"]) / (own["u_std"] + 1e-7)
        v = (delta_i - own["v_mean"]) / (own["v_std"] + 1e-7)
        y = torch.cat([u, v])
        for n in range(2):
            layer = {
                part: own[f"mlp.layers.{n}.{part}"]
                for part in ("u", "v", "bias", "mode_shift.weight", "mode_scale.weight")
            }
            inner = layer["u"] @ (layer["v"] @ y) + layer["bias"]
            inner = layer["mode_scale.weight"][mode] * inner + layer["mode_shift.weight"][mode]
            y = y + inner.clamp(min=0)
        total += rate * torch.outer(y[:d_in], y[d_in:])
    return total


def step_of(model) -> list[Change]:
    step, _ = descent(model, FACT, ("ff1", "ff2"), (1, 2, 3))
    return step


@pytest.mark.parametrize("start", ["mend", "gtn"])
@pytest.mark.parametrize("published_order", [False, True])
def test_an_imported_network_edits_as_the_published_formulas(tmp_path, start, published_order):
    model, content = random_model("gpt2"), published_content(start=start)
    path = saved(tmp_path, content)
    network = published_network(path, model, published_order=published_order)
    step = step_of(model)
    changes = network.edit(step)
    assert {(c.matrix, c.layer) for c in changes} == {(c.matrix, c.layer) for c in step}
    lrs = content["model"]["edit_lrs"].tolist()
    for change, gradient in zip(changes, step, strict=True):
        mode = change.layer - 1
        second = change.matrix == ("ff2" if published_order else "ff1")
        expected = by_hand(
            content, gradient.u.mT, -gradient.v.mT, mode, lrs[2 * mode + int(second)]
        )
        largest = float(expected.abs().max())
        assert largest > 1e-3
        assert float((change.weight_change - expected).abs().max()) < 1e-5 * largest
        assert change.rank <= gradient.rank


def test_the_learning_rates_of_the_training_go_to_ff2_first(tmp_path):
    path = saved(tmp_path, published_content())
    trained, swapped = (
        read_published(path, 32, 128, published_order=order) for order in (False, True)
    )
    torch.testing.assert_close(trained.rates["ff2"], torch.tensor([-0.3, 0.5, -0.4]))
    torch.testing.assert_close(trained.rates["ff1"], torch.tensor([0.2, 0.1, 0.6]))
    torch.testing.assert_close(swapped.rates["ff1"], trained.rates["ff2"])
    torch.testing.assert_close(swapped.rates["ff2"], trained.rates["ff1"])


def test_what_was_imported_is_kept_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKWARD_LENS_CACHE", str(tmp_path / "cache"))
    model = random_model("gpt2")
    network = published_network(saved(tmp_path, published_content()), model)
    keep_mend_network(model, network)
    found = mend_network(model)
    assert found is not None
    assert found.sites == network.sites == usual_sites(model)
    assert found.made == {"imported": "mend-10tok-tiny.pt", "published_order": False}
    assert found.tensors.keys() == network.tensors.keys()
    for name, tensor in network.tensors.items():
        assert torch.equal(found.tensors[name], tensor)
    made = edit(model, FACT.prompt, FACT.target, method="mend")
    assert made.layers == (1, 2, 3)
    for change, expected in zip(made.changes, network.edit(step_of(model)), strict=True):
        largest = float(expected.weight_change.abs().max())
        assert float((change.weight_change - expected.weight_change).abs().max()) < 1e-4 * largest
    elsewhere = random_model("gpt2", seed=1)
    assert mend_network(elsewhere) is None


def test_a_disk_that_cannot_be_written_is_an_oserror_with_its_reason(tmp_path):
    with pytest.raises(OSError, match="No such file or directory") as raised:
        mend_files.write(tmp_path / "nowhere" / "x", {}, {"alpha": torch.zeros(3)}, torch.float32)
    assert raised.value.strerror


class Runs:
    """Pickles as a call of os.system that leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


class Evaluates(Runs):
    def __reduce__(self):
        return eval, (f"open({str(self.mark)!r}, 'w')",)


class Opens(Runs):
    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.mark.parametrize("hostile", [Runs, Evaluates, Opens])
@pytest.mark.parametrize("place", ["whole", "model", "config", "opt"])
def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path, hostile, place):
    mark = tmp_path / "mark"
    content = published_content()
    if place == "whole":
        content = hostile(mark)
    elif place == "config":
        content["model"]["model_config"].label2id = hostile(mark)
    elif place == "model":
        content["model"]["extra"] = hostile(mark)
    else:
        content["opt"] = [hostile(mark)]
    path = saved(tmp_path, content)
    with pytest.raises(EditError, match="wants to load .*refused, and nothing of it was run"):
        read_published(path, 32, 128)
    assert not mark.exists()
    torch.load(path, weights_only=False)  # it does run something, where it is unpickled freely
    assert mark.exists()


def test_globals_that_are_pushed_while_reading_are_refused_too(tmp_path):
    """STACK_GLOBAL names a function by two texts, which no list of globals shows."""
    mark = tmp_path / "mark"
    attack = (
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93"
        + pickle.dumps((f"touch {mark}",), 2)[2:-1]
        + b"R."
    )
    path = repacked(saved(tmp_path, published_content()), tmp_path / "b.pt", pickled=attack)
    with pytest.raises(EditError, match="Nothing of it was run"):
        read_published(path, 32, 128)
    assert not mark.exists()


def repacked(
    path: Path, new: Path, *, pickled: bytes | None = None, method: int = zipfile.ZIP_STORED
) -> Path:
    """The same archive with another pickle, or packed in another way."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w", method) as archive:
        for entry in old.infolist():
            own = pickled is not None and entry.filename.endswith("data.pkl")
            archive.writestr(entry.filename, pickled if own else old.read(entry))
    return new


def test_a_configuration_becomes_an_object_that_keeps_nothing():
    inert = Inert()
    inert.__setstate__({"n_embd": 1600})
    assert vars(inert) == {}


def changed(name: str, change) -> dict:
    content = published_content()
    content["model"][name] = change(content["model"][name])
    return content


LAYER = "mend.(32, 128).mlp.layers.0."
WRONG = {
    "nan": (changed(f"{LAYER}u", lambda t: t * float("nan")), "not numbers"),
    "infinite rate": (changed("edit_lrs", lambda t: t / 0), "not numbers"),
    "a rate too few": (changed("edit_lrs", lambda t: t[:5]), "two a layer"),
    "rates of two layers": (changed("edit_lrs", lambda t: t[:4]), "of size \\(2, 160\\)"),
    "no rates": (changed("edit_lrs", lambda t: None), "edit_lrs"),
    "shape": (changed(f"{LAYER}bias", lambda t: t[:-1]), "of size \\(160,\\); the file has"),
    "turned": (changed(f"{LAYER}u", lambda t: t.mT.contiguous()), "must be float32"),
    "half": (changed(f"{LAYER}v", lambda t: t.half()), "must be float32"),
    "no tensor": (changed(f"{LAYER}u", lambda t: 5), "has nothing"),
    "sparse": (changed(f"{LAYER}v", lambda t: t.to_sparse()), "must be float32"),
    "rank 0": (changed(f"{LAYER}v", lambda t: t[:0]), "rank 0"),
    "huge rank": (changed(f"{LAYER}v", lambda t: t[:1].expand(10**9, 160)), "rank 1000000000"),
    "negative std": (changed("mend.(32, 128).u_std", lambda t: -t), "below 0"),
    "another dict": ({"weights": torch.zeros(3)}, "no entry “model”"),
    "no dict": (torch.zeros(3), "no entry “model”"),
    "empty": ({"model": {}}, "it has: none"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_does_not_fit_gets_a_sentence(tmp_path, case):
    content, sentence = WRONG[case]
    with pytest.raises(EditError, match=sentence):
        read_published(saved(tmp_path, content), 32, 128)


def test_a_missing_tensor_and_a_third_layer_get_a_sentence(tmp_path):
    content = published_content()
    del content["model"]["mend.(128, 32).v_mean"]
    with pytest.raises(EditError, match="ff2: v_mean"):
        read_published(saved(tmp_path, content), 32, 128)
    content = published_content()
    content["model"]["mend.(128, 32).mlp.layers.2.u"] = torch.zeros(160, RANK)
    with pytest.raises(EditError, match="more than the two layers"):
        read_published(saved(tmp_path, content), 32, 128)


def test_a_network_for_another_model_is_refused(tmp_path):
    path = saved(tmp_path, published_content(d_model=16, d_mlp=64))
    with pytest.raises(EditError, match="32 × 128, this model's; it has: 16 × 64, 64 × 16"):
        published_network(path, random_model("gpt2"))
    path = saved(tmp_path, published_content())
    with pytest.raises(EditError, match="last 3 layers of a GPT-2"):
        published_network(path, random_model("gpt2", layers=2))
    path = saved(tmp_path, published_content(d_mlp=88))
    with pytest.raises(EditError, match="a Llama of 4 layers"):
        published_network(path, random_model("llama"))


def test_what_is_no_archive_of_torch_is_refused(tmp_path):
    path = saved(tmp_path, published_content())
    whole = path.read_bytes()
    cut, old, text = tmp_path / "cut.pt", tmp_path / "old.pt", tmp_path / "text.pt"
    text.write_text("not a file of PyTorch's")
    torch.save(published_content(), old, _use_new_zipfile_serialization=False)
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:length])
        with pytest.raises(EditError, match="no archive that torch.save wrote, or it was cut"):
            read_published(cut, 32, 128)
    for other in (old, text):
        with pytest.raises(EditError, match="no archive that torch.save wrote"):
            read_published(other, 32, 128)
    with pytest.raises(EditError, match="cannot be read"):
        read_published(tmp_path / "nowhere.pt", 32, 128)
    packed = repacked(path, tmp_path / "packed.pt", method=zipfile.ZIP_DEFLATED)
    with pytest.raises(EditError, match="not as torch.save writes it"):
        read_published(packed, 32, 128)
    junk = repacked(path, tmp_path / "junk.pt", pickled=b"\x80\x02}q\x00.....")
    with pytest.raises(EditError, match="no entry “model”|cannot be read as tensors"):
        read_published(junk, 32, 128)


def test_damage_anywhere_is_a_sentence_or_harmless(tmp_path):
    """Single bytes of the pickle turned, all through it."""
    path = saved(tmp_path, published_content())
    with zipfile.ZipFile(path) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("data.pkl")]
        good = archive.read(name)
    for place in range(0, len(good), max(1, len(good) // 60)):
        bad = bytearray(good)
        bad[place] ^= 0x55
        damaged = repacked(path, tmp_path / "damaged.pt", pickled=bytes(bad))
        with suppress(EditError):
            read_published(damaged, 32, 128)


def test_the_script_keeps_the_network_or_writes_it_where_it_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BACKWARD_LENS_CACHE", str(tmp_path / "cache"))
    file = saved(tmp_path, published_content(d_model=128, d_mlp=512))
    out, model = tmp_path / "out.safetensors", load_model("tiny-gpt2")
    monkeypatch.setattr("sys.argv", ["x", str(file), "--model", "tiny-gpt2", "--output", str(out)])
    import_mend.main()
    assert f"in {out}" in capsys.readouterr().out
    assert MendNetwork.load(out, model).layers == (5, 6, 7)
    arguments = ["x", str(file), "--model", "tiny-gpt2", "--published-order"]
    monkeypatch.setattr("sys.argv", arguments)
    import_mend.main()
    assert mend_network(model).made["published_order"] is True
    monkeypatch.setattr("sys.argv", ["x", str(file), "--model", "tiny-llama2"])
    with pytest.raises(SystemExit, match="no GPT-2"):
        import_mend.main()
    (tmp_path / "config.json").write_text("[1]")
    monkeypatch.setattr("sys.argv", ["x", str(file), "--model", str(tmp_path)])
    with pytest.raises(SystemExit, match="is damaged"):
        import_mend.main()
