"""Settings that a calibration found for exactly a model's weights: read, kept, forgotten.

They are kept beside the second moments, a small JSON file for each model and method; those of the
built-in models and of SmolLM2 ship in data/calibration/. A file that is damaged counts as none.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path

from core.editing.second_moments import cache_folder
from core.model.fingerprint import fingerprint
from core.model.language_model import LanguageModel
from core.model.workplace import WRITING, workplace

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "calibration"
FORMAT = 1
MAX_BYTES = 1_000_000
# The only settings that a file may bring, and what each must be.
NUMBERS = {"eta": 1e6, "lr": 1e9, "clamp": 100.0, "weight": 1e6}


def calibrated_settings(model: LanguageModel, method: str) -> dict[str, object]:
    """The settings that the model's calibration chose; empty if there is none."""
    kept = read_kept(model, method)
    return {} if kept is None else settings_in(kept, model)


def fixed_settings(model: LanguageModel, method: str) -> dict[str, object]:
    """One layer and strength for all prompts of the model, as the paper uses it; empty if none."""
    kept = read_kept(model, method) or {}
    return settings_in({"settings": kept.get("fixed")}, model) or {}


def read_kept(model: LanguageModel, method: str) -> dict | None:
    """The content of the user's own file, else of the shipped one; None if there is neither."""
    for folder in (cache_folder(), SHIPPED):
        content = read_file(folder / file_name(model, method))
        if content is not None and settings_in(content, model) is not None:
            return content
    return None


def file_name(model: LanguageModel, method: str) -> str:
    return f"calibration-{fingerprint(model)}-{method}.json"


def read_file(path: Path) -> dict | None:
    try:
        if path.stat().st_size > MAX_BYTES:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    good = isinstance(content, dict) and content.get("format") == FORMAT
    return content if good and isinstance(content.get("rows"), list) else None


def settings_in(content: Mapping[str, object], model: LanguageModel) -> dict[str, object] | None:
    """The chosen settings of a file; {} if it chose none, None if they do not fit the model."""
    chosen = content.get("settings")
    if not isinstance(chosen, dict):
        return None
    settings: dict[str, object] = {}
    for name, value in chosen.items():
        if name == "layer" and is_layer(value, model):
            settings[name] = value
        elif name == "layers" and isinstance(value, list) and value:
            if not all(is_layer(layer, model) for layer in value):
                return None
            settings[name] = tuple(value)
        elif name == "matrices" and isinstance(value, list) and value:
            if not all(matrix in model.matrices for matrix in value):
                return None
            settings[name] = tuple(value)
        elif name in NUMBERS and (value == "auto" or is_number(value, NUMBERS[name])):
            settings[name] = value
        else:
            return None
    return settings


def is_layer(value: object, model: LanguageModel) -> bool:
    return type(value) is int and 0 <= value < model.n_layers


def is_number(value: object, high: float) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= high


def write_kept(
    model: LanguageModel, method: str, content: dict, folder: Path | None = None
) -> None:
    """Whole or not at all; a disk that cannot be written only costs the next user the time."""
    path = (folder or cache_folder()) / file_name(model, method)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with workplace(path.parent, WRITING) as place:
            draft = place / path.name
            text = json.dumps({"format": FORMAT, **content}, ensure_ascii=False, indent=1)
            draft.write_text(text + "\n", encoding="utf-8")
            os.replace(draft, path)
    except OSError:
        return


def forget(model: LanguageModel, method: str) -> None:
    """Back to the settings that hold without a calibration of the user's own."""
    (cache_folder() / file_name(model, method)).unlink(missing_ok=True)
