"""Files of edits: there and back, and what is refused."""

import json
import struct

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
