"""data/mend/REPORT.md, from the figures of each network there."""

from __future__ import annotations

import json
from pathlib import Path

HEAD = """# MEND's networks: what they were trained on, and whether they beat a plain gradient step

Made by `python -m scripts.train_mend`. Nothing here was learned from: the records, their subjects
and, for "new relations", every fact of the relation were kept out of the training
(`scripts/mend_records.py`). Argmax accuracies in %: every token of the new target after the prompt
(efficacy) and in other words (paraphrase); *kept* is the share of a record's neighbours whose next
token stays, *KL* how far their next-token probabilities move, in nats. The plain step is -dL/dW of
the same matrices: once as long as MEND's edit, once scaled to where it disturbs the neighbours as
much as MEND does (between the factors of `gate-*.csv`, on a line over log KL). In brackets: 95%
intervals over records.
"""


def as_markdown(folder: Path) -> str:
    """The report of all figures-*.json in a folder."""
    parts = [HEAD]
    for file in sorted(folder.glob("figures-*.json")):
        parts.append(section(json.loads(file.read_text(encoding="utf-8"))))
    return "\n".join(parts)


def section(figures: dict) -> str:
    made, sites = figures["made"], figures["sites"]
    matrices = ", ".join(dict.fromkeys(matrix for matrix, _ in sites))
    layers = sorted({layer for _, layer in sites})
    lines = [
        f"## {figures['model']}",
        "",
        f"Edits {matrices} of layers {layers[0]} to {layers[-1]}; {figures['numbers']:,} numbers "
        f"of rank {made['rank']}, {figures['bytes'] / 1e6:.2f} MB. Trained with seed "
        f"{made['seed']} for {made['steps']:,} steps on {made['facts']:,} facts, "
        f"{made['seconds']:,.0f} s on two cores with other work.",
    ]
    for kind, gate in figures["gate"].items():
        lines += [
            "",
            f"{gate['records']} held-out records, {kind}:",
            "",
            "| | efficacy | paraphrase | kept | KL |",
            "|---|---|---|---|---|",
            *(line(row) for row in gate["rows"]),
            "",
            sentence(gate["rows"][-1]),
        ]
    return "\n".join(lines) + "\n"


def line(row: dict) -> str:
    shown = [share(row, name) for name in ("efficacy", "paraphrase", "kept")]
    kl = "" if row["kl"] is None else f"{row['kl']:.3f}"
    return f"| {row['name']} | {' | '.join(shown)} | {kl} |"


def share(row: dict, name: str) -> str:
    low = row.get(f"{name}_low")
    if low is None:
        return f"{100 * row[name]:.1f}"
    return f"{100 * row[name]:+.1f} [{100 * low:+.1f}, {100 * row[f'{name}_high']:+.1f}]"


def sentence(gain: dict) -> str:
    """What the interval says about the gain."""
    parts = []
    for name in ("efficacy", "paraphrase"):
        low, high = gain[f"{name}_low"], gain[f"{name}_high"]
        word = "better" if low > 0 else "worse" if high < 0 else "no different"
        parts.append(f"in {name} MEND is {word} ({100 * gain[name]:+.1f} points)")
    return f"At equal disturbance: {parts[0]}, {parts[1]}."
