"""What a benchmark is of: the part of it that is written as JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields, replace

from core.benchmarking.specs import ORIGINAL
from core.studies.counterfact import Record
from core.studies.header import LONGEST_NAME, check_text, versions

FORMAT = 1
MOST_METHODS = 50
MOST_VERSIONS = 50
MOST_RECORDS = 1_000_000
DECIDES = (  # what rows of one benchmark have in common; its methods may grow
    "fingerprint",
    "digest",
    "seed",
    "limit",
    "total",
    "n_layers",
    "vocabulary_size",
    "generate",
    "tokens_generated",
    "perplexity_text",
    "format",
)


@dataclass(frozen=True)
class BenchmarkHeader:
    """What a benchmark is of. `methods` are specs, without "original", which is always there."""

    model: str
    fingerprint: str  # of the weights, with their precision where it is rounded
    n_layers: int
    vocabulary_size: int
    records: str  # the file's name
    digest: str  # of the drawn records: `digest_of`
    limit: int
    seed: int
    total: int  # records drawn
    methods: tuple[str, ...]
    generate: bool  # whether the edited models write by themselves
    tokens_generated: int
    perplexity_text: str  # digest of the text on which perplexity is measured
    original_perplexity: float  # of the unedited model; NaN where it was not measured
    versions: dict[str, str] = field(default_factory=versions)
    format: int = FORMAT

    def same_benchmark(self, other: BenchmarkHeader) -> bool:
        """Whether rows of both belong into one table; methods may differ."""
        return all(getattr(self, name) == getattr(other, name) for name in DECIDES)

    def with_methods(self, more: Iterable[str]) -> BenchmarkHeader:
        """With other methods after its own."""
        known = tuple(dict.fromkeys((*self.methods, *more)))
        return replace(self, methods=tuple(name for name in known if name != ORIGINAL))

    def as_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()


def digest_of(records: Sequence[Record]) -> str:
    """Of everything that the benchmark reads of its records, in their order."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(astuple(record)).encode() + b"\n")
    return digest.hexdigest()


def header_from(content: bytes) -> BenchmarkHeader:
    """A header from its JSON, checked; raises ValueError for what is none."""
    described = json.loads(content)
    names = {f.name for f in fields(BenchmarkHeader)}
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise ValueError("unknown format")
    if set(described) != names:
        raise ValueError("fields of another kind of header")
    check_kinds(described)
    header = BenchmarkHeader(**described | {"methods": tuple(described["methods"])})
    check_numbers(header)
    check_names(header)
    return header


def check_kinds(described: dict) -> None:
    kinds = {"str": str, "int": int, "bool": bool, "float": float | int, "dict[str, str]": dict}
    for spec in fields(BenchmarkHeader):
        value, kind = described[spec.name], kinds.get(spec.type, list)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{spec.name} is no {spec.type}")


def check_numbers(header: BenchmarkHeader) -> None:
    bounds = {
        "n_layers": (1, 1000),
        "vocabulary_size": (1, 10**8),
        "limit": (1, 10**12),
        "total": (1, MOST_RECORDS),
        "tokens_generated": (0, 10**6),
    }
    for name, (least, most) in bounds.items():
        if not least <= getattr(header, name) <= most:
            raise ValueError(f"{name} is out of range")
    if abs(header.seed) > 10**30 or math.isinf(header.original_perplexity):
        raise ValueError("a number out of range")


def check_names(header: BenchmarkHeader) -> None:
    methods = header.methods
    if len(methods) > MOST_METHODS or not all(isinstance(name, str) for name in methods):
        raise ValueError("methods that are none")
    if len(set(methods)) < len(methods) or {"", ORIGINAL} & set(methods):
        raise ValueError("methods that cannot be told apart")
    pairs = header.versions
    if len(pairs) > MOST_VERSIONS or not all(isinstance(v, str) for v in pairs.values()):
        raise ValueError("versions that are none")
    texts = (header.model, header.fingerprint, header.records, header.digest)
    for text in (*texts, header.perplexity_text, *methods, *pairs, *pairs.values()):
        check_text(text, LONGEST_NAME)
