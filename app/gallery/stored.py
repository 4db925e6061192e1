"""What was computed for a finding, as scripts/make_gallery.py wrote it: small tables, in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from app.gallery.fields import FindingError
from app.gallery.finding import Finding

MOST_BYTES = 200_000
RANKS = {"target_rank", "answer_rank"}  # whole numbers that may be missing


@dataclass(frozen=True)
class Stored:
    """The table behind a finding's picture, and what the picture says besides."""

    asked: str  # the finding's own `asked` when this was computed
    fingerprint: str  # of the model
    versions: dict[str, str]  # of the packages that computed it
    vocabulary: int
    full_rank: int  # the narrower side of an MLP's matrices
    target: str  # the target's first token
    answer: str  # what the model says
    tokens: tuple[str, ...]  # the prompt's
    subject: tuple[int, ...]  # positions of the subject's tokens
    table: pd.DataFrame

    def text(self) -> str:
        """As JSON, a line a column, the same each time."""
        head = {name: value for name, value in vars(self).items() if name != "table"}
        lines = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}," for k, v in head.items()]
        columns = [
            f"  {json.dumps(name)}: {compact(self.table[name])}" for name in self.table.columns
        ]
        return "\n".join(["{", *lines, '"table": {', ",\n".join(columns), "}", "}", ""])


def compact(column: pd.Series) -> str:
    values = [None if is_missing(value) else value for value in column.tolist()]
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def is_missing(value: object) -> bool:
    return value is pd.NA or value is None or (isinstance(value, float) and value != value)


def read_stored(finding: Finding, path: Path) -> Stored:
    """What was computed for exactly this finding; raises FindingError, with what to do, where there
    is nothing, or something else."""
    advice = "python -m scripts.make_gallery computes it"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise FindingError(f"{path.name} is larger than {MOST_BYTES:,} bytes; {advice} anew.")
        content = json.loads(path.read_text(encoding="utf-8"))
        columns = content.pop("table")
        table = pd.DataFrame({name: column_of(name, values) for name, values in columns.items()})
        for name in ("tokens", "subject"):
            content[name] = tuple(content[name])
        stored = Stored(**content, table=table)
    except FileNotFoundError:
        raise FindingError(f"{path.name} is missing; {advice}.") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        if isinstance(error, FindingError):
            raise
        raise FindingError(f"{path.name} cannot be read; {advice} anew.") from None
    if stored.asked != finding.asked:
        raise FindingError(f"{path.name} is of another prompt or picture; {advice} anew.")
    return stored


def column_of(name: str, values: list) -> pd.Series:
    return pd.Series(values, dtype="Int64" if name in RANKS else None)
