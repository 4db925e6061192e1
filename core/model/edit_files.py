"""Edits as files, and edited models as folders.

A file is safetensors: factors named "<change>.<u, v or dense>", and one JSON header in its
metadata. Nothing pickled, nothing that is code. A file may come from anyone: everything about it
is checked before a tensor is made, and a model is only looked at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor

from core.errors import EditError
from core.model.architectures import weight_in_out
from core.model.edits import Change, Edit, Fact, check_fits, matrix_shape
from core.model.language_model import LanguageModel

FORMAT = 1
KEY = "backward_lens_edit"
MAX_BYTES = 64_000_000
MAX_HEADER = 1_000_000
MAX_TEXT = 10_000  # characters of a name, prompt, subject or target
PARTS = ({"u", "v"}, {"dense"})


def save_edit(edit: Edit, path: str | Path) -> None:
    """Write an edit to a file."""
    Path(path).write_bytes(edit_bytes(edit))


def edit_bytes(edit: Edit) -> bytes:
    """The content of an edit's file, for a download."""
    header = {
        "format": FORMAT,
        "name": edit.name,
        "method": edit.method,
        "hyperparameters": dict(edit.hyperparameters),
        "facts": [[fact.prompt, fact.subject, fact.target] for fact in edit.facts],
        "model_name": edit.model_name,
        "model_fingerprint": edit.model_fingerprint,
        "seconds": edit.seconds,
        "changes": [[change.matrix, change.layer] for change in edit.changes],
    }
    tensors = {
        f"{i}.{name}": part.clone(memory_format=torch.contiguous_format)
        for i, change in enumerate(edit.changes)
        for name, part in change.tensors.items()
    }
    return write_tensors(tensors, {KEY: json.dumps(header, ensure_ascii=False)})


def load_edit(path: str | Path, model: LanguageModel, *, max_bytes: int = MAX_BYTES) -> Edit:
    """Read an edit that `save_edit` wrote.

    Raises EditError, and changes nothing, for a file that is too large, damaged, of another
    format, or made for other weights than the model's.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise EditError(f"The file cannot be read: {error.strerror}. Check the path.") from None
    return edit_from_bytes(data, model, max_bytes=max_bytes)


def edit_from_bytes(data: bytes, model: LanguageModel, *, max_bytes: int = MAX_BYTES) -> Edit:
    """Like `load_edit`, for the content of an uploaded file."""
    if len(data) > max_bytes:
        raise EditError(
            f"The file is larger than {max_bytes / 1e6:g} MB, the limit for an edit. Make the "
            "edit again with a method of low rank, such as forward-shift or rome."
        )
    try:
        outer, header = read_headers(data)
        edit = described(header)
        check_layout(model, edit, outer)
        tensors = read_tensors(data)
    except EditError:
        raise
    except (
        SafetensorError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
    ) as error:  # a hostile header fails in many ways, all for one reason
        raise EditError(
            "The file is no edit, or it is damaged. Choose a file that was saved as an edit, "
            "and download it again if it was cut off."
        ) from error
    check_values(tensors)
    changes = tuple(
        Change(c.matrix, c.layer, **{p: tensors[f"{i}.{p}"] for p in parts_of(i, tensors)})
        for i, c in enumerate(edit.changes)
    )
    return Edit(**(vars(edit) | {"changes": changes}))


def read_headers(data: bytes) -> tuple[dict, dict]:
    """The safetensors header (name -> dtype, shape, offsets) and the edit's own."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(MAX_HEADER, len(data) - 8):
        raise ValueError(f"a header of {length} bytes in a file of {len(data)}")
    outer = json.loads(data[8 : 8 + length])
    header = json.loads(outer.pop("__metadata__")[KEY])
    if header["format"] != FORMAT:
        raise EditError(
            f"The file has format {str(header['format'])[:20]}; this version reads format "
            f"{FORMAT}. Open it with the version that wrote it, or make the edit again."
        )
    return outer, header


