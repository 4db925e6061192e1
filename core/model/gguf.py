"""GGUF files: a network from one, or its weights unpacked into an ordinary folder.

The header is checked first (gguf_header, gguf_checks). Then one weight after the other is read
and turned back into numbers by the `gguf` package, so that memory holds the network and one weight
more. Config and tokenizer are transformers'.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import prod
from pathlib import Path

import numpy as np
import torch
from accelerate import init_empty_weights
from gguf.quants import dequantize
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from core.errors import ModelError
from core.model.gguf_checks import check_gguf
from core.model.gguf_header import GgufHeader, Source, bits, read_header
from core.model.places import models_folder
from core.model.precision import Choice, Sizes
from core.model.weights import fill
from core.model.workplace import clear_left, workplace

SOURCE_FILE = "source.json"  # in an unpacked folder: which file its weights come from
UNPACKING = ".unpacking-"
READING = "backward-lens-reading-"
HALF_FROM = 3_000_000_000  # parameters; from here on, an unpacked folder has 16 bits
NAMES = {
    "llama": {
        "token_embd": "model.embed_tokens",
        "output_norm": "model.norm",
        "output": "lm_head",
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    },
    "gpt2": {
        "token_embd": "transformer.wte",
        "position_embd": "transformer.wpe",
        "output_norm": "transformer.ln_f",
        "output": "lm_head",
        "attn_norm": "ln_1",
        "attn_qkv": "attn.c_attn",
        "attn_output": "attn.c_proj",
        "ffn_norm": "ln_2",
        "ffn_up": "mlp.c_fc",
        "ffn_down": "mlp.c_proj",
    },
}
BLOCKS = {"llama": "model.layers", "gpt2": "transformer.h"}
CONV1D = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")  # GPT-2 keeps these as (d_in, d_out)
OnProgress = Callable[[int, int], None]


class GgufFile:
    """A checked GGUF file and its weights, by the names that transformers gives them."""

    def __init__(self, path: Path) -> None:
        self.header: GgufHeader = read_header(path)
        check_gguf(self.header)
        self.names = {network_name(self.header, name): name for name in self.header.tensors}
        self.data = np.memmap(path, mode="r", dtype=np.uint8)

    @property
    def source(self) -> Source:
        kind = self.header.main_kind
        return Source(self.header.path.name, kind.name, bits(kind))

    @property
    def sizes(self) -> Sizes:
        """What the precision is chosen by; 16 bits keep a rounded file's scales in float16."""
        blocks = [
            t for t in self.header.tensors.values() if t.name[:4] == "blk." and len(t.shape) == 2
        ]
        half = "bfloat16" if self.source.kind in ("F32", "BF16") else "float16"
        return Sizes(
            self.header.parameters,
            sum(prod(tensor.shape) for tensor in blocks),
            sum(max(tensor.shape) for tensor in blocks),
            half,
        )

    def shape(self, name: str) -> tuple[int, ...]:
        """A weight's shape as its module keeps it."""
        tensor = self.header.tensors[self.names[name]]
        return tensor.shape[::-1] if self.turned(tensor.name) else tensor.shape

    def turned(self, name: str) -> bool:
        return self.header.architecture == "gpt2" and name.endswith(
            tuple(f".{part}.weight" for part in CONV1D)
        )

    def read(self, name: str) -> Tensor:
        """A weight in float32, in memory of its own, as its module keeps it."""
        tensor = self.header.tensors[self.names[name]]
        packed = np.array(self.data[tensor.start : tensor.start + tensor.size])
        row = tensor.size // prod(tensor.shape[:-1])
        values = dequantize(packed.reshape(*tensor.shape[:-1], row), tensor.kind)
        weight = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        weight = weight.view(tensor.shape)
        if self.turned(tensor.name):
            return weight.mT.contiguous()
        if self.header.architecture == "llama" and ".attn_q." in tensor.name:
            return paired(weight, self.header.value("attention.head_count"))
        if self.header.architecture == "llama" and ".attn_k." in tensor.name:
            heads = self.header.value("attention.head_count")
            return paired(weight, self.header.value("attention.head_count_kv", heads))
        return weight

    def config_and_tokenizer(self) -> tuple[PreTrainedConfig, PreTrainedTokenizerBase]:
        with opened(self.header.path) as (folder, file):
            options = {"gguf_file": file, "local_files_only": True, "trust_remote_code": False}
            config = AutoConfig.from_pretrained(folder, **options)
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        if hasattr(config, "quantization_config"):
            del config.quantization_config  # the weights are numbers again
        tokenizer.name_or_path = config.name_or_path = ""
        tokenizer.init_kwargs.pop("name_or_path", None)
        return config, tokenizer


def network_name(header: GgufHeader, name: str) -> str:
    """What transformers calls a weight: blk.3.ffn_up.weight -> model.layers.3.mlp.up_proj.weight"""
    names = NAMES[header.architecture]
    parts = name.split(".")
    if parts[0] == "blk":
        return f"{BLOCKS[header.architecture]}.{parts[1]}.{names[parts[2]]}.{parts[3]}"
    return f"{names[parts[0]]}.{parts[1]}"


