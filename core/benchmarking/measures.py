"""What is measured of an edit, from the logits of its prompts (memit's CounterFact evaluation).

A prompt's answer is compared token by token under teacher forcing. NLL is the mean over the
target's tokens, so that P = exp(-NLL) is a geometric mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

SHARES = (
    "efficacy_acc",
    "paraphrase_acc",
    "neighbourhood_acc",
    "efficacy_success",
    "paraphrase_success",
    "neighbourhood_success",
    "efficacy_diff",
    "paraphrase_diff",
    "neighbourhood_diff",
    "kept",
    "generated",
    "negation",
    "reversed_acc",
    "reversed_success",
)
MEASURES = (*SHARES, "entropy", "reference", "perplexity", "seconds", "bytes")
TEXTS = ("case_id", "method", "problem", "text", "said", "nlls")
COLUMNS = ("record", "case_id", "method", *MEASURES, "problem", "text", "said", "nlls")
KINDS = ("rewrite", "paraphrase", "neighbour", "negation", "reversed")


def success(wanted: float, other: float) -> float:
    """1 where the wanted target is strictly more probable than the other one; both are NLLs."""
    return float(wanted < other)


def magnitude(wanted: float, other: float) -> float:
    """P(wanted) - P(other), from their NLLs."""
    return math.exp(-wanted) - math.exp(-other)


def mean(values: Sequence[float]) -> float:
    """NaN where there is none."""
    return sum(values) / len(values) if values else float("nan")