def described(header: dict) -> Edit:
    """The edit that a header describes, its changes still without tensors."""
    facts = tuple(
        Fact(text(prompt), None if subject is None else text(subject), text(target))
        for prompt, subject, target in header["facts"]
    )
    seconds = float(header["seconds"])
    if not facts or not header["changes"] or not math.isfinite(seconds):
        raise ValueError("nothing in it")
    settings = {text(k): plain(v) for k, v in header["hyperparameters"].items()}
    return Edit(
        name=text(header["name"]),
        changes=tuple(Change(text(matrix), whole(layer)) for matrix, layer in header["changes"]),
        method=text(header["method"]),
        hyperparameters=MappingProxyType(settings),
        facts=facts,
        model_name=text(header["model_name"]),
        model_fingerprint=text(header["model_fingerprint"]),
        seconds=seconds,
    )


def text(value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
        raise ValueError("no text of a sensible length")
    value.encode("utf-8")  # half of a character is an error
    return value


def whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("no whole number")
    return value


def plain(value: object) -> object:
    """A hyperparameter: text, a number, nothing, or a sequence of those."""
    if isinstance(value, list):
        return tuple(plain(part) for part in value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("no finite number")
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError("no plain value")
    return value


def check_layout(model: LanguageModel, edit: Edit, outer: dict) -> None:
    """Compare the fingerprint and every shape of the header with the model's."""
    check_fits(model, [Edit(**(vars(edit) | {"changes": ()}))])
    expected = set()
    for i, change in enumerate(edit.changes):
        d_in, d_out = matrix_shape(model, change.matrix, change.layer)
        parts = parts_of(i, outer)
        if parts == {"dense"}:
            shapes = {"dense": [d_in, d_out]}
        else:
            rank = outer[f"{i}.u"]["shape"][-1]
            shapes = {"u": [d_in, rank], "v": [d_out, rank]}
        for part, shape in shapes.items():
            entry = outer[f"{i}.{part}"]
            if entry["dtype"] != "F32" or entry["shape"] != shape or 0 in shape:
                raise EditError(
                    f"The file's change of {change.matrix} in layer {change.layer} has the shape "
                    f"{str(entry['shape'])[:40]}, which does not fit a matrix of {d_in} x {d_out} "
                    f"of {model.name}. Make the edit again on this model."
                )
            expected.add(f"{i}.{part}")
    if outer.keys() != expected:
        raise ValueError("tensors that belong to no change")


def parts_of(i: int, names: dict) -> set[str]:
    """The tensors of the i-th change: u and v, or dense."""
    parts = {part for part in ("u", "v", "dense") if f"{i}.{part}" in names}
    if parts not in PARTS:
        raise ValueError("a change without its tensors")
    return parts


def check_values(tensors: dict[str, Tensor]) -> None:
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise EditError(
            "The file holds values that are not numbers. Download it again, or make the edit again."
        )


def export_model(model: LanguageModel, edits: Sequence[Edit], folder: str | Path) -> None:
    """Write an ordinary Hugging Face folder: the model with the edits merged, and its tokenizer.

    The shared model is only read: the changed weights are new tensors. Raises EditError for an
    edit that does not fit, and for a folder that cannot be written.
    """
    check_fits(model, edits)
    state = model.network.state_dict()
    names = {id(module): name for name, module in model.network.named_modules()}
    for edit in edits:
        for change in edit.changes:
            first = 0
            for module in model.modules(change.matrix, change.layer):
                key = f"{names[id(module)]}.weight"
                last = first + weight_in_out(module).shape[1]
                delta = change.weight_change[:, first:last].to(module.weight.device)
                if weight_in_out(module) is not module.weight:
                    delta = delta.mT
                state[key] = (state[key].to(torch.float64) + delta).to(module.weight.dtype)
                first = last
    try:
        model.network.save_pretrained(folder, state_dict=state)
        model.tokenizer.save_pretrained(folder)
    except OSError as error:
        raise EditError(
            f"The folder cannot be written: {error.strerror}. Choose another one."
        ) from None