def paired(weight: Tensor, heads: int) -> Tensor:
    """The rows of a query or key matrix in transformers' order.

    Positions turn pairs of rows. GGUF puts the two of a pair side by side, transformers half a
    head apart.
    """
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


@contextmanager
def opened(path: Path) -> Iterator[tuple[str, str]]:
    """A folder and a name under which transformers reads the file as GGUF and finds nothing else.

    It goes by the name's end (a file without .gguf would be unpickled) and looks into the folder.
    """
    with workplace(Path(tempfile.gettempdir()), READING) as folder:
        link = folder / "x.gguf"
        try:
            link.symlink_to(path.resolve())
        except OSError:  # Windows without the right to make links
            os.link(path.resolve(), link)
        yield str(folder), link.name


def read_network(file: GgufFile, config: PreTrainedConfig, choice: Choice) -> PreTrainedModel:
    """The network in its precision, filled weight by weight."""
    kind, place = choice.precision.name, choice.place
    with init_empty_weights():  # parameters without memory; buffers are made as usual
        network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)

    def read(name: str) -> Tensor:
        return file.read(name).to(place)

    if kind == "int8" or (place == "cpu" and kind in ("bfloat16", "float16")):
        fill(network, read, kind)
        return network.to(place)
    for name in file.names:
        parent, _, leaf = name.rpartition(".")
        value = read(name).to(getattr(torch, kind))
        setattr(network.get_submodule(parent), leaf, nn.Parameter(value, requires_grad=False))
    network.tie_weights()
    return network.to(place)


def read_source(folder: Path) -> Source | None:
    """The file that a folder was unpacked from; None for every other folder."""
    try:
        return Source(**json.loads((folder / SOURCE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def unpacked_folder(path: Path) -> Path:
    """Where this very file's weights are kept, or would be: its name and a hash of its ends."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(2**20))
        file.seek(max(0, path.stat().st_size - 2**16))
        digest.update(file.read() + struct.pack("<Q", path.stat().st_size))
    return models_folder() / f"{path.stem[:60]}-{digest.hexdigest()[:10]}"


def unpacked_kind(parameters: int) -> torch.dtype:
    """The precision of an unpacked folder."""
    return torch.float16 if parameters >= HALF_FROM else torch.float32


def unpack_gguf(
    path: str | Path, folder: str | Path | None = None, *, on_progress: OnProgress | None = None
) -> Path:
    """Keep a GGUF file's weights as an ordinary safetensors folder, which opens at once.

    In float32, from 3 billion weights on in float16. By default the folder lies in the models'
    folder, and `load_model` finds it there when it is given the file. `on_progress(done, all)`
    counts bytes; an exception that it raises ends the work, and nothing stays behind. Returns the
    folder. Raises ModelError for a file that is refused and a disk that is full.
    """
    file = GgufFile(Path(path).expanduser())
    folder = Path(folder).expanduser() if folder else unpacked_folder(file.header.path)
    if (folder / "config.json").is_file():
        return folder
    kind = unpacked_kind(file.header.parameters)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        clear_left(folder.parent, UNPACKING)  # before the free space is looked at
        need = file.header.parameters * kind.itemsize
        free = shutil.disk_usage(folder.parent).free
        if need * 1.02 > free:
            raise ModelError(
                f"The unpacked model needs {need / 1e9:.1f} GB on the disk and {free / 1e9:.1f} GB "
                "are free. Delete something first, or set BACKWARD_LENS_MODELS to another disk."
            )
        with workplace(folder.parent, UNPACKING) as made:
            inside = made / "model"
            inside.mkdir()
            write_folder(file, inside, kind, on_progress)
            try:
                inside.rename(folder)
            except OSError:
                if not (folder / "config.json").is_file():  # else another program was first
                    raise
    except OSError as error:
        raise ModelError(
            f"The model cannot be kept in {folder.parent}: {error.strerror}. Set "
            "BACKWARD_LENS_MODELS to a folder that can be written."
        ) from None
    return folder


def write_folder(
    file: GgufFile, folder: Path, kind: torch.dtype, on_progress: OnProgress | None
) -> None:
    """Write config, tokenizer, weights and the source, weight by weight."""
    config, tokenizer = file.config_and_tokenizer()
    config.dtype = kind
    config.architectures = [
        {"llama": "LlamaForCausalLM", "gpt2": "GPT2LMHeadModel"}[file.header.architecture]
    ]
    entries, place = {}, 0
    for name in file.names:
        size = prod(file.shape(name)) * kind.itemsize
        entries[name] = {
            "dtype": "F16" if kind == torch.float16 else "F32",
            "shape": list(file.shape(name)),
            "data_offsets": [place, place + size],
        }
        place += size
    header = json.dumps({"__metadata__": {"format": "pt"}} | entries).encode()
    header += b" " * (-len(header) % 8)
    with (folder / "model.safetensors").open("wb") as out:
        out.write(struct.pack("<Q", len(header)) + header)
        for name, entry in entries.items():
            if on_progress:
                on_progress(entry["data_offsets"][0], place)
            out.write(file.read(name).to(kind).contiguous().numpy().tobytes())
    tokenizer.save_pretrained(folder)
    (folder / SOURCE_FILE).write_text(json.dumps(asdict(file.source)), encoding="utf-8")
    config.save_pretrained(folder)
    if on_progress:
        on_progress(place, place)
