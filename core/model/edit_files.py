"""The file of an edit: safetensors, with one JSON header in its metadata.

Its tensors are factors, named "<change>.<u, v or dense>", and keys, named "keys.<layer>", which
older files lack. This module knows tensors and plain values, not what an edit is. Nothing is
pickled, nothing is code. A file may come from anyone: everything about it is checked before a
tensor is made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor

from core.errors import EditError

FORMAT = 1
KEY = "backward_lens_edit"
MAX_BYTES = 64_000_000
MAX_HEADER = 1_000_000
MAX_TEXT = 10_000  # characters of a name, prompt, subject or target
# What reading a damaged or hostile file may raise.
DAMAGE = (SafetensorError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
PARTS = ({"u", "v"}, {"dense"})


@dataclass(frozen=True)
class EditFile:
    """A file whose header is checked; its tensors are not made yet."""

    header: Mapping[str, object]  # see `checked`
    entries: Mapping[str, dict]  # tensor name -> its "dtype", "shape" and "data_offsets"
    data: bytes = field(repr=False)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name; raises EditError for values that are not numbers."""
        tensors = read_tensors(self.data)
        if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
            raise EditError(
                "The file holds values that are not numbers. Download it again, or make the edit "
                "again."
            )
        return tensors


def written(header: Mapping[str, object], tensors: Mapping[str, Tensor]) -> bytes:
    """The content of a file with this header and these tensors."""
    text = json.dumps({"format": FORMAT, **header}, ensure_ascii=False)
    rows = {
        name: part.clone(memory_format=torch.contiguous_format) for name, part in tensors.items()
    }
    return write_tensors(rows, {KEY: text})


def content_of(path: str | Path, max_bytes: int) -> bytes:
    """At most max_bytes and one more of a file, so that a huge one is never read whole."""
    try:
        with open(path, "rb") as file:
            return file.read(max_bytes + 1)
    except OSError as error:
        raise EditError(f"The file cannot be read: {error.strerror}. Check the path.") from None


@contextmanager
def damage_is_a_sentence() -> Iterator[None]:
    """A hostile file fails in many ways, all for one reason: they become one EditError."""
    try:
        yield
    except EditError:
        raise
    except DAMAGE as error:
        raise EditError(
            "The file is no edit, or it is damaged. Choose a file that was saved as an edit, "
            "and download it again if it was cut off."
        ) from error


def opened(data: bytes, max_bytes: int) -> EditFile:
    """Check a file's size and headers; use it inside `damage_is_a_sentence`."""
    if len(data) > max_bytes:
        raise EditError(
            f"The file is larger than {max_bytes / 1e6:g} MB, the limit for an edit. Make the "
            "edit again with a method of low rank, such as forward-shift or rome."
        )
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(MAX_HEADER, len(data) - 8):
        raise ValueError(f"a header of {length} bytes in a file of {len(data)}")
    entries = json.loads(data[8 : 8 + length])
    header = json.loads(entries.pop("__metadata__")[KEY])
    if header["format"] != FORMAT:
        raise EditError(
            f"The file has format {str(header['format'])[:20]}; this version reads format "
            f"{FORMAT}. Open it with the version that wrote it, or make the edit again."
        )
    return EditFile(checked(header), entries, data)


def checked(header: dict) -> dict[str, object]:
    """The header's values, each of its kind: name, method, model_name, model_fingerprint (texts),
    hyperparameters, facts (prompt, subject or None, target), changes (matrix, layer), keys (the
    layers that have them; none in older files), seconds."""
    facts = tuple(
        (text(prompt), None if subject is None else text(subject), text(target))
        for prompt, subject, target in header["facts"]
    )
    changes = tuple((text(matrix), whole(layer)) for matrix, layer in header["changes"])
    keys = tuple(whole(layer) for layer in header.get("keys", ()))
    seconds = float(header["seconds"])
    if not facts or not changes or not math.isfinite(seconds):
        raise ValueError("nothing in it")
    if len(set(keys)) < len(keys):
        raise ValueError("a layer's keys twice")
    names = ("name", "method", "model_name", "model_fingerprint")
    return {name: text(header[name]) for name in names} | {
        "hyperparameters": {text(k): plain(v) for k, v in header["hyperparameters"].items()},
        "facts": facts,
        "changes": changes,
        "keys": keys,
        "seconds": seconds,
    }


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


def key_name(layer: int) -> str:
    """The tensor of a layer's keys."""
    return f"keys.{layer}"


def parts_of(i: int, names: Mapping[str, object]) -> set[str]:
    """The tensors of the i-th change: u and v, or dense."""
    parts = {part for part in ("u", "v", "dense") if f"{i}.{part}" in names}
    if parts not in PARTS:
        raise ValueError("a change without its tensors")
    return parts
