"""What differs between two runs: tables of the lenses, norms and ranks, left against right.

A difference is always right less left. Cells stand for each other token by token where both prompts
have the same tokens, else by segment of the subject (core.gradients.segments). Models with other
numbers of layers have no cells in common: their curves can be laid over relative depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from core.errors import PromptError
from core.gradients.lens import NEAR_ZERO
from core.gradients.segments import SEGMENTS, segment_means
from core.gradients.trace import Trace

Segments = tuple[Sequence[str], Sequence[str]]  # of the left prompt's tokens, of the right one's
BY_TOKEN, BY_SEGMENT, APART = "token", "segment", ""
KEYS = ("layer", "module", "matrix", "position", "token")


@dataclass(frozen=True)
class Alignment:
    """How two tables stand for each other: "token", "segment" or "" (not at all), and, where it is
    not by token, why, as a sentence."""

    by: str
    reason: str = ""


def alignment(
    left: pd.DataFrame, right: pd.DataFrame, *, segments: Segments | None = None
) -> Alignment:
    """How two tables of core's can be compared cell by cell.

    left, right: tables with layer, position and token. `segments` are what `segments(model, prompt,
    subject)` says of either prompt, if both have a subject.
    """
    layers = [int(table["layer"].max()) + 1 for table in (left, right)]
    if layers[0] != layers[1]:
        return Alignment(
            APART,
            f"The models have {layers[0]} and {layers[1]} layers: layer 5 of one is not layer 5 of "
            "the other, so that there is no difference cell by cell.",
        )
    tokens = [token_texts(table) for table in (left, right)]
    if tokens[0] == tokens[1]:
        return Alignment(BY_TOKEN)
    why = "The two sides are not read as the same tokens"
    if segments is None:
        return Alignment(
            APART, f"{why}, and segments need a subject that stands in the prompt on both sides."
        )
    common = [name for name in SEGMENTS if name in segments[0] and name in segments[1]]
    return Alignment(
        BY_SEGMENT, f"{why}: they are compared by segment, as seen from the subject.{among(common)}"
    )


def among(common: list[str]) -> str:
    """Which segments both prompts have, where that is not all of those that there are."""
    names = ", ".join(f"“{name}”" for name in common)
    return "" if len(common) == len(SEGMENTS) else f" Both have: {names}."


def forward_difference(
    left: pd.DataFrame,
    right: pd.DataFrame,
    *,
    vocabularies: tuple[int, int],
    segments: Segments | None = None,
) -> pd.DataFrame:
    """Two tables of forward_lens: the words, and how probable each side's own target is.

    Columns: layer, position, token; left_word, right_word, same_word (by token only; <NA> where
    either side has no words); and for each of probability, log_probability (nats) and place: left_,
    right_, and its difference, right less left. A place is the target's rank as a share of the
    vocabulary, 0 for the most probable token and 1 for the last one, so that models of other
    vocabularies can be compared. `vocabularies` are their sizes. A probability of zero has no
    logarithm. `segments` as in `alignment`: cells are then means over a segment's tokens, of the
    logarithms and places too. Raises PromptError where the tables do not align.
    """
    sides = []
    for table, size in zip((left, right), vocabularies, strict=True):
        probability = table["target_probability"].astype("float64")
        sides.append(
            table[["layer", "position", "token"]].assign(
                probability=probability,
                log_probability=np.log(probability.where(probability > 0)),
                place=place_in_vocabulary(table["target_rank"], size),
            )
        )
    result = paired(*sides, ("probability", "log_probability", "place"), segments)
    return result if segments else with_words(result, left, right, "top_tokens")


def backward_difference(
    left: pd.DataFrame,
    right: pd.DataFrame,
    *,
    vocabularies: tuple[int, int],
    segments: Segments | None = None,
    words: str = "bottom_tokens",
) -> pd.DataFrame:
    """Two tables of backward_lens: the words, how strong each signal is, and the targets' places.

    Columns: layer, position, token; left_word, right_word, same_word as in forward_difference, from
    the lists `words` (FF2's bottom ones); and, as left_, right_ and difference (right less left),
    norm (L2 of delta), share (a cell's norm as a part of all of its side's, which also compares
    signals of other scales) and place (of the target in delta, as in forward_difference). A cell
    that is near zero has no word and no place on that side. Raises PromptError.
    """
    sides = []
    for table, size in zip((left, right), vocabularies, strict=True):
        place = place_in_vocabulary(table["target_rank"], size)
        sides.append(
            table[["layer", "position", "token", "norm"]].assign(
                share=shares(table["norm"]), place=place.mask(table["near_zero"])
            )
        )
    result = paired(*sides, ("norm", "share", "place"), segments)
    if segments:
        return result
    return with_words(result, left, right, words, blank=(left["near_zero"], right["near_zero"]))


def norm_difference(
    left: pd.DataFrame, right: pd.DataFrame, *, segments: Segments | None = None
) -> pd.DataFrame:
    """Two tables of vjp_norms, or the rows of one module in both.

    Columns: layer, module, position, token; and, as left_, right_ and difference (right less left),
    norm, input_norm and their shares of the module's whole (share, input_share). Raises
    PromptError.
    """
    sides = []
    for table in (left, right):
        modules = table["module"]
        sides.append(
            table.assign(
                share=shares(table["norm"], modules),
                input_share=shares(table["input_norm"], modules),
            )
        )
    return paired(*sides, ("norm", "input_norm", "share", "input_share"), segments)


def rank_difference(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Two tables of gradient_rank, of models with the same number of layers.

    Columns: layer, matrix (those that both have); and, as left_, right_ and difference (right less
    left), rank and share (the rank as a part of the prompt's tokens, the most that is possible).
    Raises PromptError.
    """
    sides = [table.assign(share=table["rank"] / table["prompt_length"]) for table in (left, right)]
    return paired(*sides, ("rank", "share"), None)


def delta_cosines(
    left: Trace, right: Trace, matrix: str = "ff2", *, segments: Segments | None = None
) -> pd.DataFrame:
    """The cosine of the two signals of a matrix, cell by cell: 1 where both teach the same.

    Columns: layer, position, token, cosine (-1 ... 1; NaN where either VJP is near zero). With
    `segments`, of the sums of the VJPs of each segment's tokens. Both traces are of one model, with
    whatever edits; raises PromptError otherwise, and where the prompts do not align.
    """
    if left.model is not right.model:
        raise PromptError("A cosine compares two signals of one model; these are of two.")
    deltas = [run.matrix(matrix).delta.double().cpu() for run in (left, right)]
    if segments is None:
        if left.tokens != right.tokens:
            raise PromptError(NOT_ALIGNED)
        places, names = list(range(left.prompt_length)), list(left.tokens)
    else:
        places = [i for i, name in enumerate(SEGMENTS) if all(name in s for s in segments)]
        names = [SEGMENTS[i] for i in places]
        deltas = [
            torch.stack([d[:, member(parts, name)].sum(1) for name in names], 1)
            for d, parts in zip(deltas, segments, strict=True)
        ]
    norms = [torch.linalg.vector_norm(d, dim=-1) for d in deltas]  # (layer, place)
    units = [d / n[..., None] for d, n in zip(deltas, norms, strict=True)]
    cosines = (units[0] * units[1]).sum(-1).clamp(-1, 1)
    for norm in norms:
        cosines[norm <= NEAR_ZERO * norm.max()] = float("nan")
    n_layers = len(cosines)
    return pd.DataFrame(
        {
            "layer": [layer for layer in range(n_layers) for _ in places],
            "position": places * n_layers,
            "token": names * n_layers,
            "cosine": cosines.flatten().numpy(),
        }
    )


def both_sides(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
    """Both tables one after the other, for curves: `side` is "left" or "right", `depth` is the
    layer from 0 (the first one) to 1 (the last one), whatever the number of layers."""
    sides = []
    for name, table in (("left", left), ("right", right)):
        last = max(int(table["layer"].max()), 1)
        side = table.assign(depth=table["layer"] / last)
        side.insert(0, "side", name)
        sides.append(side)
    return pd.concat(sides, ignore_index=True)


def largest_first(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows in the order of the size of a difference, whatever its sign; missing ones last."""
    order = table[column].astype("float64").abs().sort_values(ascending=False, kind="stable")
    return table.loc[order.index].reset_index(drop=True)


NOT_ALIGNED = (
    "The two tables do not stand for the same tokens and layers. Give the segments of both "
    "prompts, or compare prompts that are read as the same tokens by models of the same depth."
)


def paired(
    left: pd.DataFrame, right: pd.DataFrame, values: Sequence[str], segments: Segments | None
) -> pd.DataFrame:
    """The rows that both tables have, with left_, right_ and difference columns of the values."""
    if left["layer"].max() != right["layer"].max():
        raise PromptError(NOT_ALIGNED)
    if segments is not None:
        left, right = segment_means(left, segments[0]), segment_means(right, segments[1])
    elif "token" in left and token_texts(left) != token_texts(right):
        raise PromptError(NOT_ALIGNED)
    keys = [name for name in KEYS if name in left]
    if not all(np.array_equal(left[key], right[key]) for key in keys):
        common = left[keys].merge(right[keys])
        left, right = (common.merge(side, on=keys) for side in (left, right))
    columns = {key: left[key] for key in keys}
    for name in values:
        before, after = (np.asarray(side[name], "float64") for side in (left, right))
        columns |= {
            f"left_{name}": before,
            f"right_{name}": after,
            f"{name}_difference": after - before,
        }
    return pd.DataFrame(columns).reset_index(drop=True)


def with_words(
    table: pd.DataFrame,
    left: pd.DataFrame,
    right: pd.DataFrame,
    column: str,
    blank: tuple[pd.Series, pd.Series] | None = None,
) -> pd.DataFrame:
    """The first words of both sides, and whether they are the same; tables align by token."""
    for i, (side, name) in enumerate(((left, "left"), (right, "right"))):
        hidden = [False] * len(side) if blank is None else blank[i]
        words = [t[0] if t and not h else None for t, h in zip(side[column], hidden, strict=True)]
        table[f"{name}_word"] = pd.Series(words, table.index, dtype=object)
    same = pd.array(table["left_word"] == table["right_word"], dtype="boolean")
    same[(table["left_word"].isna() | table["right_word"].isna()).to_numpy()] = pd.NA
    table["same_word"] = same
    return table


def place_in_vocabulary(ranks: pd.Series, size: int) -> pd.Series:
    """Ranks as shares of the vocabulary: 0 is the most probable token, 1 the least probable one."""
    return pd.Series(ranks.to_numpy("float64", na_value=np.nan) / max(size - 1, 1), ranks.index)


def shares(values: pd.Series, groups: pd.Series | None = None) -> pd.Series:
    """Each value as a part of their sum, within its group; NaN where all are zero."""
    values = values.astype("float64")
    total = values.sum() if groups is None else values.groupby(groups).transform("sum")
    return (values / total).replace([np.inf, -np.inf], np.nan)


def token_texts(table: pd.DataFrame) -> list[str]:
    """The prompt's tokens, in order."""
    _, rows = np.unique(table["position"], return_index=True)
    return table["token"].iloc[rows].tolist()


def member(parts: Sequence[str], name: str) -> list[int]:
    return [i for i, part in enumerate(parts) if part == name]
