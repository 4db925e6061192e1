"""Weights: what safetensors files hold, and networks whose matrices are kept in 16 or 8 bits.

A compact network is filled module by module, so that the memory that it takes while it is loaded
is its own size and one tensor.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from core.errors import ModelError
from core.model.architectures import Architecture, architecture_of
from core.model.compact import (
    HALVES,
    CompactEmbedding,
    CompactMatrix,
    HalfMatrix,
    compact_matrix,
)
from core.model.precision import Sizes

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
UNUSED = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")  # masks in old files

Read = Callable[[str], Tensor | None]  # a parameter by its name in the network


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder; raises ModelError if there are none."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise ModelError(
            f"The folder {folder.name!r} has no model.safetensors. Other weight files can run "
            "code when they are opened, so only safetensors are read: save the model with "
            "safe_serialization=True."
        )
    return files


def check_index(folder: Path) -> None:
    """Refuse an index that names files which are not in its folder: they would be opened."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    named = set(map(str, json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    strangers = sorted(named - {file.name for file in folder.iterdir()})
    if strangers:
        raise ModelError(
            f"The model in {folder.name!r} says that some of its weights are in "
            f"{strangers[0][:80]!r}, and there is no such file in its folder. Download it again."
        )


def sizes_of(folder: Path, architecture: Architecture) -> Sizes:
    """What the files hold, from their headers alone. Raises ModelError for damaged ones."""
    parameters = matrices = rows = 0
    kinds = set()
    for file in weight_files(folder):
        try:
            with safe_open(file, "pt") as weights:
                for key in weights.keys():  # noqa: SIM118 - not a mapping
                    part = weights.get_slice(key)
                    shape, kind = torch.Size(part.get_shape()), part.get_dtype()
                    if key.endswith(UNUSED):
                        continue
                    parameters += shape.numel()
                    kinds.add(kind)
                    if is_block_matrix(key, architecture):
                        matrices, rows = matrices + shape.numel(), rows + shape[0]
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"The weights in {folder.name!r} are damaged: {file.name} cannot be read "
                f"({error}). Download the model again."
            ) from None
    return Sizes(parameters, matrices, rows, "float16" if kinds == {"F16"} else "bfloat16")


def is_block_matrix(name: str, architecture: Architecture) -> bool:
    """Whether a weight's name is that of a matrix of a block."""
    paths = (path for group in architecture.matrices.values() for path in group)
    return name.endswith(tuple(f".{path}.weight" for path in paths))


