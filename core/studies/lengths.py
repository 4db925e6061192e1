"""The ranks of a study's gradients by the prompt's length (Figure 3, length by length).

Kept running: memory grows with the lengths that occur, not with the prompts.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from core.studies.header import Header
from core.studies.parquet import read_table
from core.studies.sums import ALL, ANSWERED, PLACES
from core.studies.tally import Tally

NUMBERS = ["prompt_length", "n", "mean", "m2", "lowest", "highest"]
COLUMNS = ("n", "gradient_rank", "gradient_rank_spread", "gradient_rank_error", "lowest", "highest")
MOST_LENGTHS = 4096  # different ones, in a file that may come from anyone
LONGEST = 10**6  # tokens


class OneLength:
    """Prompts of one length: a tally of their ranks, and the lowest and the highest."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.ranks = Tally(len(PLACES), shape)
        self.lowest = np.full((len(PLACES), *shape), np.inf)
        self.highest = np.full((len(PLACES), *shape), -np.inf)

    def add(self, place: int, ranks: np.ndarray) -> None:
        self.ranks.add(place, ranks)
        np.minimum(self.lowest[place], ranks, out=self.lowest[place])
        np.maximum(self.highest[place], ranks, out=self.highest[place])

    def described(self) -> dict[str, np.ndarray]:
        """COLUMNS for all, correctly and wrongly answered prompts: (3, matrix, layer) each."""
        n = len(ANSWERED)
        pair = (self.ranks.merged(), self.ranks)
        return {
            "n": np.concatenate([t.n[:n] for t in pair]),
            "gradient_rank": np.concatenate([t.means()[:n] for t in pair]),
            "gradient_rank_spread": np.concatenate([t.spreads()[:n] for t in pair]),
            "gradient_rank_error": np.concatenate([t.errors()[:n] for t in pair]),
            "lowest": np.concatenate([self.lowest.min(0, keepdims=True), self.lowest[:n]]),
            "highest": np.concatenate([self.highest.max(0, keepdims=True), self.highest[:n]]),
        }

    def columns(self) -> tuple[np.ndarray, ...]:
        return self.ranks.n, self.ranks.mean, self.ranks.m2, self.lowest, self.highest


class Lengths:
    """OneLength for each prompt length that occurs."""

    def __init__(self) -> None:
        self.of: dict[int, OneLength] = {}

    @property
    def counted(self) -> int:
        """How many prompts there are."""
        return sum(int(one.ranks.n[:, 0, 0].sum()) for one in self.of.values())

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for one in self.of.values() for part in one.columns())

    def add(self, length: int, record: Mapping[str, object]) -> None:
        """Count one record's "gradient_rank", (matrix, layer)."""
        ranks = record["gradient_rank"]
        if length not in self.of:
            self.of[length] = OneLength(ranks.shape)
        self.of[length].add(PLACES[record["correct"]], ranks)

    def table(self, header: Header) -> pd.DataFrame:
        """As Study.ranks_by_length has it; a length that no such prompt has is left out."""
        lengths = sorted(self.of)
        axes = {
            "answered": (ALL, *ANSWERED),
            "prompt_length": lengths,
            "matrix": header.mlp_matrices,
            "layer": range(header.n_layers),
        }
        table = pd.MultiIndex.from_product(axes.values()).to_frame(index=False, name=list(axes))
        described = [self.of[length].described() for length in lengths]
        for name in COLUMNS:
            parts = [one[name] for one in described]
            table[name] = np.stack(parts, axis=1).ravel() if parts else []
        return table[table["n"] > 0].reset_index(drop=True)

    def as_table(self) -> pd.DataFrame:
        """All running values as rows, in an order that `from_content` knows."""
        parts = [
            pd.DataFrame({"prompt_length": length} | dict(zip(NUMBERS[1:], values, strict=True)))
            for length, one in sorted(self.of.items())
            for values in [[column.ravel() for column in one.columns()]]
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=NUMBERS)

    @classmethod
    def from_content(cls, content: bytes, header: Header) -> Lengths:
        """From the parquet file of `as_table`; raises ValueError for one that it is not."""
        shape = (len(header.mlp_matrices), header.n_layers)
        most = MOST_LENGTHS * len(PLACES) * shape[0] * shape[1]
        result = cls()
        table = read_table(content, [], NUMBERS, most_rows=most)
        for length, rows in table.groupby("prompt_length"):
            if not 0 < length < LONGEST or length != int(length):
                raise ValueError(f"a prompt of {length} tokens")
            one = result.of[int(length)] = OneLength(shape)
            for name, column in zip(NUMBERS[1:], one.columns(), strict=True):
                column[:] = rows[name].to_numpy(column.dtype).reshape(column.shape)
        return result
