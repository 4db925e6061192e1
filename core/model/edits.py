"""Edits as values: what a change of a weight is, and which model it fits.

The weights of the shared model are never touched: core.model.edited adds edits while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType

from torch import Tensor

from core.errors import EditError
from core.model.architectures import shape_in_out
from core.model.edit_files import (
    MAX_BYTES,
    content_of,
    damage_is_a_sentence,
    key_name,
    opened,
    parts_of,
    written,
)
from core.model.fingerprint import fingerprint
from core.model.language_model import LanguageModel


@dataclass(frozen=True, eq=False)
class Change:
    """The change of one matrix of one layer: U V^T, or `dense` where no factors exist.

    The matrix is read as (d_in, d_out), however the model stores it. Float32, on the CPU.
    """

    matrix: str
    layer: int
    u: Tensor | None = None  # (d_in, r)
    v: Tensor | None = None  # (d_out, r)
    dense: Tensor | None = None  # (d_in, d_out)

    @property
    def tensors(self) -> dict[str, Tensor]:
        parts = {"u": self.u, "v": self.v, "dense": self.dense}
        return {name: part for name, part in parts.items() if part is not None}

    @property
    def weight_change(self) -> Tensor:
        """What is added to the weight: (d_in, d_out)."""
        return self.u @ self.v.mT if self.dense is None else self.dense

    @property
    def shape(self) -> tuple[int, int]:
        """(d_in, d_out)"""
        if self.dense is not None:
            return tuple(self.dense.shape)
        return self.u.shape[0], self.v.shape[0]

    @property
    def rank(self) -> int:
        """An upper bound: the number of factors, or the smaller side of a dense change."""
        return min(self.shape) if self.dense is not None else self.u.shape[1]


@dataclass(frozen=True)
class Fact:
    """What an edit was asked for: after `prompt`, which mentions `subject`, say `target`."""

    prompt: str
    subject: str | None
    target: str


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of a model and how it was made. Works with the model of its fingerprint only.

    keys: for each layer whose FF2 the edit aims at with keys, those of its facts, (d_mlp, fact),
    float32 on the CPU; later edits leave them in place. Empty for methods without keys.
    """

    name: str
    changes: tuple[Change, ...]
    method: str
    hyperparameters: Mapping[str, object]
    facts: tuple[Fact, ...]
    model_name: str
    model_fingerprint: str
    seconds: float
    keys: Mapping[int, Tensor] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def prompt(self) -> str:
        """The prompt of the first fact; some methods learn several at once."""
        return self.facts[0].prompt

    @property
    def subject(self) -> str | None:
        return self.facts[0].subject

    @property
    def target(self) -> str:
        return self.facts[0].target

    @property
    def size(self) -> int:
        """Bytes of memory, the keys included."""
        parts = [part for change in self.changes for part in change.tensors.values()]
        return sum(part.nbytes for part in (*parts, *self.keys.values()))

    @property
    def rank(self) -> int:
        """The largest rank of its changes, an upper bound."""
        return max(change.rank for change in self.changes)

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(sorted({change.layer for change in self.changes}))

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; see core.model.edit_files."""
        Path(path).write_bytes(edit_bytes(self))

    @staticmethod
    def load(path: str | Path, model: LanguageModel, *, max_bytes: int = MAX_BYTES) -> Edit:
        """Read a file that `save` wrote.

        Raises EditError, and changes nothing, for a file that is too large, damaged, of another
        format, or made for other weights than the model's.
        """
        return edit_from_bytes(content_of(path, max_bytes), model, max_bytes=max_bytes)


def edit_bytes(edit: Edit) -> bytes:
    """The content of an edit's file, for a download."""
    header = {
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
        f"{i}.{name}": part
        for i, change in enumerate(edit.changes)
        for name, part in change.tensors.items()
    }
    if edit.keys:
        header["keys"] = list(edit.keys)
        tensors |= {key_name(layer): keys for layer, keys in edit.keys.items()}
    return written(header, tensors)