class WeightFiles:
    """The tensors of a folder's safetensors files, one at a time.

    `kept`: tensors are views of the mapped file, and its pages count as memory while they are in
    use. Otherwise they are read into memory of their own, which is free again with the tensor.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self.prefix = f"{prefix}."
        self.entries: dict[str, tuple[Path, int, dict]] = {}
        self.mapped: dict[Path, safe_open] = {}
        for file in weight_files(folder):
            with file.open("rb") as content:
                size = int.from_bytes(content.read(8), "little")
                header = json.loads(content.read(size))
            header.pop("__metadata__", None)
            self.entries |= {key: (file, 8 + size, entry) for key, entry in header.items()}

    def key_of(self, name: str) -> str | None:
        """A parameter's name in the files, which may lack the base model's prefix."""
        names = (name, name.removeprefix(self.prefix), self.prefix + name)
        return next((key for key in names if key in self.entries), None)

    def read(self, name: str, *, kept: tuple[torch.dtype, ...] = ()) -> Tensor | None:
        """A parameter, or None where the files have none; `kept` are the dtypes that are mapped."""
        key = self.key_of(name)
        if key is None:
            return None
        file, start, entry = self.entries[key]
        dtype = DTYPES[entry["dtype"]]
        if dtype in kept:
            if file not in self.mapped:
                self.mapped[file] = safe_open(file, "pt").__enter__()
            return self.mapped[file].get_tensor(key)
        first, last = entry["data_offsets"]
        data = bytearray(last - first)
        with file.open("rb") as content:
            content.seek(start + first)
            if content.readinto(data) != len(data):
                raise OSError(f"{file.name} ends early")
        return torch.frombuffer(data, dtype=dtype).view(entry["shape"])


def read_compact(folder: Path, config: PreTrainedConfig, kind: str, place: str) -> PreTrainedModel:
    """A network from a folder, its matrices in "int8", "bfloat16" or "float16".

    Raises ModelError for weights that are missing or have another shape.
    """
    with init_empty_weights():  # parameters without memory; buffers are made as usual
        network = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, trust_remote_code=False
        )
    files = WeightFiles(folder, network.base_model_prefix)
    kept = (getattr(torch, kind),) if kind != "int8" and place == "cpu" else ()
    shapes = {name: value.shape for name, value in network.named_parameters(remove_duplicate=False)}
    wrong: list[str] = []

    def read(name: str) -> Tensor | None:
        value = files.read(name, kept=kept)
        if value is None or value.shape != shapes[name]:
            wrong.append(name)
            return torch.zeros((1,) * len(shapes[name]))  # the whole network is refused below
        return value.to(place)

    fill(network, read, kind)
    check_complete(folder, wrong)
    return network.to(place)


def compacted(network: PreTrainedModel, kind: str) -> PreTrainedModel:
    """Turn a loaded network's matrices into "int8", "bfloat16" or "float16", in place.

    Module by module: each matrix is given up before the next one is made. With "int8" embeddings
    and decoding matrix have 16 bits. Returns the network.
    """
    parameters = dict(network.named_parameters(remove_duplicate=False))
    fill(network, lambda name: parameters.pop(name).detach(), kind)
    return network


def fill(network: PreTrainedModel, read: Read, kind: str) -> None:
    """Give every parameter of the network its value from `read`, the matrices in compact modules.

    Norms, biases and positions become float32, which is exact, so that activations are float32.
    """
    architecture = architecture_of(network.config.model_type)
    for layer in range(len(network.get_submodule(architecture.blocks))):
        block = f"{architecture.blocks}.{layer}"
        for path in (path for group in architecture.matrices.values() for path in group):
            name = f"{block}.{path}"
            old = network.get_submodule(name)
            bias = None if old.bias is None else read(f"{name}.bias")
            new = compact_matrix(
                read(f"{name}.weight"), kind, in_out=isinstance(old, Conv1D), bias=bias
            )
            replace_module(network, name, new)
    fill_vocabulary(network, architecture, read, kind)
    for prefix, module in network.named_modules():
        if isinstance(module, CompactMatrix | CompactEmbedding):
            continue
        for name, _ in list(module.named_parameters(recurse=False)):
            value = read(f"{prefix}.{name}").float()
            setattr(module, name, nn.Parameter(value, requires_grad=False))


def fill_vocabulary(
    network: PreTrainedModel, architecture: Architecture, read: Read, kind: str
) -> None:
    """The embedding and the decoding matrix: one tensor where the model ties them."""
    places = (architecture.embedding, architecture.unembedding)
    tied = bool(network.config.tie_word_embeddings)
    weight: nn.Parameter | None = None
    for place in places:
        if weight is None or not tied:
            value = read(f"{place}.weight")
            if kind != "int8":
                value = value.to(getattr(torch, kind))
            elif value.dtype not in HALVES:
                value = value.bfloat16()
            weight = nn.Parameter(value, requires_grad=False)
        embeds = place == architecture.embedding
        new = CompactEmbedding(weight) if embeds else HalfMatrix(weight)
        replace_module(network, place, new)


def replace_module(network: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, new.eval())


def check_complete(folder: Path, missing: list[str]) -> None:
    """Weights that the files lack would be random numbers: refuse them."""
    if missing:
        raise ModelError(
            f"The model in {folder.name!r} is incomplete: {len(missing)} of its weights are "
            f"missing or have another shape, {missing[0]} for one. Download it again."
        )
