"""The studies that come with Backward Lens; `scripts/make_studies.py` made them."""

from __future__ import annotations

import json
from pathlib import Path

from core.studies.tables import Study

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "studies"
STUDIED = ("smollm2-135m", "tiny-gpt2", "tiny-llama2")
MEASURES = "measured.json"


def shipped_studies() -> dict[str, Study]:
    """The shipped studies by the model's name: 100 CounterFact records each, seed 0."""
    files = {name: SHIPPED / f"{name}.zip" for name in STUDIED}
    return {name: Study.load(file) for name, file in files.items() if file.is_file()}


def shipped_measures() -> dict[str, dict[str, float]]:
    """What `measure` found on the shipped studies' models, by the model's name."""
    file = SHIPPED / MEASURES
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
