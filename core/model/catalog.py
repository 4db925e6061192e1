"""The models that the app offers, whether they are on this machine, and how to fetch them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import tqdm as progress_bar

from core.errors import ModelError
from core.model.package_index import PACKAGES, fetch, packaged_folder

BUILTIN_FOLDER = Path(__file__).resolve().parents[2] / "data" / "models"

# What a model needs of its repository: nothing pickled, nothing that is code.
NEEDED_FILES = [
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
]
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class ModelCard:
    """A model that the app knows by name. Sizes are in bytes, of the download and in memory.

    `package` models come from the package index, the others from the Hugging Face hub.
    """

    name: str
    title: str
    parameters: int
    download: int
    memory: int  # float32; Llama2-7B in bfloat16
    builtin: bool = False
    gated: bool = False
    package: bool = False
    licence: str = ""
    note: str = ""  # what it is, in a sentence or two


CATALOG = (
    ModelCard("tiny-gpt2", "Tiny GPT-2", 2_123_008, 4_500_000, 8_500_000, builtin=True),
    ModelCard("tiny-llama2", "Tiny Llama 2", 2_656_384, 5_600_000, 10_600_000, builtin=True),
    ModelCard(
        "smollm2-135m",
        "SmolLM2 135M · a real pretrained model",
        134_515_008,
        92_871_040,
        538_060_032,
        package=True,
        licence="Apache-2.0",
        note="A network of Llama 2's architecture with 30 layers, trained on 2 trillion tokens of "
        "text and then on instructions; its weights come from a 4-bit file, rounded. Strong at "
        "English, weak at facts.",
    ),
    ModelCard("gpt2", "GPT-2 small", 124_439_808, 548_000_000, 498_000_000),
    ModelCard("gpt2-medium", "GPT-2 medium", 354_823_168, 1_520_000_000, 1_420_000_000),
    ModelCard("gpt2-large", "GPT-2 large", 774_030_080, 3_250_000_000, 3_100_000_000),
    ModelCard("gpt2-xl", "GPT-2 XL", 1_557_611_200, 6_430_000_000, 6_230_000_000),
    ModelCard(
        "meta-llama/Llama-2-7b-hf",
        "Llama 2 7B",
        6_738_415_616,
        13_480_000_000,
        13_480_000_000,
        gated=True,
    ),
)
BUILTIN = tuple(card.name for card in CATALOG if card.builtin)


def is_elsewhere(name: str) -> bool:
    """Whether a user's text names another machine's folder (\\\\server\\share, //server/share).

    To look at one is to log in there on Windows: a link to such a model would give the user's
    password away, as its hash.
    """
    return re.match(r"\s*[\\/]{2}", name) is not None


def existing_folder(name: str) -> Path | None:
    """The folder of this machine that a user's text names, or None; any text is allowed."""
    if is_elsewhere(name):
        return None
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a zero byte
        return None


def existing_file(name: str) -> Path | None:
    """The file of this machine that a user's text names, or None; any text is allowed."""
    if is_elsewhere(name):
        return None
    try:
        file = Path(name).expanduser()
        return file if file.is_file() else None
    except (OSError, RuntimeError, ValueError):
        return None


def looks_like_folder(name: str) -> bool:
    """Whether a user's text means a folder or file here rather than a model on the hub."""
    known = any(card.name == name for card in CATALOG)
    written_as_path = name.startswith((".", "/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", name)
    written_as_path = written_as_path or name.lower().endswith(".gguf")
    return not known and bool(written_as_path or existing_folder(name) or existing_file(name))


def local_folder(name: str) -> Path | None:
    """The folder that holds a model on this machine, or None; never uses the network."""
    if name in BUILTIN:
        return BUILTIN_FOLDER / name
    if name in PACKAGES:
        return packaged_folder(name)
    if looks_like_folder(name):
        return existing_folder(name)
    try:
        folder = Path(snapshot_download(name, local_files_only=True, allow_patterns=NEEDED_FILES))
    except (LocalEntryNotFoundError, HFValidationError, OSError, ValueError):
        return None
    return folder if any(folder.glob("*.safetensors")) else None


def is_on_this_machine(name: str) -> bool:
    """Whether `load_model(name)` needs no download."""
    return local_folder(name) is not None or (
        looks_like_folder(name) and existing_file(name) is not None
    )


def download_model(name: str, *, on_progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch a model from the Hugging Face hub into HF_HOME; returns its folder.

    "smollm2-135m" comes from the package index, into the folder for models.

    `on_progress(done, all)` is called with bytes as they arrive; an exception that it raises ends
    the download, which goes on from there next time. Raises ModelError for an unknown name, a
    gated model without access, and no network.
    """
    if name in PACKAGES:
        return fetch(name, on_progress=on_progress)
    if not HUB_NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} is no model name. A name on the Hugging Face hub looks like gpt2 or "
            "meta-llama/Llama-2-7b-hf; a folder on this machine is written as a path."
        )
    try:
        return Path(
            snapshot_download(
                name, allow_patterns=NEEDED_FILES, tqdm_class=reporting_bar(on_progress)
            )
        )
    except GatedRepoError:
        raise ModelError(
            f"{name} needs permission. Accept its licence on huggingface.co/{name}, then set "
            "HF_TOKEN to an access token of your account and start the app again."
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"The Hugging Face hub has no model {name!r} that you may read. Check the spelling; "
            "for a private or gated model set HF_TOKEN to your access token."
        ) from None
    except (OSError, HFValidationError) as error:
        raise ModelError(
            f"{name} is not on this machine and could not be downloaded: the Hugging Face hub "
            "does not answer. Check the network, or choose a built-in model; they need none."
        ) from error


def reporting_bar(on_progress: Callable[[int, int], None] | None) -> type:
    """A progress bar class that draws nothing and reports the bytes written."""

    class Reporting(progress_bar):
        def __init__(self, *args: object, **keywords: object) -> None:
            keywords["disable"] = False
            keywords["file"] = _Silent()
            super().__init__(*args, **keywords)

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            reconstructing = "Reconstruct" in str(self.desc)
            if on_progress and self.unit == "B" and reconstructing:
                on_progress(int(self.n), int(self.total or 0))
            return shown

    return Reporting


class _Silent:
    def write(self, _: str) -> None: ...

    def flush(self) -> None: ...
