"""What a study is of, and how far it is: the part of it that is written as JSON."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field, fields

import torch
import transformers

from core.model.architectures import MATRICES

FORMAT, FIRST_FORMAT = 2, 1  # the first one had neither groups nor prompts without a right answer
SINCE_THE_SECOND = {"groups", "asked"}
MOST_GROUPS = 8
LONGEST_NAME, LONGEST_REASON = 1_000, 10_000  # characters, in a file that may come from anyone


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


@dataclass(frozen=True)
class Header:
    """What a study is of, and how far it is. `seconds` is the time spent on it."""

    model: str
    fingerprint: str
    n_layers: int
    vocabulary_size: int
    modules: tuple[str, ...]
    mlp_matrices: tuple[str, ...]
    records: str  # the file's name
    digest: str  # of the drawn records
    limit: int
    seed: int
    batch_size: int
    total: int  # records drawn
    done: int = 0  # records read so far, skipped ones too
    counted: int = 0
    asked: int = 0  # counted records that say what the right answer is
    correct: int = 0  # of these, the records that the model answered correctly
    groups: tuple[str, ...] = ()  # none, or two and more
    skipped: tuple[tuple[str, str], ...] = ()  # (case_id, reason)
    seconds: float = 0.0
    format: int = FORMAT
    versions: dict[str, str] = field(default_factory=versions)

    @property
    def finished(self) -> bool:
        return self.done == self.total

    def same_study(self, other: Header) -> bool:
        names = ("fingerprint", "digest", "seed", "limit", "total", "n_layers", "format")
        return all(getattr(self, name) == getattr(other, name) for name in names)


def in_this_format(described: dict) -> dict:
    """A header's JSON of any format that there was, as this one has it."""
    names = {f.name for f in fields(Header)}
    if described.get("format") == FIRST_FORMAT and set(described) == names - SINCE_THE_SECOND:
        return described | {"format": FORMAT, "groups": [], "asked": described["counted"]}
    if described.get("format") != FORMAT or set(described) != names:
        raise ValueError("unknown format")
    return described


def header_from(described: dict) -> Header:
    """A header from its JSON, checked: lists become tuples again."""
    described = in_this_format(described)
    tuples = {name: tuple(described[name]) for name in ("modules", "mlp_matrices", "groups")}
    skipped = tuple((str(a), str(b)) for a, b in described["skipped"])
    header = Header(**described | tuples | {"skipped": skipped})
    kinds = {"str": str, "int": int, "float": float | int, "dict[str, str]": dict}
    for spec in fields(Header):
        kind = kinds.get(spec.type, tuple)
        if not isinstance(getattr(header, spec.name), kind):
            raise ValueError(f"{spec.name} is no {spec.type}")
    counts = ("n_layers", "vocabulary_size", "total", "done", "counted", "asked", "correct")
    numbers = [getattr(header, name) for name in counts]
    if not all(isinstance(v, int) and 0 <= v < 10**9 for v in numbers) or header.n_layers > 1000:
        raise ValueError("numbers out of range")
    for names in (header.modules, header.mlp_matrices):
        if not names or list(names) != [name for name in MATRICES if name in names]:
            raise ValueError("a module that there is not")
    check_groups(header.groups)
    for text in (header.model, header.fingerprint, header.records, header.digest):
        check_text(text, LONGEST_NAME)
    for text in (text for pair in header.skipped for text in pair):
        check_text(text, LONGEST_REASON)
    return header


def check_groups(groups: tuple[str, ...]) -> None:
    for name in groups:
        check_text(name, LONGEST_NAME)
    if len(groups) == 1 or len(groups) > MOST_GROUPS or len(set(groups)) < len(groups):
        raise ValueError("groups that cannot be compared")
    if "" in groups:
        raise ValueError("a group without a name")


def check_text(text: str, longest: int) -> None:
    """Raises ValueError for a text too long to show, and for one with half a character."""
    if len(text) > longest:
        raise ValueError("a text is too long")
    text.encode("utf-8")
