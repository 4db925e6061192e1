"""Small GGUF files of random networks, written as llama.cpp's converter writes them."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from core.model.gguf import BLOCKS, NAMES


def gguf_name(architecture: str, name: str) -> str:
    """The name in the file of a weight in the network."""
    parts = {path: part for part, path in NAMES[architecture].items()}
    path, _, leaf = name.rpartition(".")
    block = BLOCKS[architecture] + "."
    if path.startswith(block):
        layer, _, inner = path.removeprefix(block).partition(".")
        return f"blk.{layer}.{parts[inner]}.{leaf}"
    return f"{parts[path]}.{leaf}"


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp's order of a query or key matrix's rows."""
    half = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return half.swapaxes(1, 2).reshape(weight.shape)


def as_stored(name: str, weight: Tensor, config) -> np.ndarray:
    values = weight.detach().float().numpy()
    if config.model_type == "gpt2" and values.ndim == 2 and ".h." in name:
        return np.ascontiguousarray(values.T)
    if "q_proj" in name:
        return interleaved(values, config.num_attention_heads)
    if "k_proj" in name:
        return interleaved(values, config.num_key_value_heads)
    return values


def settings(network: PreTrainedModel) -> dict[str, int | float]:
    config, kind = network.config, network.config.model_type
    if kind == "llama":
        rope = config.rope_parameters["rope_theta"]
        return {
            "llama.context_length": config.max_position_embeddings,
            "llama.embedding_length": config.hidden_size,
            "llama.block_count": config.num_hidden_layers,
            "llama.feed_forward_length": config.intermediate_size,
            "llama.attention.head_count": config.num_attention_heads,
            "llama.attention.head_count_kv": config.num_key_value_heads,
            "llama.rope.dimension_count": config.hidden_size // config.num_attention_heads,
            "llama.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
            "llama.rope.freq_base": float(rope),
        }
    return {
        "gpt2.context_length": config.n_positions,
        "gpt2.embedding_length": config.n_embd,
        "gpt2.block_count": config.n_layer,
        "gpt2.feed_forward_length": 4 * config.n_embd,
        "gpt2.attention.head_count": config.n_head,
        "gpt2.attention.layer_norm_epsilon": float(config.layer_norm_epsilon),
    }


def write_gguf(
    path: Path,
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    kind: Kind = Kind.F32,
    packed: Mapping[str, tuple[np.ndarray, Kind]] = MappingProxyType({}),
    **changes: object,
) -> Path:
    """Write a network and its vocabulary; `changes` sets values by their key, None leaves out.

    Keys are written with _ for the dots: "llama__rope__scaling__factor" names
    llama.rope.scaling.factor. `packed` replaces weights, by their names in the file.
    """
    architecture = network.config.model_type
    values: dict[str, object] = {"general.name": "test", "general.alignment": 32}
    values |= settings(network)
    pieces = [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    bpe = tokenizer.backend_tokenizer.to_str()
    values |= {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.merges": merges_of(bpe),
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
    }
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in values.items():
        add(writer, key, value)
    for name, weight in network.state_dict().items():
        if name == "lm_head.weight" and network.config.tie_word_embeddings:
            continue
        if gguf_name(architecture, name) in packed:
            content, own = packed[gguf_name(architecture, name)]
            writer.add_tensor(gguf_name(architecture, name), content, raw_dtype=own)
            continue
        stored = as_stored(name, weight, network.config)
        own = kind if stored.ndim == 2 and stored.shape[-1] % 32 == 0 else Kind.F32
        writer.add_tensor(gguf_name(architecture, name), gguf.quantize(stored, own), raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def sentencepiece_settings(model: Path) -> dict[str, object]:
    """The settings that a converter writes for a sentencepiece vocabulary, as `changes`."""
    pieces = [dict(fields(part)) for number, part in fields(model.read_bytes()) if number == 1]
    scores = [struct.unpack("<f", piece.get(2, bytes(4)))[0] for piece in pieces]
    settings = {
        "model": "llama",
        "pre": "default",
        "tokens": [piece[1].decode() for piece in pieces],
        "scores": scores,
        "token_type": [piece.get(3, 1) for piece in pieces],
        "merges": None,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
    }
    return {f"tokenizer__ggml__{key}": value for key, value in settings.items()}


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer: number and value (an int, or its bytes)."""
    place = 0
    while place < len(message):
        key, place = varint(message, place)
        if key & 7 == 0:
            value, place = varint(message, place)
        else:
            size, place = varint(message, place) if key & 7 == 2 else (4, place)
            value, place = message[place : place + size], place + size
        yield key >> 3, value


def varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, place = message[place], place + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place


def random_blocks(kind: Kind, rows: int, columns: int, seed: int) -> np.ndarray:
    """Packed rows of a K-quant, (row, bytes): any bytes, with scales that are small float16s.

    `gguf` cannot round to these kinds; any bytes are a valid block if its scales are numbers.
    """
    block, size = gguf.GGML_QUANT_SIZES[kind]
    rng = np.random.default_rng(seed)
    packed = rng.integers(0, 256, (rows, columns // block, size), dtype=np.uint8)
    scales = {Kind.Q4_K: (0, 2), Kind.Q6_K: (208,)}[kind]  # bytes where d (and dmin) stand
    for start in scales:
        values = rng.uniform(0.001, 0.002, packed.shape[:2]).astype("<f2")
        packed[..., start : start + 2] = values[..., None].view(np.uint8)
    return packed.reshape(rows, -1)


def add(writer: gguf.GGUFWriter, key: str, value: object) -> None:
    if value is None or key == "general.architecture":
        return
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def merges_of(tokenizer_json: str) -> list[str]:
    import json

    merges = json.loads(tokenizer_json)["model"]["merges"]
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
