"""The paper's claims that a study's tables cannot answer, measured on a few of its prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from core.gradients.imprint import imprint_and_shift
from core.gradients.lens import backward_lens
from core.gradients.trace import Trace, trace
from core.model.capture import exclusive
from core.model.language_model import LanguageModel
from core.studies.claims import FAILS, HOLDS, IN_PART, UNKNOWN, Claim, Finding, as_table, verdict
from core.studies.counterfact import Record

STEP = 0.1
EXACT, NEARLY = 1e-3, 1e-2  # relative differences that count as rounding
MOVED = 0.01  # of the vocabulary


def measure(model: LanguageModel, records: Sequence[Record]) -> dict[str, float]:
    """Figures for `measured_claims`: name -> number, over all records and a few layers of each.

    vjp_error, imprint_error and shift_error are the largest relative differences between the
    lemmas' predictions and what is measured; vjp_lowest the share of prompts whose first VJP has
    the target as its lowest token; shift_nearer the share of steps on FF2 that bring the target
    nearer to the top of its output; lens_moved the mean change of the target's rank by the
    normalised lens at the weaker half of the signals, as a part of the vocabulary. Raises
    PromptError for a record that does not fit.
    """
    last = model.n_layers - 1
    layers = sorted({round(last * share) for share in (0, 0.25, 0.5, 0.75, 1)})
    parts: dict[str, list[float]] = {}
    for record in records:
        run = trace(model, record.prompt, record.target_new)
        found = first_vjp(run) | one_step(run, layers) | {"lens_moved": lens_change(run)}
        for name, value in found.items():
            parts.setdefault(name, []).append(value)
    largest = {name for name in parts if name.endswith("_error")}
    return {
        name: float(np.max(values) if name in largest else np.mean(values))
        for name, values in parts.items()
    } | {"records": float(len(records))}


def first_vjp(run: Trace) -> dict[str, float]:
    """Lemma 5.1: dL/dh = sum_k (p[k] - [k = t]) D[k], h being what the decoding matrix reads."""
    model = run.model
    with exclusive(model, gradients=True):
        hidden = model.read(model.embed(run.ids))[:, -1].detach().requires_grad_()
        logits = model.unembedding(hidden)[0].float()
        loss = -logits.log_softmax(-1)[run.target.id]
        (measured,) = torch.autograd.grad(loss, hidden)
    coefficients = logits.detach().softmax(-1)
    coefficients[run.target.id] -= 1
    weight = model.unembedding.weight.float()
    measured, predicted = measured[0].float(), coefficients @ weight
    gap = (measured - predicted).norm() / predicted.norm()
    lowest = int((weight @ measured).argmin()) == run.target.id
    return {"vjp_error": float(gap), "vjp_lowest": float(lowest)}


def one_step(run: Trace, layers: Sequence[int]) -> dict[str, float]:
    """Lemma 5.2 at the last token: the errors of imprint and shift, and where the shift leads."""
    imprint = [imprint_and_shift(run, layer, matrix="ff1", step=STEP).error for layer in layers]
    steps = [imprint_and_shift(run, layer, matrix="ff2", step=STEP, top_k=1) for layer in layers]
    nearer = []
    for step in steps:
        table = step.table[step.table["stage"] == "mlp"].set_index("time")["target_rank"]
        table = table.astype("float64")  # a vector of zeros has none: it is not nearer
        nearer.append(table["after"] < table["before"] or table["after"] == 0)
    return {
        "imprint_error": max(imprint),
        "shift_error": max(step.error for step in steps),
        "shift_nearer": float(np.mean(nearer)),
    }


def lens_change(run: Trace) -> float:
    """How far the normalised lens moves the target's rank where FF2's signal is weak."""
    plain, normalised = (
        backward_lens(run, "ff2", top_k=1, normalize=on).dropna(subset="target_rank")
        for on in (False, True)
    )
    weak = plain["norm"] <= plain["norm"].median()
    moved = (plain["target_rank"] - normalised["target_rank"]).abs()[weak]
    return float(moved.mean() / (run.model.vocabulary_size - 1))


def measured_claims(figures: Mapping[str, float]) -> pd.DataFrame:
    """The claims that `measure` answers, as `claims` gives them; `forward_shift`, the share of
    prompts whose target is the answer after that edit, comes from whoever can edit."""
    return as_table((claim, judged(claim, figures)) for claim in MEASURED)


def judged(claim: Claim, figures: Mapping[str, float]) -> Finding:
    try:
        return claim.judge(figures)
    except KeyError:
        return UNKNOWN, "not measured"


def exactness(error: float) -> str:
    return HOLDS if error <= EXACT else IN_PART if error <= NEARLY else FAILS


def first_vjp_is_as_predicted(figures: Mapping[str, float]) -> Finding:
    lowest = figures["vjp_lowest"]
    return exactness(figures["vjp_error"]), (
        f"difference at most {figures['vjp_error']:.0e}; the target is its lowest token in "
        f"{lowest:.0%} of prompts"
    )


def step_is_as_predicted(figures: Mapping[str, float]) -> Finding:
    imprint, shift = figures["imprint_error"], figures["shift_error"]
    return exactness(max(imprint, shift)), (
        f"difference at most {imprint:.0e} (imprint), {shift:.0e} (shift)"
    )


def shift_leads_to_the_target(figures: Mapping[str, float]) -> Finding:
    share = figures["shift_nearer"]
    return verdict(share, 0.9, 0.6), f"{share:.0%} of steps"


def lens_needs_norms(figures: Mapping[str, float]) -> Finding:
    moved = figures["lens_moved"]
    return verdict(moved, MOVED, MOVED / 10), f"the target moves by {moved:.1%} of the vocabulary"


def forward_shift_works(figures: Mapping[str, float]) -> Finding:
    share = figures["forward_shift"]
    return verdict(share, 0.99, 0.5), f"{share:.0%} of prompts"


MEASURED = (
    Claim(
        "first_vjp",
        "The first signal is the target's embedding, subtracted, and every other one's, added",
        "Lemma 5.1",
        "measured = predicted to 0.1%; in part: to 1%",
        first_vjp_is_as_predicted,
    ),
    Claim(
        "one_step",
        "A step changes FF1's neurons (imprint) and FF2's output (shift) as predicted",
        "Lemma 5.2",
        "measured = predicted to 0.1%; in part: to 1%",
        step_is_as_predicted,
    ),
    Claim(
        "shift_target",
        f"A step of {STEP} on FF2 brings the target nearer to the top of its output",
        "Figures 1, 10",
        "at least 90% of steps; in part: 60%",
        shift_leads_to_the_target,
    ),
    Claim(
        "normalised_lens",
        "Weak signals read otherwise when they are divided by their norm first",
        "Appendix H, Figures 24, 25",
        "the target moves by 1% of the vocabulary; in part: by 0.1%",
        lens_needs_norms,
    ),
    Claim(
        "forward_shift",
        "A forward pass shift makes the target the answer",
        "Section 7, Table 1",
        "at least 99% of prompts; in part: 50%",
        forward_shift_works,
    ),
)
