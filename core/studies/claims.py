"""Which of the paper's claims a study bears out: a verdict and its figure for each.

Most claims are of the form "in the layers": such a claim holds where it is true of at least 90% of
the layers, and in part where it is true of at least 20%. The others say what they take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.gradients.segments import FIRST, LAST, LAST_OF_SUBJECT, MIDDLE, SEGMENTS
from core.studies.sums import ALL
from core.studies.tables import Study

HOLDS, IN_PART, FAILS, UNKNOWN = VERDICTS = ("holds", "in part", "fails", "unknown")
MOST_LAYERS, SOME_LAYERS = 0.9, 0.2
BY_LAYERS = "true of 90% of the layers; in part: of 20%"
FULL_RANK = 0.985  # the paper's share
LOWEST_TENTH, TOP_QUARTER, TOP_HUNDREDTH, TOP_TENTH = 0.9, 0.25, 0.01, 0.1
BY_PLACE = {"signal_last", "signal_subject", "signal_parts"}  # claims that ask about segments
SUBJECT = (FIRST, MIDDLE, LAST_OF_SUBJECT)

Finding = tuple[str, str]  # a verdict and its figure


@dataclass(frozen=True)
class Claim:
    """Something that the paper says, and how a study is asked about it."""

    name: str
    text: str
    source: str  # figure or lemma
    takes: str  # what it takes to hold, and to hold in part
    judge: Callable[..., Finding]  # from a study and its prompts, or from what was measured


def claims(study: Study, *, answered: str = ALL) -> pd.DataFrame:
    """The paper's claims that a study's tables can answer, a row each.

    Columns: name, claim, source (figure or lemma), takes (when it holds), verdict ("holds", "in
    part", "fails"; "unknown" where the study has no such prompts) and figure (what was found, in
    words). `answered` is all, correctly or wrongly.
    """
    counted = of_prompts(study.norms, answered).query("n > 0")
    no_subjects = (counted["segment"] == LAST).all()
    nothing = (UNKNOWN, "no such prompts" if counted.empty else "no prompt names its subject")
    unasked = {c.name for c in CLAIMS} if counted.empty else BY_PLACE if no_subjects else set()
    return as_table((c, nothing if c.name in unasked else c.judge(study, answered)) for c in CLAIMS)


def as_table(found: Iterable[tuple[Claim, Finding]]) -> pd.DataFrame:
    rows = [(c.name, c.text, c.source, c.takes, *finding) for c, finding in found]
    return pd.DataFrame(rows, columns=["name", "claim", "source", "takes", "verdict", "figure"])


def verdict(value: float, holds: float, in_part: float) -> str:
    """The verdict on a share: at least `holds`, at least `in_part`, or less."""
    if np.isnan(value):
        return UNKNOWN
    return HOLDS if value >= holds else IN_PART if value >= in_part else FAILS


def of_layers(true: np.ndarray, more: str = "") -> Finding:
    """The verdict on a claim about layers, from whether it is true of each, the lowest first."""
    if not len(true):
        return UNKNOWN, "the model has one layer"
    given = f"{int(true.sum())} of {len(true)} layers{runs(np.flatnonzero(true), len(true))}"
    return verdict(true.mean(), MOST_LAYERS, SOME_LAYERS), f"{given}{more}"


def runs(layers: np.ndarray, total: int) -> str:
    """Which layers, where it is neither all nor none: " (18-29)"."""
    if len(layers) in (0, total):
        return ""
    groups = np.split(layers, np.flatnonzero(np.diff(layers) > 1) + 1)
    parts = [str(g[0]) if len(g) == 1 else f"{g[0]}-{g[-1]}" for g in groups]
    return f" ({', '.join(parts)})" if len(parts) < 4 else ""


def of_prompts(table: pd.DataFrame, answered: str, **wanted: str) -> pd.DataFrame:
    """The rows of some prompts, and of a matrix, module or segment."""
    for column, value in {"answered": answered, **wanted}.items():
        table = table[table[column] == value]
    return table


def layer_ranks(study: Study, answered: str, matrix: str, word: str) -> np.ndarray:
    """A word's mean rank at the last token as a part of the vocabulary: (layer,)."""
    table = of_prompts(study.token_ranks, answered, matrix=matrix, segment=LAST)
    ranks = table.sort_values("layer")[f"{word}_rank"].to_numpy(float)
    return ranks / (study.header.vocabulary_size - 1)


