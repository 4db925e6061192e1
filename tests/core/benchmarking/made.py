"""A benchmark of made-up rows, quick to make and the same each time."""

import json
import random

import pandas as pd

from core import Record, load_counterfact
from core.benchmarking.header import BenchmarkHeader, digest_of
from core.benchmarking.measures import COLUMNS, MEASURES
from core.studies.counterfact import MINI_COUNTERFACT

METHODS = ("rome", "memit:layers=3+4")


def some_records(count: int = 12) -> list[Record]:
    return list(load_counterfact(MINI_COUNTERFACT).records[:count])


def header_of(drawn: list[Record], methods: tuple[str, ...] = METHODS, **more) -> BenchmarkHeader:
    values = {
        "model": "tiny-gpt2",
        "fingerprint": "1234",
        "n_layers": 8,
        "vocabulary_size": 4000,
        "records": "mini.json",  # the file's name
        "digest": digest_of(drawn),
        "limit": 100,
        "seed": 3,
        "total": len(drawn),
        "methods": methods,
        "generate": True,
        "tokens_generated": 100,
        "perplexity_text": "abcd",
        "original_perplexity": 31.5,
    }
    return BenchmarkHeader(**values | more)


def made_row(records: list[Record], i: int, method: str) -> dict[str, object]:
    """A row whose numbers are drawn from its record's and its method's names."""
    drawn = random.Random(f"{i} {method}")
    record = records[i]
    said = [["rewrite", record.prompt, record.target_new, drawn.choice([" a", record.target_new])]]
    row: dict[str, object] = {name: drawn.random() for name in MEASURES}
    row |= {"efficacy_success": float(drawn.random() > 0.5), "reference": float("nan")}
    row |= {"record": i, "case_id": str(record.case_id), "method": method, "problem": ""}
    row |= {"text": " of the ü\n", "said": json.dumps(said), "nlls": '{"rewrite": [[1.5, 2, 0]]}'}
    return row


def made_rows(records: list[Record], pairs: list[tuple[int, str]], **more) -> pd.DataFrame:
    rows = [made_row(records, i, method) | more for i, method in pairs]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def all_rows(records: list[Record], methods: tuple[str, ...] = METHODS) -> pd.DataFrame:
    pairs = [(i, name) for i in range(len(records)) for name in ("original", *methods)]
    return made_rows(records, pairs)
