"""Which layer and eta suit the forward pass shift: python -m scripts.scan_forward_shift

Every layer of both built-in models with several etas and with "auto", on records of
data/mini_counterfact.json. Writes data/editing/forward_shift.csv (a row a model, layer and eta) and
data/editing/FORWARD_SHIFT.md; the defaults in core/forward_shift.py are chosen from there.
"""

from __future__ import annotations

import argparse
import logging
import random

import pandas as pd

from core import load_model
from core.editing.hyperparameters import AUTO
from core.editing.scores import SCORES
from core.model.catalog import BUILTIN
from scripts.evaluate_edits import OUTPUT, evaluate, load_records

ETAS = (AUTO, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
SAMPLE = 60
log = logging.getLogger("scan_forward_shift")


def scan(name: str, records: list[dict]) -> pd.DataFrame:
    """A row a layer and eta: mean accuracies, from 0 to 1."""
    model, rows = load_model(name), []
    for layer in range(model.n_layers):
        for eta in ETAS:
            table = evaluate(model, records, "forward-shift", layer=layer, eta=eta)
            means = table[[*SCORES]].mean().to_dict()
            rows.append({"model": name, "layer": layer, "eta": eta} | means)
            log.info("%s", rows[-1])
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame, records: int) -> str:
    lines = [
        "# Layer and eta of the forward pass shift",
        "",
        f"Made by `python -m scripts.scan_forward_shift` on {records} sampled records of",
        "`data/mini_counterfact.json`. Each cell: efficacy / paraphrase / neighbourhood, argmax",
        "accuracies in %. `auto` is the smallest eta that makes the target the answer, found for",
        "each prompt.",
    ]
    for name in table["model"].unique():
        own = table[table["model"] == name]
        etas = own["eta"].unique()
        lines += ["", f"## {name}", "", "| layer | " + " | ".join(map(str, etas)) + " |"]
        lines.append("|---" * (len(etas) + 1) + "|")
        for layer, part in own.groupby("layer"):
            cells = [
                " / ".join(f"{100 * row[score]:.0f}" for score in SCORES)
                for _, row in part.iterrows()
            ]
            lines.append(f"| {layer} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=SAMPLE)
    records = random.Random(0).sample(load_records(), parser.parse_args().records)
    table = pd.concat([scan(name, records) for name in BUILTIN], ignore_index=True)
    OUTPUT.mkdir(exist_ok=True)
    table.round(4).to_csv(OUTPUT / "forward_shift.csv", index=False)
    (OUTPUT / "FORWARD_SHIFT.md").write_text(as_markdown(table, len(records)), encoding="utf-8")


if __name__ == "__main__":
    main()
