"""Which GGUF files are read, and a sentence for each kind that is not.

Llama and GPT-2 files whose every weight and setting is understood. What would be lost without a
word (the stretched positions of later Llamas, biases, experts) is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from gguf.constants import GGMLQuantizationType
from gguf.quants import _type_traits as dequantizers

from core.errors import ModelError
from core.model.architectures import architecture_of
from core.model.gguf_header import GgufHeader

GPT2_POSITIONS = 1024
PLAIN = {GGMLQuantizationType.F32, GGMLQuantizationType.F16}
# How byte-level vocabularies cut text before they merge; others would be cut wrongly in silence.
KNOWN_CUTS = {"default", "gpt-2", "gpt2", "smollm", "llama3", "llama-v3", "llama-bpe"}
OTHER_FILE = "Choose another file."
Shapes = dict[str, tuple[int, ...]]


def check_gguf(header: GgufHeader) -> None:
    """Raises ModelError unless all of the file can be read, and read right."""
    name = header.path.name
    architecture_of(header.architecture)
    parts = header.values.get("split.count", 1)
    if parts != 1:
        raise ModelError(
            f"{name!r} is one of several parts of a model. Join them into one file "
            "(llama-gguf-split --merge does), and open that."
        )
    check_kinds(header)
    if header.architecture == "llama":
        check_llama(header)
    check_weights(header, (llama_shapes if header.architecture == "llama" else gpt2_shapes)(header))
    check_vocabulary(header)


def check_kinds(header: GgufHeader) -> None:
    for tensor in header.tensors.values():
        if tensor.kind not in PLAIN and tensor.kind not in dequantizers:
            raise ModelError(
                f"{header.path.name!r} holds weights of type {tensor.kind.name}, which cannot be "
                "read here. Choose a file of another quantization, such as Q4_K_M or Q8_0."
            )


def check_llama(header: GgufHeader) -> None:
    """What a Llama file can say that Llama 2 does not have."""
    name = header.path.name
    scaling = header.value("rope.scaling.type", "none")
    factors = [header.value(f"rope.scaling.{key}", 1.0) for key in ("factor", "attn_factor")]
    factors.append(header.value("rope.scale_linear", 1.0))
    scaled = scaling not in ("none", "") or any(factor not in (1, 0) for factor in factors)
    if scaled or any(tensor.startswith("rope_") for tensor in header.tensors):
        raise ModelError(
            f"{name!r} stretches its positions (rope scaling), as Llama 3.1 and later do. From a "
            "GGUF file this would be lost and the model would be another one: use its folder "
            "from the hub."
        )
    if header.value("expert_count", 0):
        raise ModelError(f"{name!r} is a mixture of experts, which is not Llama 2's architecture.")
    if header.values.get("general.name") == "mistral" or header.value("attention.sliding_window"):
        raise ModelError(
            f"{name!r} is a Mistral model: its attention slides, which a Llama's does not. "
            f"{OTHER_FILE}"
        )
    base = header.value("rope.freq_base", 10_000.0)
    if not isinstance(base, float) or not 1 <= base <= 1e12:
        raise settings_error(header, "rope.freq_base")


def llama_shapes(header: GgufHeader) -> Shapes:
    """Every weight of a Llama with these settings, in torch's order of dimensions."""
    layers, d, mlp = (whole(header, key) for key in SIZES)
    heads = whole(header, "attention.head_count")
    key_heads = whole(header, "attention.head_count_kv", heads)
    number(header, "attention.layer_norm_rms_epsilon")
    whole(header, "context_length")
    if d % heads or heads % key_heads or (d // heads) % 2:
        raise settings_error(header, "attention.head_count")
    width = d // heads
    for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
        if header.value(key, width) != width:
            raise settings_error(header, key)
    block = {
        "attn_norm": (d,),
        "attn_q": (d, d),
        "attn_k": (key_heads * width, d),
        "attn_v": (key_heads * width, d),
        "attn_output": (d, d),
        "ffn_norm": (d,),
        "ffn_gate": (mlp, d),
        "ffn_up": (mlp, d),
        "ffn_down": (d, mlp),
    }
    shapes = {"token_embd.weight": (vocabulary(header), d), "output_norm.weight": (d,)}
    for layer in range(layers):
        shapes |= {f"blk.{layer}.{part}.weight": shape for part, shape in block.items()}
    return shapes


SIZES = ("block_count", "embedding_length", "feed_forward_length")


def gpt2_shapes(header: GgufHeader) -> Shapes:
    """Every weight of a GPT-2 with these settings."""
    layers, d, mlp = (whole(header, key) for key in SIZES)
    positions = whole(header, "context_length")
    if positions != GPT2_POSITIONS:
        raise ModelError(
            f"{header.path.name!r} is a GPT-2 that reads {positions:,} tokens. From a GGUF file "
            f"only GPT-2s of {GPT2_POSITIONS:,} tokens are read: use the model's folder."
        )
    number(header, "attention.layer_norm_epsilon")
    if d % whole(header, "attention.head_count") or mlp != 4 * d:
        raise settings_error(header, "attention.head_count and feed_forward_length")
    block = {
        "attn_norm": (d,),
        "attn_qkv": (3 * d, d),
        "attn_output": (d, d),
        "ffn_norm": (d,),
        "ffn_up": (mlp, d),
        "ffn_down": (d, mlp),
    }
    shapes = {
        "token_embd.weight": (vocabulary(header), d),
        "position_embd.weight": (positions, d),
        "output_norm.weight": (d,),
        "output_norm.bias": (d,),
    }
    for layer in range(layers):
        for part, shape in block.items():
            shapes[f"blk.{layer}.{part}.weight"] = shape
            shapes[f"blk.{layer}.{part}.bias"] = shape[:1]
    return shapes


def check_weights(header: GgufHeader, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The file's weights are exactly those of its settings; only `output.weight` may be absent."""
    name, tensors = header.path.name, header.tensors
    wanted = dict(shapes)
    if "output.weight" in tensors:
        wanted["output.weight"] = shapes["token_embd.weight"]
    strangers = sorted(set(tensors) - set(wanted))
    if strangers:
        raise ModelError(
            f"{name!r} holds weights that {architecture_of(header.architecture).title} does not "
            f"have, {strangers[0]!r} for one; without them it would be another model. {OTHER_FILE}"
        )
    wrong = [key for key in wanted if key not in tensors or tensors[key].shape != wanted[key]]
    if wrong:
        raise ModelError(
            f"The model in {name!r} is incomplete: {len(wrong)} of its weights are missing or "
            f"have another shape, {wrong[0]} for one. Download it again."
        )


def check_vocabulary(header: GgufHeader) -> None:
    """A tokenizer of a known kind, with a piece for each row of the embedding."""
    name, size = header.path.name, vocabulary(header)
    kind = header.values.get("tokenizer.ggml.model")
    cut = header.values.get("tokenizer.ggml.pre", "default")
    parts = {"llama": "scores", "gpt2": "merges"}
    if kind not in parts or (kind == "gpt2" and cut not in KNOWN_CUTS):
        raise ModelError(
            f"The tokenizer in {name!r} is of a kind that is not read here ({kind}, {cut}): its "
            f"text would be cut into other tokens. {OTHER_FILE}"
        )
    needed = header.values.get(f"tokenizer.ggml.{parts[kind]}")
    if not needed or (kind == "llama" and listed(needed) != size):
        raise ModelError(
            f"The tokenizer in {name!r} is incomplete: it has no {parts[kind]} for its tokens. "
            "Download it again."
        )
    if kind == "llama" and header.values.get("tokenizer.ggml.add_space_prefix") is False:
        raise ModelError(
            f"The tokenizer in {name!r} puts no space before a text, which would be lost here: its "
            f"first word would be read as another token. {OTHER_FILE}"
        )
    rows = header.value("vocab_size", size)
    for key in ("bos", "eos", "unknown", "padding"):
        number_of = header.values.get(f"tokenizer.ggml.{key}_token_id", 0)
        if not isinstance(number_of, int) or not 0 <= number_of < size or rows != size:
            raise ModelError(
                f"The tokenizer in {name!r} knows {size:,} tokens, but its settings name others: "
                f"they do not belong together. {OTHER_FILE}"
            )


def vocabulary(header: GgufHeader) -> int:
    """How many tokens the file's tokenizer has; raises ModelError where it has none."""
    tokens = listed(header.values.get("tokenizer.ggml.tokens", 0))
    if tokens < 2:
        raise ModelError(f"{header.path.name!r} has no tokenizer in it. {OTHER_FILE}")
    return tokens


def listed(value: object) -> int:
    """The length of a list: the header keeps short ones whole, of long ones their length."""
    return len(value) if isinstance(value, tuple) else value if isinstance(value, int) else 0


def whole(header: GgufHeader, key: str, default: object = None) -> int:
    value = header.value(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10_000_000:
        raise settings_error(header, key)
    return value


def number(header: GgufHeader, key: str) -> float:
    value = header.value(key)
    if not isinstance(value, float) or not 0 < value < 1:
        raise settings_error(header, key)
    return value


def settings_error(header: GgufHeader, key: str) -> ModelError:
    return ModelError(
        f"The setting {key} of {header.path.name!r} is missing or is not one that can be read "
        f"right ({str(header.value(key))[:40]}). {OTHER_FILE}"
    )
