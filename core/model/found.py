"""Models that other programs have put on this machine: Hugging Face's cache, LM Studio, Ollama.

Only names and headers are read, nothing is opened that is not a model of a known architecture,
and nothing outside the folders in which these programs keep their models.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.constants import HF_HUB_CACHE

from core.errors import ModelError
from core.model.architectures import ARCHITECTURES
from core.model.catalog import BUILTIN, HUB_NAME, local_folder
from core.model.gguf_checks import check_gguf
from core.model.gguf_header import read_header

MOST_FOUND = 40  # of each place
SMALLEST = 1_000_000  # bytes of a weight file that is a model
OLLAMA_MODEL = "application/vnd.ollama.image.model"


@dataclass(frozen=True)
class FoundModel:
    """A model on this machine: what to show, and what `load_model` opens it by."""

    title: str
    path: str  # a hub name or the path of a GGUF file
    place: str  # the program that it belongs to
    size: int  # bytes on the disk


def found_models() -> tuple[FoundModel, ...]:
    """The models found on this machine that can be read, by place and title."""
    found: dict[str, FoundModel] = {}
    for search in (hub_models, lm_studio_models, ollama_models):
        for model, _ in zip(search(), range(MOST_FOUND), strict=False):
            found.setdefault(model.path, model)
    return tuple(found.values())


def hub_models() -> Iterator[FoundModel]:
    """GPT-2 and Llama architectures with safetensors weights in the hub's cache."""
    for folder in entries(Path(HF_HUB_CACHE)):
        if not folder.name.startswith("models--"):
            continue
        name = folder.name.removeprefix("models--").replace("--", "/")
        here = local_folder(name) if HUB_NAME.fullmatch(name) else None
        if here is None or name in BUILTIN or not is_known(here):
            continue
        size = sum(file.stat().st_size for file in here.glob("*.safetensors"))
        if size >= SMALLEST:
            yield FoundModel(name, name, "Hugging Face", size)


def is_known(folder: Path) -> bool:
    """Whether a folder's config names an architecture that can be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return config.get("model_type") in ARCHITECTURES
    except (OSError, ValueError, AttributeError):
        return False


def lm_studio_folders() -> list[Path]:
    """Where LM Studio keeps its models: as its settings say, and by default."""
    home = Path.home()
    folders = [home / ".lmstudio" / "models", home / ".cache" / "lm-studio" / "models"]
    try:
        settings = (home / ".lmstudio" / "settings.json").read_text(encoding="utf-8")
        chosen = json.loads(settings).get("downloadsFolder")
    except (OSError, ValueError, AttributeError):
        return folders
    own = [Path(chosen).expanduser()] if isinstance(chosen, str) and chosen else []
    return own + folders


def lm_studio_models() -> Iterator[FoundModel]:
    """GGUF files two folders deep: publisher/repository/file.gguf."""
    for root in lm_studio_folders():
        for publisher in entries(root):
            for repository in entries(publisher):
                for file in entries(repository):
                    if file.suffix.lower() == ".gguf" and is_readable(file):
                        yield FoundModel(file.stem, str(file), "LM Studio", file.stat().st_size)


def ollama_folders() -> list[Path]:
    """Where Ollama keeps its models: OLLAMA_MODELS, the user's folder, the Linux service's."""
    chosen = os.environ.get("OLLAMA_MODELS")
    folders = [Path(chosen).expanduser()] if chosen else []
    folders.append(Path.home() / ".ollama" / "models")
    if sys.platform.startswith("linux"):
        folders.append(Path("/usr/share/ollama/.ollama/models"))
    return folders


def ollama_models() -> Iterator[FoundModel]:
    """The blobs that Ollama's manifests name: registry/owner/model/tag, JSON with layers."""
    for root in ollama_folders():
        for registry in entries(root / "manifests"):
            for owner in entries(registry):
                for model in entries(owner):
                    for tag in entries(model):
                        blob = blob_of(tag, root)
                        if blob is not None and is_readable(blob):
                            title = f"{model.name}:{tag.name}"
                            size = blob.stat().st_size
                            yield FoundModel(title, str(blob), "Ollama", size)


def blob_of(manifest: Path, root: Path) -> Path | None:
    """The file of a manifest's model layer."""
    try:
        layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
        digest = next(layer["digest"] for layer in layers if layer["mediaType"] == OLLAMA_MODEL)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None
    if not isinstance(digest, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        return None
    return root / "blobs" / digest.replace(":", "-")


def is_readable(file: Path) -> bool:
    """Whether a file is a GGUF file that `load_model` would open."""
    try:
        check_gguf(read_header(file))
        return file.stat().st_size >= SMALLEST
    except (ModelError, OSError):
        return False


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where it cannot be read."""
    try:
        return sorted(folder.iterdir())[:1000]
    except OSError:
        return []
