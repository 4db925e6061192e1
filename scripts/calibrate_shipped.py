"""The calibrations that ship: python -m scripts.calibrate_shipped [model ...] [--methods ...]

Writes data/calibration/calibration-<fingerprint>-<method>.json for the built-in models, on
data/mini_counterfact.json, and for any other model or folder on the CounterFact file that
--records names, without the records that it is judged by (--leave-out).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from core import calibrate, load_counterfact, load_model
from core.editing.calibrated import SHIPPED
from core.model.catalog import BUILTIN
from scripts.corpus import DATA

log = logging.getLogger("calibrate_shipped")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=BUILTIN)
    parser.add_argument("--methods", nargs="*", default=["forward-shift"])
    parser.add_argument("--records", type=Path, default=DATA / "mini_counterfact.json")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--leave-out", type=Path, help="records not to tune on: known-<name>.json")
    given = parser.parse_args()
    out = left_out(given)
    records = [r for r in load_counterfact(given.records) if r.case_id not in out]
    SHIPPED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BACKWARD_LENS_CACHE"] = folder
        for name in given.models:
            model = load_model(name)
            for method in given.methods:
                found = calibrate(model, method, records, limit=given.limit)
                log.info("%s %s: %d known, %s", name, method, found.known, found.settings)
                log.info("%s", found.table.round(3).to_string())
        for file in Path(folder).glob("calibration-*.json"):
            shutil.copy(file, SHIPPED / file.name)


def left_out(given: argparse.Namespace) -> set[int]:
    """What scripts.evaluate_pretrained judges a model by."""
    if given.leave_out is None:
        return set()
    return set(json.loads(given.leave_out.read_text(encoding="utf-8"))["known"])


if __name__ == "__main__":
    main()
