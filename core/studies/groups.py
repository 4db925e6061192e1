"""Two groups of a study's prompts compared: the difference, its interval and a verdict.

Compare what was chosen before looking: the mean over all layers, or one layer. Who looks at 30
layers and asks about the one that differs most finds something in 30 such intervals even where
there is nothing: of 95% intervals, 1 in 20 misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.errors import PromptError
from core.gradients.segments import LAST, SEGMENTS
from core.studies.batches import RANK_MATRICES
from core.studies.bootstrap import difference_interval
from core.studies.header import Header
from core.studies.sums import ALL
from core.studies.tables import Study

BY_SEGMENT = ("norm", "input_norm", "target_rank", "answer_rank")
QUANTITIES = (*BY_SEGMENT, "rank_is_full", "gradient_rank", "cosine", "prompt_length")
FEWEST = 5  # prompts of each group, for an interval
LARGER, SMALLER, UNDECIDED = "larger", "smaller", "no difference to be told"


@dataclass(frozen=True)
class Comparison:
    """Two groups' means of a quantity; `difference` is the first's minus the second's.

    It lies between low and high with 95% confidence: both are NaN below FEWEST prompts of a group.
    The verdict is "larger" or "smaller" (the first group), or "no difference to be told": the
    interval holds zero, or there is none.
    """

    quantity: str
    first: str
    second: str
    n_first: int
    n_second: int
    mean_first: float
    mean_second: float
    difference: float
    low: float
    high: float
    verdict: str


def compare_groups(
    study: Study,
    quantity: str,
    first: str,
    second: str,
    *,
    part: str = "ff2",
    layers: int | Sequence[int] | None = None,
    segment: str = LAST,
    answered: str = ALL,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Whether a quantity is larger in one group of a study's prompts than in another.

    What is averaged is what `prompt_values` gives, one number a prompt. The interval is a bootstrap
    over prompts, seeded: the expanded percentile interval (Hesterberg 2015; core.studies.bootstrap
    says why). It is right for one comparison that was chosen before looking: of many, 1 in 20
    misses by chance. Raises PromptError as `prompt_values` does, and for a group that there is not.
    """
    for name in (first, second):
        study.of_group(name)
    table = prompt_values(
        study, quantity, part=part, layers=layers, segment=segment, answered=answered
    )
    known = table[table["value"].notna()]
    a, b = (known.loc[known["group"] == name, "value"].to_numpy() for name in (first, second))
    means = [float(values.mean()) if len(values) else float("nan") for values in (a, b)]
    low = high = float("nan")
    if min(len(a), len(b)) >= FEWEST:
        low, high = difference_interval(a, b, level=0.95, resamples=resamples, seed=seed)
    verdict = LARGER if low > 0 else SMALLER if high < 0 else UNDECIDED
    gap = means[0] - means[1]
    return Comparison(quantity, first, second, len(a), len(b), *means, gap, low, high, verdict)


def prompt_values(
    study: Study,
    quantity: str,
    *,
    part: str = "ff2",
    layers: int | Sequence[int] | None = None,
    segment: str = LAST,
    answered: str = ALL,
) -> pd.DataFrame:
    """One number for each prompt of a study with groups: study.prompts and value.

    `quantity` is one of QUANTITIES, named as in the study's tables; `part` the module of a norm or
    the matrix of a rank; `layers` one layer, several, or all (their mean is taken; of cosines, the
    mean over pairs of different layers of which one is among them); `segment` the place in the
    prompt, of norms and token ranks. NaN for a prompt without that place. Raises PromptError for
    what the study does not have.
    """
    header = study.header
    if not study.groups:
        raise PromptError(
            "The study has no groups: give two or more groups of prompts a name, and make it anew."
        )
    among(quantity, QUANTITIES, "quantity")
    chosen = chosen_layers(layers, header.n_layers)
    table = study.prompts
    if quantity == "prompt_length":
        table["value"] = table["prompt_length"].astype(float)
    else:
        values = study.each.quantity(quantity, header)
        table["value"] = reduced(values, quantity, part, chosen, segment, header)
    return table if answered == ALL else table[table["answered"] == answered].reset_index(drop=True)


def reduced(
    values: np.ndarray,
    quantity: str,
    part: str,
    layers: list[int],
    segment: str,
    header: Header,
) -> np.ndarray:
    """A number for each prompt, from what is kept of it: (prompt, ...) -> (prompt,)."""
    if quantity == "cosine":
        pairs = np.zeros((header.n_layers, header.n_layers), dtype=bool)
        pairs[layers] = True
        np.fill_diagonal(pairs, False)
        return means(values[:, pairs])
    ranks = RANK_MATRICES if quantity in BY_SEGMENT else header.mlp_matrices
    parts = header.modules if "norm" in quantity else ranks
    values = values[:, among(part, parts, "part")][:, layers]
    if quantity in BY_SEGMENT:
        values = values[..., among(segment, SEGMENTS, "segment")]
    return means(values)


def means(values: np.ndarray) -> np.ndarray:
    """Over the second axis, without NaN; NaN where there is nothing."""
    present = ~np.isnan(values)
    n = present.sum(axis=1)
    return np.where(n > 0, np.where(present, values, 0.0).sum(axis=1) / np.maximum(n, 1), np.nan)


def among(name: str, known: Sequence[str], what: str) -> int:
    """Its place among the known; raises PromptError for another."""
    if name not in known:
        raise PromptError(f"There is no {what} {name!r}. Choose one of: {', '.join(known)}.")
    return known.index(name)


def chosen_layers(layers: int | Sequence[int] | None, n_layers: int) -> list[int]:
    every = range(n_layers)
    chosen = [layers] if isinstance(layers, int) else list(every if layers is None else layers)
    if not chosen or not set(chosen) <= set(every):
        raise PromptError(f"The layers are {layers}; the model has layers 0 to {n_layers - 1}.")
    return chosen