def layer_norms(study: Study, answered: str, module: str) -> pd.DataFrame:
    """Mean norms of the signal below the last layer, a row a layer and a column a segment.

    In the last layer only the last token has a signal, whatever the model.
    """
    table = of_prompts(study.norms, answered, module=module).pivot(
        index="layer", columns="segment", values="norm"
    )
    return table[[*SEGMENTS]].iloc[:-1].dropna(axis=1, how="all")


# One function a claim


def full_rank(study: Study, answered: str) -> Finding:
    shares = of_prompts(study.gradient_ranks, answered, matrix="ff1")["rank_is_full"].to_numpy()
    body = shares[:-1]
    if not len(body):
        return UNKNOWN, "the model has one layer"
    lowest, mean = body.min(), body.mean()
    word = HOLDS if lowest >= FULL_RANK else IN_PART if mean >= FULL_RANK else FAILS
    where = "" if lowest == 1 else f"; {lowest:.0%} in layer {int(body.argmin())}, the lowest"
    return word, f"{mean:.1%} of cases{where}"


def last_rank_is_one(study: Study, answered: str) -> Finding:
    table = of_prompts(study.gradient_ranks, answered)
    ranks = table.loc[table["layer"] == study.header.n_layers - 1, "gradient_rank"]
    largest = float(ranks.max())
    word = HOLDS if largest == 1 else IN_PART if largest < 1.05 else FAILS
    return word, f"{largest:.4g} on average"


def target_is_least_probable(study: Study, answered: str) -> Finding:
    ranks = layer_ranks(study, answered, "ff2", "target")
    best = int(np.nanargmax(ranks))
    return of_layers(ranks >= LOWEST_TENTH, f"; lowest in layer {best}, {ranks[best]:.1%} down")


def answer_is_probable(study: Study, answered: str) -> Finding:
    ranks = layer_ranks(study, answered, "ff2", "answer")
    best = int(np.nanargmin(ranks))
    return of_layers(ranks <= TOP_QUARTER, f"; highest in layer {best}, {ranks[best]:.1%} down")


def signal_is_largest_at_the_end(study: Study, answered: str) -> Finding:
    table = layer_norms(study, answered, "ff2")
    strongest = table.idxmax(axis=1)
    others = strongest[strongest != LAST]
    more = f"; elsewhere at: {others.mode()[0]}" if len(others) else ""
    return of_layers((strongest == LAST).to_numpy(), more)


def subject_is_next(study: Study, answered: str) -> Finding:
    table = layer_norms(study, answered, "ff2").drop(columns=LAST)
    strongest = table.idxmax(axis=1)
    others = strongest[~strongest.isin(SUBJECT)]
    more = f"; elsewhere at: {others.mode()[0]}" if len(others) else ""
    return of_layers(strongest.isin(SUBJECT).to_numpy(), more)


PARTS = {  # in words
    "ff1": "the MLP's input",
    "gate": "the MLP's gate",
    "ff2": "the MLP's output",
    "attn_in": "the attention's input",
    "attn_out": "the attention's output",
    "block": "the whole block",
}


def every_part_alike(study: Study, answered: str) -> Finding:
    """Of all modules and layers, in how many the last token has the largest signal."""
    parts = {
        module: (layer_norms(study, answered, module).idxmax(axis=1) == LAST)
        for module in study.header.modules
    }
    everything = np.concatenate([part.to_numpy(bool) for part in parts.values()])
    if not len(everything):
        return UNKNOWN, "the model has one layer"
    least = min(parts, key=lambda module: parts[module].mean())
    share = everything.mean()
    figure = (
        f"{share:.0%} of layers and parts; fewest for {PARTS[least]}, {parts[least].mean():.0%}"
    )
    return verdict(share, MOST_LAYERS, SOME_LAYERS), figure if share < 1 else "all layers and parts"


