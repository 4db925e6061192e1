"""Where models are kept that do not come from the hub."""

from __future__ import annotations

import os
from pathlib import Path


def models_folder() -> Path:
    """BACKWARD_LENS_MODELS, or a folder in the user's cache."""
    chosen = os.environ.get("BACKWARD_LENS_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "backward-lens" / "models"
