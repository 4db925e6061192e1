"""load_model: from a name to a LanguageModel, safely and with errors that a user can act on."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from core.errors import BackwardLensError, ModelError
from core.model.architectures import architecture_of
from core.model.catalog import download_model, local_folder, looks_like_folder
from core.model.language_model import LanguageModel

HALF_PRECISION_FROM = 3_000_000_000  # parameters; below, float32 fits any accelerator
HEADROOM = 1.1  # activations and the lens, on top of the weights
log = logging.getLogger(__name__)


def load_model(
    name_or_path: str,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> LanguageModel:
    """Load a built-in model, a model of the Hugging Face hub, or a local folder.

    Names: "tiny-gpt2", "tiny-llama2" (built in), "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl",
    "meta-llama/Llama-2-7b-hf", any other GPT-2- or Llama-architecture name on the hub, or a path.
    A hub model that is not on this machine is downloaded first. Only safetensors are read, and no
    code of the model's is run.

    `device` defaults to CUDA, then MPS, then the CPU; a model too large for one GPU is spread over
    all of them. `dtype` defaults to float32, on an accelerator to bfloat16 from 3 billion
    parameters up. Raises ModelError, before anything is allocated where memory is short.
    """
    folder = find_folder(name_or_path)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architecture_of(config.get("model_type", "unknown"))
        parameters = count_parameters(folder)
        place, kind = choose_device(device, parameters), choose_dtype(dtype)
        if kind is None:
            large = parameters >= HALF_PRECISION_FROM
            kind = torch.bfloat16 if large and place != "cpu" else torch.float32
        check_memory(name_or_path, parameters * kind.itemsize, place, kind)
        network, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=kind,
            device_map=place,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
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
    check_complete(folder, report)
    check_tokenizer(folder, tokenizer, network.config.vocab_size)
    return LanguageModel(network, tokenizer, name_or_path, folder)


def find_folder(name_or_path: str) -> Path:
    """Where the model's files are, downloading them if need be; raises ModelError."""
    name = name_or_path.strip()
    if not name:
        raise ModelError("No model is named. Type a name such as gpt2, or a folder.")
    folder = local_folder(name)
    if folder is None and looks_like_folder(name):
        raise ModelError(f"There is no folder {name!r} on this machine. Check the path.")
    folder = folder or download_model(name)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"The folder {folder.name!r} holds no model: it has no config.json. Choose a folder "
            "saved with save_pretrained."
        )
    return folder


def count_parameters(folder: Path) -> int:
    """The number of weights, from the headers of the safetensors files alone."""
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise ModelError(
            f"The folder {folder.name!r} has no model.safetensors. Other weight files can run "
            "code when they are opened, so only safetensors are read: save the model with "
            "safe_serialization=True."
        )
    total = 0
    for file in files:
        try:
            with safe_open(file, "pt") as weights:
                for key in weights.keys():  # noqa: SIM118 - not a mapping
                    total += torch.Size(weights.get_slice(key).get_shape()).numel()
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"The weights in {folder.name!r} are damaged: {file.name} cannot be read "
                f"({error}). Download the model again."
            ) from None
    return total


def choose_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    allowed = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    if dtype is not None and kind not in allowed:
        raise ModelError(
            f"dtype {dtype!r} is unknown. Choose float32, float64, bfloat16 or float16."
        )
    return kind


def choose_device(device: str | torch.device | None, parameters: int) -> str:
    """The device, or "auto" where no GPU alone has room for the weights."""
    if device is not None:
        try:
            return str(torch.device(device))
        except RuntimeError:
            raise ModelError(
                f"Device {device!r} is unknown. Choose cpu, cuda, cuda:1 or mps."
            ) from None
    if torch.cuda.is_available():
        width = 2 if parameters >= HALF_PRECISION_FROM else 4
        free = [torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count())]
        roomiest = max(range(len(free)), key=free.__getitem__)
        fits = free[roomiest] > HEADROOM * width * parameters
        return f"cuda:{roomiest}" if fits or len(free) == 1 else "auto"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def free_memory(place: str) -> int:
    """Bytes that the chosen device has free; for "auto" on all GPUs together."""
    if place.startswith("cuda"):
        return torch.cuda.mem_get_info(torch.device(place))[0]
    if place == "auto":
        return sum(torch.cuda.mem_get_info(i)[0] for i in range(torch.cuda.device_count()))
    return psutil.virtual_memory().available


def check_memory(name: str, size: int, place: str, kind: torch.dtype) -> None:
    free = free_memory(place)
    if size * HEADROOM <= free:
        return
    advice = "Choose a smaller model, or close other programs."
    if kind.itemsize > 2:
        advice = 'Load it with dtype="bfloat16", choose a smaller model, or close other programs.'
    raise ModelError(
        f"{name} needs {size * HEADROOM / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free. "
        f"{advice}"
    )


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


def check_complete(folder: Path, report: dict) -> None:
    """Weights that the files lack would be random numbers: refuse them."""
    missing = sorted(report.get("missing_keys", ())) + sorted(
        str(key) for key in report.get("mismatched_keys", ())
    )
    if missing:
        raise ModelError(
            f"The model in {folder.name!r} is incomplete: {len(missing)} of its weights are "
            f"missing or have another shape, {missing[0]} for one. Download it again."
        )