def mlp_more_than_attention(study: Study, answered: str) -> Finding:
    table = of_prompts(study.norms, answered, segment=LAST).pivot(
        index="layer", columns="module", values="norm"
    )
    ratio = float((table["ff1"] / table["attn_in"]).median())
    return of_layers((table["ff1"] > table["attn_in"]).to_numpy(), f"; median ratio {ratio:.1f}")


def answer_rises(study: Study, answered: str) -> Finding:
    ranks = layer_ranks(study, answered, "ff1", "answer")
    end = ranks[-1]
    word = HOLDS if end <= TOP_HUNDREDTH else IN_PART if end <= TOP_TENTH else FAILS
    return word, f"{ranks[0]:.1%} down in layer 0, {end:.1%} in the last"


def target_stays_behind(study: Study, answered: str) -> Finding:
    answer, target = (layer_ranks(study, answered, "ff1", word) for word in ("answer", "target"))
    return of_layers(answer < target, f"; in the last, {target[-1]:.1%} down")


def neighbours_are_alike(study: Study, answered: str) -> Finding:
    """Whether the mean cosine falls with each layer more between two."""
    table = of_prompts(study.cosines, answered)
    apart = (table["layer"] - table["other_layer"]).abs()
    means = table["cosine"].groupby(apart).mean().to_numpy()[1:]  # one layer apart, two, …
    if len(means) < 2:
        return UNKNOWN, "too few layers"
    middle = len(means) // 2
    share = float((np.diff(means) < 0).mean())
    figure = (
        f"{means[0]:.2f} between neighbours, {means[middle]:.2f} at {middle + 1} layers' "
        f"distance, {means[-1]:.2f} between the ends"
    )
    return verdict(share, MOST_LAYERS, SOME_LAYERS), figure


CLAIMS = (
    Claim(
        "full_rank",
        "FF1's gradient has as many directions as the prompt has tokens, below the last layer",
        "Lemma 4.1, Figure 3",
        "at least 98.5% of prompts in every layer; in part: on average",
        full_rank,
    ),
    Claim(
        "last_rank",
        "In the last layer every MLP matrix's gradient has one direction",
        "Figure 3",
        "always rank 1; in part: below 1.05 on average",
        last_rank_is_one,
    ),
    Claim(
        "target_bottom",
        "At the last token, FF2's signal has the target among the 10% least probable tokens",
        "Figures 6, 18",
        BY_LAYERS,
        target_is_least_probable,
    ),
    Claim(
        "answer_top",
        "At the last token, FF2's signal has the model's own answer in the most probable quarter",
        "Figure 19",
        BY_LAYERS,
        answer_is_probable,
    ),
    Claim(
        "signal_last",
        "FF2's signal is strongest at the last token",
        "Figure 5",
        BY_LAYERS,
        signal_is_largest_at_the_end,
    ),
    Claim(
        "signal_subject",
        "Of the other tokens, it is strongest at the subject's",
        "Figure 5",
        BY_LAYERS,
        subject_is_next,
    ),
    Claim(
        "signal_parts",
        "Every part of the model has its strongest signal at the last token",
        "Figure 16",
        "true of 90% of all layers and parts; in part: of 20%",
        every_part_alike,
    ),
    Claim(
        "mlp_attention",
        "At the last token the MLP's input matrix has a stronger signal than the attention's",
        "Figures 16, 17",
        BY_LAYERS,
        mlp_more_than_attention,
    ),
    Claim(
        "answer_rises",
        "In FF1's input at the last token the answer rises to the most probable 1%",
        "Figure 20",
        "in the last layer; in part: to the most probable 10%",
        answer_rises,
    ),
    Claim(
        "target_behind",
        "In FF1's input at the last token the target stands behind the answer",
        "Figures 20, 21",
        BY_LAYERS,
        target_stays_behind,
    ),
    Claim(
        "neighbours",
        "The nearer two layers, the more alike are their signals at the last token",
        "Figures 22, 23",
        "the mean cosine falls with 90% of the steps in distance; in part: with 20%",
        neighbours_are_alike,
    ),
)
