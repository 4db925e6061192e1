"""Files of edits: there and back, and what is refused."""

import json
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from core import Edit, EditError, answers
from core.model.edit_files import KEY
from core.model.edits import edit_bytes, edit_from_bytes
from tests.conftest import random_model
from tests.core.edited_models import (
    PROMPT,
    assert_untouched,
    random_edit,
    weights,
)


def rewritten(model, tensors=None, **header):
    """A file whose header or tensors are not as they were saved."""
    edit = random_edit(model, 1)
    data = edit_bytes(edit)
    length = struct.unpack("<Q", data[:8])[0]
    described = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][KEY]) | header
    if tensors is None:
        tensors = {f"0.{name}": part for name, part in edit.changes[0].tensors.items()}
    return save(tensors, {KEY: json.dumps(described)})


@pytest.mark.parametrize("dense", [False, True])
def test_an_edit_comes_back_as_it_was(model, tmp_path, dense):
    edit = random_edit(model, 1, "attn_in", 2, dense)
    edit.save(tmp_path / "edit.safetensors")
    back = Edit.load(tmp_path / "edit.safetensors", model)
    for name in ("name", "method", "hyperparameters", "facts", "model_fingerprint", "seconds"):
        assert getattr(back, name) == getattr(edit, name)
    for ours, theirs in zip(back.changes, edit.changes, strict=True):
        assert (ours.matrix, ours.layer) == (theirs.matrix, theirs.layer)
        assert torch.equal(ours.weight_change, theirs.weight_change)
    assert answers(model, PROMPT, edits=[back]).equals(answers(model, PROMPT, edits=[edit]))


def with_keys(model, keys=None):
    """An edit of FF2 in layer 1 with the keys of its fact."""
    keys = torch.arange(model.d_mlp).float()[:, None] if keys is None else keys
    return replace(random_edit(model, 1), keys={1: keys})


def test_keys_come_back_and_count_as_memory(model):
    edit, bare = with_keys(model), random_edit(model, 1)
    back = edit_from_bytes(edit_bytes(edit), model)
    assert list(back.keys) == [1]
    assert torch.equal(back.keys[1], edit.keys[1])
    assert back.size == edit.size == bare.size + 4 * model.d_mlp


def test_a_file_without_keys_is_as_it_always_was(model):
    data = edit_bytes(random_edit(model, 1))
    assert b"keys" not in data
    assert edit_from_bytes(data, model).keys == {}


def test_keys_that_do_not_fit_are_refused(model):
    u, v = random_edit(model, 1).changes[0].tensors.values()
    good, factors = with_keys(model).keys[1], {"0.u": u, "0.v": v}
    broken = {
        "no tensor": rewritten(model, keys=[1]),
        "not announced": rewritten(model, {**factors, "keys.1": good}),
        "announced twice": rewritten(model, {**factors, "keys.1": good}, keys=[1, 1]),
        "a layer as text": rewritten(model, {**factors, "keys.1": good}, keys=["1"]),
        "no list": rewritten(model, {**factors, "keys.1": good}, keys=1),
        "of an FF2 that stays": rewritten(model, {**factors, "keys.2": good}, keys=[2]),
        "float64": rewritten(model, {**factors, "keys.1": good.double()}, keys=[1]),
    }
    for what, data in broken.items():
        with pytest.raises(EditError, match="no edit, or it is damaged"):
            pytest.fail(f"{what}: {edit_from_bytes(data, model)}")
    unfit = {
        "layers 0 to 3": ({"keys.4": good}, [4]),
        "needs .* numbers for each of 1 facts": ({"keys.1": good.repeat(1, 2)}, [1]),
        "keys of layer 1 have the shape": ({"keys.1": good[1:]}, [1]),
        "not numbers": ({"keys.1": good / 0}, [1]),
    }
    for sentence, (tensors, layers) in unfit.items():
        with pytest.raises(EditError, match=sentence):
            edit_from_bytes(rewritten(model, factors | tensors, keys=layers), model)
    with pytest.raises(EditError, match="keys of layer 1"):
        answers(model, PROMPT, edits=[with_keys(model, good[1:])])


def test_bad_files_are_refused_with_a_sentence_and_change_nothing(model):
    before = weights(model)
    good = edit_bytes(random_edit(model, 1))
    u, v = random_edit(model, 1).changes[0].tensors.values()
    broken = {
        "empty": b"",
        "text": b"hello, this is no edit at all",
        "pickle": b"\x80\x04\x95" + b"\x00" * 100,
        "cut off": good[:-10],
        "cut off in the header": good[:50],
        "a header of 2^63 bytes": b"\xff" * 7 + b"\x7f" + good[8:],
        "more at the end": good + b"\x00" * 8,
        "no header of ours": save({"0.u": u, "0.v": v}),
        "deep json": struct.pack("<Q", 100_000) + b"[" * 100_000,
        "no factors": rewritten(model, tensors={"0.u": u}),
        "both kinds": rewritten(model, tensors={"0.u": u, "0.v": v, "0.dense": u @ v.T}),
        "an extra tensor": rewritten(model, tensors={"0.u": u, "0.v": v, "1.u": u + 1}),
        "no facts": rewritten(model, facts=[]),
        "a name that is a number": rewritten(model, name=3),
        "a name that is a book": rewritten(model, name="a" * 100_000),
        "an endless time": rewritten(model, seconds=float("inf")),
        "nested settings": rewritten(model, hyperparameters={"eta": {"a": 1}}),
        "layers as text": rewritten(model, changes=[["ff2", "1"]]),
        "half a character": rewritten(model, name="\ud800"),
    }
    for what, data in broken.items():
        with pytest.raises(EditError, match="no edit, or it is damaged"):
            pytest.fail(f"{what}: {edit_from_bytes(data, model)}")
    assert_untouched(model, before)


def test_files_that_do_not_fit_say_why(model):
    u, v = random_edit(model, 1).changes[0].tensors.values()
    wrong = {
        "format 2; this version reads format 1": rewritten(model, format=2),
        "other weights than": rewritten(model, model_fingerprint="0" * 32),
        "layers 0 to 3": rewritten(model, changes=[["ff2", 4]]),
        "no matrix 'block'": rewritten(model, changes=[["block", 1]]),
        "no matrix '__class__'": rewritten(model, changes=[["__class__", 1]]),
        "does not fit a matrix of": rewritten(model, changes=[["attn_out", 1]]),
        "has the shape": rewritten(model, tensors={"0.u": u.double(), "0.v": v}),
        "not numbers": rewritten(model, tensors={"0.u": u / 0, "0.v": v}),
    }
    for sentence, data in wrong.items():
        with pytest.raises(EditError, match=sentence):
            edit_from_bytes(data, model)


def test_a_huge_file_is_refused_before_it_is_read_whole(model, tmp_path):
    path = tmp_path / "huge"
    with open(path, "wb") as file:
        file.truncate(10**12)  # sparse: it takes no room
    with pytest.raises(EditError, match="larger than 64 MB"):
        Edit.load(path, model)
    with pytest.raises(EditError, match="larger than 0.001 MB"):
        edit_from_bytes(edit_bytes(random_edit(model, 1)), model, max_bytes=1000)
    with pytest.raises(EditError, match="No such file"):
        Edit.load(tmp_path / "nothing", model)


def test_another_models_edit_is_refused(tmp_path):
    edit = random_edit(random_model("gpt2"), 1)
    edit.save(tmp_path / "edit")
    with pytest.raises(EditError, match="other weights than"):
        Edit.load(tmp_path / "edit", random_model("gpt2", seed=5))
