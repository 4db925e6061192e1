"""The running means of a study, by whether the model answered correctly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from core.gradients.segments import SEGMENTS
from core.studies.header import Header
from core.studies.parquet import read_table
from core.studies.tally import Tally

ANSWERED = ("correctly", "wrongly")  # how the model answered before any change
ALL = "all"
# Where a record is counted: it was answered correctly, wrongly, or nobody said what is right.
PLACES = {True: 0, False: 1, None: 2}


def shapes(header: Header) -> dict[str, tuple[int, ...]]:
    """What a study keeps of each record: a quantity's name -> the shape of its array."""
    layers, places = header.n_layers, len(SEGMENTS)
    return {
        "norm": (len(header.modules), layers, places),
        "input_norm": (len(header.modules), layers, places),
        "target_rank": (2, layers, places),  # x of FF1, delta of FF2
        "answer_rank": (2, layers, places),
        "rank_is_full": (len(header.mlp_matrices), layers),
        "gradient_rank": (len(header.mlp_matrices), layers),
        "cosine": (layers, layers),
    }


@dataclass(frozen=True)
class Sums:
    """A Tally of each quantity, its rows in the order of PLACES."""

    tallies: dict[str, Tally]

    @classmethod
    def empty(cls, header: Header) -> Sums:
        return cls({name: Tally(len(PLACES), shape) for name, shape in shapes(header).items()})

    def add(self, record: Mapping[str, object]) -> None:
        """Count one record: "correct" and an array for each quantity."""
        place = PLACES[record["correct"]]
        for name, tally in self.tallies.items():
            tally.add(place, record[name])

    def as_table(self) -> pd.DataFrame:
        """All running values as rows, in an order that `from_content` knows."""
        parts = [
            pd.DataFrame(
                {"quantity": name, "n": t.n.ravel(), "mean": t.mean.ravel(), "m2": t.m2.ravel()}
            )
            for name, t in self.tallies.items()
        ]
        return pd.concat(parts, ignore_index=True)

    @classmethod
    def from_content(cls, content: bytes, header: Header, places: int = len(PLACES)) -> Sums:
        """From the parquet file of `as_table`, which may have only the first `places`."""
        sums = cls.empty(header)
        most = sum(tally.n[:places].size for tally in sums.tallies.values())
        table = read_table(content, ["quantity"], ["n", "mean", "m2"], most_rows=most)
        for name, tally in sums.tallies.items():
            rows = table[table["quantity"] == name]
            for column in ("n", "mean", "m2"):
                known = getattr(tally, column)[:places]
                known[:] = rows[column].to_numpy(known.dtype).reshape(known.shape)
        return sums