def edit_from_bytes(data: bytes, model: LanguageModel, *, max_bytes: int = MAX_BYTES) -> Edit:
    """Like `Edit.load`, for the content of an uploaded file."""
    with damage_is_a_sentence():
        file = opened(data, max_bytes)
        header = dict(file.header)
        sites, layers = header.pop("changes"), header.pop("keys")
        header["hyperparameters"] = MappingProxyType(header["hyperparameters"])
        header["facts"] = tuple(Fact(*fact) for fact in header["facts"])
        edit = Edit(changes=(), **header)
        check_fits(model, [edit])  # its fingerprint
        check_layout(model, sites, file.entries, layers, len(edit.facts))
        tensors = file.tensors()
        changes = tuple(
            Change(*site, **{part: tensors[f"{i}.{part}"] for part in parts_of(i, tensors)})
            for i, site in enumerate(sites)
        )
        keys = {layer: tensors[key_name(layer)] for layer in layers}
    return replace(edit, changes=changes, keys=MappingProxyType(keys))


def matrix_shape(model: LanguageModel, matrix: str, layer: int) -> tuple[int, int]:
    """(d_in, d_out) of a matrix; its modules stand side by side. Raises EditError."""
    editable = [name for name in model.matrices if name != "block"]
    if matrix not in editable:
        raise EditError(
            f"{model.name} has no matrix {matrix!r} that can be edited. Choose one of: "
            f"{', '.join(editable)}."
        )
    if not (isinstance(layer, int) and 0 <= layer < model.n_layers):
        raise EditError(
            f"Layer {layer} does not exist: {model.name} has layers 0 to {model.n_layers - 1}."
        )
    shapes = [shape_in_out(module) for module in model.modules(matrix, layer)]
    return shapes[0][0], sum(shape[1] for shape in shapes)


def check_fits(model: LanguageModel, edits: Sequence[Edit]) -> None:
    """Refuse an edit that was made on other weights or whose shapes are not the model's."""
    shape_of = cache(partial(matrix_shape, model))  # a hundred edits have few places
    for edit in edits:
        if edit.model_fingerprint != fingerprint(model):
            raise EditError(
                f"The edit {edit.name!r} was made on {edit.model_name}, with other weights than "
                f"those of {model.name}. Choose that model, or make the edit again on this one."
            )
        for change in edit.changes:
            check_shape(model, change, shape_of(change.matrix, change.layer))
        for layer, keys in edit.keys.items():
            check_keys(model, layer, keys.shape, (shape_of("ff2", layer)[0], len(edit.facts)))


def check_shape(model: LanguageModel, change: Change, wanted: tuple[int, int]) -> None:
    if change.shape != wanted:
        raise EditError(
            f"The edit changes a matrix of {change.shape[0]} x {change.shape[1]}, but "
            f"{change.matrix} of layer {change.layer} is {wanted[0]} x {wanted[1]}. Make the edit "
            "again on this model."
        )


def check_keys(
    model: LanguageModel, layer: int, shape: Sequence[int], wanted: tuple[int, int]
) -> None:
    if tuple(shape) != wanted:
        raise EditError(
            f"The edit's keys of layer {layer} have the shape {str(list(shape))[:40]}, but "
            f"{model.name} needs {wanted[0]} numbers for each of {wanted[1]} facts. Make the edit "
            "again on this model."
        )


def check_layout(
    model: LanguageModel,
    sites: Sequence[tuple[str, int]],
    entries: Mapping[str, dict],
    layers: Sequence[int] = (),
    facts: int = 1,
) -> None:
    """Compare every shape of a file with the model's, before a tensor is made; `layers` have keys
    of that many facts."""
    expected = {key_name(layer) for layer in layers}
    for layer in layers:
        entry = entries[key_name(layer)]
        check_keys(model, layer, entry["shape"], (matrix_shape(model, "ff2", layer)[0], facts))
        if entry["dtype"] != "F32" or ("ff2", layer) not in sites:
            raise ValueError("keys in another precision, or of an FF2 that stays as it is")
    for i, (matrix, layer) in enumerate(sites):
        d_in, d_out = matrix_shape(model, matrix, layer)
        if parts_of(i, entries) == {"dense"}:
            shapes = {"dense": [d_in, d_out]}
        else:
            rank = entries[f"{i}.u"]["shape"][-1]
            shapes = {"u": [d_in, rank], "v": [d_out, rank]}
        for part, shape in shapes.items():
            entry = entries[f"{i}.{part}"]
            if entry["dtype"] != "F32" or entry["shape"] != shape or 0 in shape:
                raise EditError(
                    f"The file's change of {matrix} in layer {layer} has the shape "
                    f"{str(entry['shape'])[:40]}, which does not fit a matrix of {d_in} x {d_out} "
                    f"of {model.name}. Make the edit again on this model."
                )
            expected.add(f"{i}.{part}")
    if entries.keys() != expected:
        raise ValueError("tensors that belong to no change")
