"""A benchmark of invented figures: quick to make, and known in advance."""

from __future__ import annotations

import json
import math

import pandas as pd

import core
from core.benchmarking.header import BenchmarkHeader, digest_of
from core.benchmarking.measures import COLUMNS
from core.benchmarking.specs import ORIGINAL
from core.studies.counterfact import MINI_COUNTERFACT

METHODS = ("forward-shift:eta=fixed", "adam", "rome", "memit")
RECORDS = 40
NOTHING = float("nan")
# Of each method: efficacy, paraphrase, neighbourhood, generated, seconds.
SHARES = {
    ORIGINAL: (0.0, 0.0, 0.6, 0.0, 0.0),
    "forward-shift:eta=fixed": (1.0, 0.5, 0.3, 0.4, 0.01),
    "adam": (1.0, 0.2, 0.5, 0.1, 2.0),
    "rome": (1.0, 0.9, 0.5, 0.6, 1.5),
    "memit": (0.8, 0.5, 0.6, 0.3, 3.0),
}


def records(count: int = RECORDS) -> tuple[core.Record, ...]:
    return tuple(core.load_counterfact(MINI_COUNTERFACT))[:count]


def row(place: int, of: int, record: core.Record, method: str) -> dict[str, object]:
    """A record and method: the first records of the methods' shares come out well."""
    efficacy, paraphrase, neighbourhood, generated, seconds = SHARES[method]

    def well(share: float) -> float:
        return float((place + 0.5) / of < share)

    values = dict.fromkeys(COLUMNS, NOTHING) | {
        "record": place,
        "case_id": str(record.case_id),
        "method": method,
        "efficacy_acc": well(efficacy),
        "paraphrase_acc": well(paraphrase),
        "neighbourhood_acc": well(neighbourhood),
        "efficacy_success": well(efficacy),
        "paraphrase_success": well(paraphrase),
        "neighbourhood_success": well(neighbourhood),
        "efficacy_diff": 0.8 * well(efficacy) - 0.4,
        "paraphrase_diff": 0.6 * well(paraphrase) - 0.3,
        "neighbourhood_diff": 0.5 * well(neighbourhood) - 0.25,
        "kept": 1.0 if method == ORIGINAL else well(neighbourhood),
        "generated": well(generated),
        "negation": 1.0 if method == ORIGINAL else 1 - well(paraphrase),
        "reversed_acc": 0.0,
        "reversed_success": NOTHING if method == ORIGINAL else well(0.3),
        "entropy": 6.2 + 0.01 * place,
        "perplexity": 90.0 + (20 if method == "rome" else 0) + 0.1 * place,
        "seconds": NOTHING if method == ORIGINAL else seconds,
        "bytes": NOTHING if method == ORIGINAL else 10_000.0 * (1 + len(method)),
        "problem": "no change found" if method == "memit" and not well(0.8) else "",
        "text": f"{record.prompt} and so on",
    }
    asked = [
        ("rewrite", record.prompt, record.target_new, efficacy),
        ("paraphrase", (*record.paraphrases, record.prompt)[0], record.target_new, paraphrase),
        ("neighbour", (*record.neighbours, record.prompt)[0], record.target_true, neighbourhood),
    ]
    said = [
        [kind, prompt, f" {wanted}", f" {wanted}" if well(share) else " elsewhere"]
        for kind, prompt, wanted, share in asked
    ]
    return values | {"said": json.dumps(said), "nlls": ""}


def rows(count: int = RECORDS, methods: tuple[str, ...] = METHODS) -> pd.DataFrame:
    made = [
        row(place, count, record, method)
        for place, record in enumerate(records(count))
        for method in (ORIGINAL, *methods)
    ]
    return pd.DataFrame(made)[list(COLUMNS)]


def header(
    model: str = "tiny-gpt2", count: int = RECORDS, methods: tuple[str, ...] = METHODS
) -> BenchmarkHeader:
    return BenchmarkHeader(
        model=model,
        fingerprint="invented",
        n_layers=8,
        vocabulary_size=4096,
        records="mini_counterfact.json",
        digest=digest_of(records(count)),
        limit=count,
        seed=0,
        total=count,
        methods=methods,
        generate=True,
        tokens_generated=100,
        perplexity_text="invented",
        original_perplexity=90.0,
    )


def benchmark(
    model: str = "tiny-gpt2", count: int = RECORDS, methods: tuple[str, ...] = METHODS
) -> core.Benchmark:
    return core.Benchmark(header(model, count, methods), records(count), rows(count, methods))


def close(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, abs_tol=1e-9)


def dots() -> pd.DataFrame:
    """Methods' shares as the picture wants them: own ones with intervals, one that is not known,
    one of the paper's."""
    made = [
        {"method": "rome", "title": "ROME", "published": False, "value": 0.9, "give": 0.05},
        {"method": "rome", "title": "ROME", "published": True, "value": 0.7},
        {"method": "mend", "title": "MEND", "published": False, "value": NOTHING},
        {"method": "memit", "title": "MEMIT", "published": False, "value": 1.0, "give": 0.0},
    ]
    table = pd.DataFrame(made)
    table["row"] = table["title"]
    for name in ("efficacy_acc", "paraphrase_acc", "neighbourhood_acc"):
        table[name] = table["value"]
        table[f"{name}_low"] = table["value"] - table["give"]
        table[f"{name}_high"] = table["value"] + table["give"]
    return table
