"""Edits as values: what a change of a weight is, and how a model works with it for one call.

The weights of the shared model are never touched. An edit is added to what its module puts out,
z + x U V^T, by a hook that lives as long as one locked call.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from core.errors import EditError
from core.model.architectures import weight_in_out
from core.model.capture import exclusive
from core.model.language_model import LanguageModel

SAMPLES = 256  # values of each weight that go into a model's fingerprint
_fingerprints: WeakKeyDictionary[LanguageModel, str] = WeakKeyDictionary()
_guard = threading.Lock()


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
    """A change of a model and how it was made. Works with the model of its fingerprint only."""

    name: str
    changes: tuple[Change, ...]
    method: str
    hyperparameters: Mapping[str, object]
    facts: tuple[Fact, ...]
    model_name: str
    model_fingerprint: str
    seconds: float

    @property
    def prompt(self) -> str:
        """The prompt of the first fact; only `memit` knows several."""
        return self.facts[0].prompt

    @property
    def subject(self) -> str | None:
        return self.facts[0].subject

    @property
    def target(self) -> str:
        return self.facts[0].target

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return sum(part.nbytes for change in self.changes for part in change.tensors.values())

    @property
    def rank(self) -> int:
        """The largest rank of its changes, an upper bound."""
        return max(change.rank for change in self.changes)

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(sorted({change.layer for change in self.changes}))

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; see core.model.edit_files."""
        from core.model.edit_files import save_edit  # that module needs this class

        save_edit(self, path)

    @staticmethod
    def load(path: str | Path, model: LanguageModel) -> Edit:
        """Read a file that `save` wrote; raises EditError if it is damaged or does not fit."""
        from core.model.edit_files import load_edit

        return load_edit(path, model)


def fingerprint(model: LanguageModel) -> str:
    """A short name for exactly these weights, the same for every precision they are loaded in.

    A hash of the sizes, of a few settings and of up to 256 values of each weight; computed once
    for a model (a few milliseconds for a small one).
    """
    with _guard:
        known = _fingerprints.get(model)
    if known is None:
        known = compute_fingerprint(model)
        with _guard:
            _fingerprints[model] = known
    return known


def compute_fingerprint(model: LanguageModel) -> str:
    config = model.network.config
    epsilon = getattr(config, model.architecture.norm_epsilon)
    settings = (config.model_type, model.n_layers, config.num_attention_heads, epsilon)
    digest = hashlib.sha256(repr(settings).encode())
    for name, weight in sorted(model.network.named_parameters()):
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        flat = weight.detach().flatten()
        sample = flat[:: max(1, len(flat) // SAMPLES)][:SAMPLES]
        # bfloat16 is the coarsest precision a model is loaded in
        digest.update(sample.to("cpu", torch.bfloat16).view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:32]


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
    shapes = [weight_in_out(module).shape for module in model.modules(matrix, layer)]
    return shapes[0][0], sum(shape[1] for shape in shapes)


def check_fits(model: LanguageModel, edits: Sequence[Edit]) -> None:
    """Refuse an edit that was made on other weights or whose shapes are not the model's."""
    for edit in edits:
        if edit.model_fingerprint != fingerprint(model):
            raise EditError(
                f"The edit {edit.name!r} was made on {edit.model_name}, with other weights than "
                f"those of {model.name}. Choose that model, or make the edit again on this one."
            )
        for change in edit.changes:
            check_shape(model, change)


def check_shape(model: LanguageModel, change: Change) -> None:
    wanted = matrix_shape(model, change.matrix, change.layer)
    if change.shape != wanted:
        raise EditError(
            f"The edit changes a matrix of {change.shape[0]} x {change.shape[1]}, but "
            f"{change.matrix} of layer {change.layer} is {wanted[0]} x {wanted[1]}. Make the edit "
            "again on this model."
        )


@contextmanager
def edited(model: LanguageModel, edits: Sequence[Edit]) -> Iterator[None]:
    """The model with these edits on it, in order, until the block ends.

    Use it inside `exclusive`: hooks change every thread's forward passes. Raises EditError, before
    anything is changed, for an edit that does not fit.
    """
    check_fits(model, edits)
    with changed(model, [change for edit in edits for change in edit.changes]):
        yield


@contextmanager
def turn(model: LanguageModel, edits: Sequence[Edit], *, gradients: bool) -> Iterator[None]:
    """One locked call on the edited model: `exclusive` and `edited` together."""
    with exclusive(model, gradients=gradients), edited(model, edits):
        yield


@contextmanager
def changed(model: LanguageModel, changes: Sequence[Change]) -> Iterator[None]:
    """Like `edited`, for changes whose shapes are known to fit."""
    by_site: dict[tuple[str, int], list[Change]] = {}
    for change in changes:
        by_site.setdefault((change.matrix, change.layer), []).append(change)
    with ExitStack() as stack:
        for (matrix, layer), group in by_site.items():
            first = 0
            for module in model.modules(matrix, layer):
                last = first + weight_in_out(module).shape[1]
                hook = module.register_forward_hook(adding(group, slice(first, last), module))
                stack.callback(hook.remove)
                first = last
        yield


def adding(changes: Sequence[Change], columns: slice, module: nn.Module):
    """A forward hook that adds x U V^T of all changes, in float32 at least, to the output.

    Factors of several changes are set side by side, so that ten edits cost two products.
    """
    weight = module.weight
    place = {"device": weight.device, "dtype": torch.promote_types(weight.dtype, torch.float32)}
    low_rank = [change for change in changes if change.dense is None]
    dense = [change.dense for change in changes if change.dense is not None]
    pairs = [(part[:, columns].to(**place), None) for part in dense]
    if low_rank:
        u = torch.cat([change.u.to(**place) for change in low_rank], 1)  # (d_in, r)
        v = torch.cat([change.v[columns].to(**place) for change in low_rank], 1)  # (d_out, r)
        pairs.append((u, v))

    def add(_: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        x = inputs[0].to(place["dtype"])
        for u, v in pairs:
            change = x @ u if v is None else (x @ u) @ v.mT
            output = output + change.to(output.dtype)
        return output

    return add
