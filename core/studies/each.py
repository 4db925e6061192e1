"""What a study with groups keeps of each prompt, for comparisons that need more than means."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from core.errors import PromptError
from core.studies.batches import Task
from core.studies.header import MOST_GROUPS, Header
from core.studies.parquet import read_table
from core.studies.sums import PLACES, shapes

MOST_BYTES = 24 * 2**20  # of all prompts' values
MOST_PROMPTS = 4000
LONGEST_PROMPT = 10**6  # tokens
TEXTS, NUMBERS = ["case_id", "prompt", "group"], ["place", "prompt_length"]
CORRECT = {place: correct for correct, place in PLACES.items()}


class EachPrompt:
    """A row for each prompt: what it is, and the values that the sums count, in float32."""

    def __init__(self) -> None:
        self.about: list[tuple[str, str, str, int, int]] = []  # TEXTS and NUMBERS
        self.values: list[np.ndarray] = []  # (cell,), all quantities one after another

    def __len__(self) -> int:
        return len(self.about)

    @property
    def nbytes(self) -> int:
        texts = sum(len(text) for row in self.about for text in row[:3])
        return sum(values.nbytes for values in self.values) + texts

    def add(self, task: Task, record: Mapping[str, object], header: Header) -> None:
        """Keep one record: "correct" and an array for each quantity."""
        known = task.record
        place = PLACES[record["correct"]]
        row = (str(known.case_id), known.prompt, known.group, place, len(task.ids))
        cells = [np.asarray(record[name]).ravel() for name in shapes(header)]
        self.about.append(row)
        self.values.append(np.concatenate(cells).astype(np.float32))

    def record(self, index: int, header: Header) -> dict[str, object]:
        """A prompt's values as they were added, but rounded."""
        found: dict[str, object] = {"correct": CORRECT[self.about[index][3]]}
        start = 0
        for name, shape in shapes(header).items():
            stop = start + int(np.prod(shape))
            found[name] = self.values[index][start:stop].reshape(shape).astype(np.float64)
            start = stop
        return found

    def quantity(self, name: str, header: Header) -> np.ndarray:
        """One quantity of all prompts: (prompt, ...) in float64."""
        known = shapes(header)
        before = list(known)[: list(known).index(name)]
        start = sum(int(np.prod(known[other])) for other in before)
        stop = start + int(np.prod(known[name]))
        part = [values[start:stop] for values in self.values]
        return np.array(part, dtype=np.float64).reshape(-1, *known[name])

    def as_tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What the prompts are, and all of their values in one column."""
        about = pd.DataFrame(self.about, columns=[*TEXTS, *NUMBERS])
        values = np.concatenate(self.values) if self.values else np.zeros(0, np.float32)
        return about.astype(dict.fromkeys(TEXTS, "str")), pd.DataFrame({"value": values})

    @classmethod
    def from_contents(cls, about: bytes, values: bytes, header: Header) -> EachPrompt:
        """From the parquet files of `as_tables`; raises ValueError for what they are not."""
        rows = read_table(about, TEXTS, NUMBERS, most_rows=MOST_PROMPTS)
        cells = cells_of(header)
        if len(rows) != header.counted or len(rows) * cells * 4 > MOST_BYTES:
            raise ValueError(f"values of {len(rows)} prompts")
        if not set(rows["group"]) <= {"", *header.groups}:
            raise ValueError("a group that there is not")
        places, lengths = rows["place"], rows["prompt_length"]
        if not (places.isin(CORRECT) & lengths.between(1, LONGEST_PROMPT)).all():
            raise ValueError("a prompt that is none")
        column = read_table(values, [], ["value"], most_rows=len(rows) * cells)["value"]
        result = cls()
        rows = rows.astype({"place": int, "prompt_length": int})
        result.about = list(rows.itertuples(index=False, name=None))
        kept = column.to_numpy(np.float32).reshape(len(rows), cells)
        result.values = list(kept)
        return result


def cells_of(header: Header) -> int:
    """How many values are kept of a prompt."""
    return sum(int(np.prod(shape)) for shape in shapes(header).values())


def check_room(header: Header) -> None:
    """Raises PromptError for a study of too many groups, and of too many prompts for them."""
    if len(header.groups) > MOST_GROUPS:
        raise PromptError(
            f"The prompts name {len(header.groups)} groups; a study compares at most "
            f"{MOST_GROUPS}. Join some of them, or leave the groups out."
        )
    most = min(MOST_PROMPTS, MOST_BYTES // (4 * cells_of(header)))
    if header.groups and header.total > most:
        raise PromptError(
            f"To compare groups a study keeps what it found of every prompt: of {header.model} "
            f"there is room for {most:,} prompts, and these are {header.total:,}. Choose fewer, or "
            "leave the groups out."
        )
