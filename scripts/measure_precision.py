"""What 16 and 8 bits change, on a pretrained network: python -m scripts.measure_precision

Writes data/precision/REPORT.md and precision.csv: SmolLM2 135M in bfloat16 and in 8 bits against
float32, over CounterFact prompts. Every figure is over the cells of FF2's VJPs (prompt, layer,
token) whose norm is above rounding error, answers and losses over the prompts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from core import LanguageModel, backward_lens, forward_lens, load_counterfact, load_model, trace

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT.parent / "shared/data/counterfact/counterfact_easyedit_10000.json"
FOLDER = ROOT / "data" / "precision"
PROMPTS = 20
MODEL = "smollm2-135m"
KINDS = ("bfloat16", "int8")


def prompts() -> list[tuple[str, str]]:
    """The first records' prompts and new targets."""
    records = load_counterfact(RECORDS).records[:PROMPTS]
    return [(record.prompt, record.target_new) for record in records]


def readings(model: LanguageModel, prompt: str, target: str) -> tuple[pd.DataFrame, dict]:
    """The cells of the backward lens with those of the forward lens, and what the prompt gives."""
    run = trace(model, prompt, target)
    cells = backward_lens(run)
    norms = run.factors["ff2"].delta.float().norm(dim=-1)
    thought = forward_lens(model, prompt, target)
    cells["norm"] = [float(norms[r.layer, r.position]) for r in cells.itertuples()]
    cells["top"] = [tokens[0] if tokens else "" for tokens in cells["top_tokens"]]
    cells["bottom"] = [tokens[0] if tokens else "" for tokens in cells["bottom_tokens"]]
    thought["said"] = [tokens[0] if tokens else "" for tokens in thought["top_tokens"]]
    both = cells.merge(
        thought[["layer", "position", "said", "target_rank"]],
        on=["layer", "position"],
        suffixes=("", "_forward"),
    )
    return both, {"answer": run.answer, "loss": run.loss}


def compare(exact: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """One row a cell that has a gradient: relative error of the norm, ranks, equal tokens."""
    kept = (exact["norm"] > 1e-6 * exact["norm"].max()) & exact["target_rank"].notna()
    a, b = exact[kept], other[kept]
    return pd.DataFrame(
        {
            "norm_error": (b["norm"] - a["norm"]).abs() / a["norm"],
            "rank_shift": (b["target_rank"] - a["target_rank"]).abs().astype(float),
            "same_bottom": a["bottom"] == b["bottom"],
            "same_top": a["top"] == b["top"],
            "same_thought": a["said"] == b["said"],
            "thought_shift": (b["target_rank_forward"] - a["target_rank_forward"]).abs(),
            "last": a["position"] == a["position"].max(),
        }
    )


def summary(kind: str, cells: pd.DataFrame, answers: pd.DataFrame) -> dict[str, object]:
    last = cells[cells["last"]]
    return {
        "precision": kind,
        "prompts": len(answers),
        "cells": len(cells),
        "norm_error_median": cells["norm_error"].median(),
        "norm_error_95": cells["norm_error"].quantile(0.95),
        "same_target_rank": (cells["rank_shift"] == 0).mean(),
        "rank_shift_median": cells["rank_shift"].median(),
        "last_same_target_rank": (last["rank_shift"] == 0).mean(),
        "last_rank_shift_median": last["rank_shift"].median(),
        "same_bottom": cells["same_bottom"].mean(),
        "same_top": cells["same_top"].mean(),
        "last_same_bottom": last["same_bottom"].mean(),
        "same_logit_lens": cells["same_thought"].mean(),
        "logit_lens_shift_median": cells["thought_shift"].median(),
        "same_answers": (answers["answer"] == answers["exact"]).mean(),
        "loss_error_median": (answers["loss"] - answers["exact_loss"]).abs().median(),
    }


LINES = (
    ("error of ‖δ‖ of FF2, median", "norm_error_median", "{:.2%}"),
    ("error of ‖δ‖ of FF2, 95% are below", "norm_error_95", "{:.2%}"),
    ("equal target ranks, backward lens", "same_target_rank", "{:.0%}"),
    ("target rank's shift, median", "rank_shift_median", "{:,.0f}"),
    ("equal target ranks, last token", "last_same_target_rank", "{:.0%}"),
    ("target rank's shift, last token, median", "last_rank_shift_median", "{:,.0f}"),
    ("equal bottom tokens", "same_bottom", "{:.0%}"),
    ("equal bottom tokens, last token", "last_same_bottom", "{:.0%}"),
    ("equal top tokens", "same_top", "{:.0%}"),
    ("equal top tokens of the logit lens", "same_logit_lens", "{:.0%}"),
    ("target rank's shift in the logit lens, median", "logit_lens_shift_median", "{:,.0f}"),
    ("equal answers", "same_answers", "{:.0%}"),
    ("difference of the loss, median, nats", "loss_error_median", "{:.3f}"),
)


def report(table: pd.DataFrame, vocabulary: int) -> str:
    head = table.iloc[0]
    lines = [
        "# What a smaller precision changes",
        "",
        "Made by `python -m scripts.measure_precision`. SmolLM2 135M in bfloat16 and in 8 bits "
        f"against float32, over the prompts of the first {head['prompts']} CounterFact records: "
        f"{head['cells']:,} cells (prompt, layer, token) that have a gradient; ranks are among "
        f"{vocabulary:,} tokens.",
        "",
        "| |" + "".join(f" {kind} |" for kind in table["precision"]),
        "|---|" + "---|" * len(table),
    ]
    for title, column, form in LINES:
        lines.append(f"| {title} |" + "".join(f" {form.format(v)} |" for v in table[column]))
    lines += [
        "",
        "The file of this model holds 4-bit numbers itself. bfloat16 keeps 8 significant bits of "
        "every weight; 8-bit matrices have one scale a row and move each weight by at most half of "
        "it. Activations and gradients are float32 in all three.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else MODEL
    exact_model = load_model(name, dtype="float32", device="cpu")
    asked = prompts()
    exact = [readings(exact_model, *pair) for pair in asked]
    rows = []
    for kind in KINDS:
        model = load_model(name, dtype=kind, device="cpu")
        got = [readings(model, *pair) for pair in asked]
        cells = pd.concat([compare(a, b) for (a, _), (b, _) in zip(exact, got, strict=True)])
        answers = pd.DataFrame([facts for _, facts in got])
        answers["exact"] = [facts["answer"] for _, facts in exact]
        answers["exact_loss"] = [facts["loss"] for _, facts in exact]
        rows.append(summary(kind, cells, answers))
    FOLDER.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows)
    table.replace({np.nan: None}).to_csv(FOLDER / "precision.csv", index=False, float_format="%.6g")
    text = report(table, exact_model.vocabulary_size)
    (FOLDER / "REPORT.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
