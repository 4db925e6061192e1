"""What the benchmark costs: python -m benchmarks.benchmark_speed --records FILE

(f) Records a second of `core.benchmark` against the plain loop, which edits, then asks one prompt
    at a time, writes one text at a time and reads the perplexity's text by itself. Both on the same
    records in turns, a few at a time, within one run; the plain loop must count the same.
(g) With `--memit-checkout DIR`, see benchmarks/memit_evaluation.py.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from benchmarks.memit_evaluation import side_by_side
from core import (
    Edit,
    EditError,
    LanguageModel,
    Record,
    benchmark,
    complete,
    edit,
    load_counterfact,
    load_model,
    perplexity,
)
from core.benchmarking.asked import Question, questions_of
from core.benchmarking.judged import FREE_TOKENS, TEXT_LENGTH
from core.benchmarking.run import draw
from core.benchmarking.specs import ORIGINAL, parse_spec
from core.benchmarking.templates import generation_prompts
from core.benchmarking.text_metrics import ngram_entropy, writes
from core.model.edited import turn
from core.model.forcing import forced_ids

METHODS = ("forward-shift", "sgd", "adam", "rome", "memit", "emmet")
TIMED = (("rewrite", "efficacy"), ("paraphrase", "paraphrase"), ("neighbour", "neighbourhood"))
COUNTED = (
    *("efficacy_acc", "paraphrase_acc", "neighbourhood_acc"),
    *("efficacy_success", "paraphrase_success", "neighbourhood_success"),
    *("kept", "generated", "negation", "reversed_acc"),
)


@dataclass(frozen=True)
class Answer:
    """What the model makes of one target after one prompt."""

    first: int  # the most probable next token
    nll: float
    said: bool  # whether each of the target's tokens is the most probable one


def answer(model: LanguageModel, asked: Question, which: int, edits: Sequence[Edit]) -> Answer:
    """One row through the model, as a plain evaluation has it."""
    target = asked.targets[which].ids
    ids = torch.tensor([forced_ids(model, asked.ids, asked.targets[which])])
    with turn(model, edits, gradients=False):
        logits = model.network(input_ids=ids.to(model.device), use_cache=False).logits[0].float()
    logits = logits[len(asked.ids) - 1 :][: len(target)]
    losses = -logits.log_softmax(-1)[range(len(target)), list(target)]
    best = logits.argmax(-1).tolist()
    return Answer(best[0], float(losses.mean()), best == list(target))


def share(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else float("nan")


def judged_plainly(
    model: LanguageModel, record: Record, edits: Sequence[Edit], before: list[list[Answer]] | None
) -> tuple[list[list[Answer]], dict[str, object]]:
    """One prompt after the other: the answers, question x target, and the measures. `before` are
    the unedited model's answers."""
    asked = questions_of(model, record)
    now = [[answer(model, q, k, edits) for k in range(len(q.targets))] for q in asked]
    old = before or now
    of: dict[str, list[int]] = {}
    for i, question in enumerate(asked):
        of.setdefault(question.kind, []).append(i)
    row: dict[str, object] = {}
    for kind, name in TIMED:
        places = of.get(kind, [])
        row[f"{name}_acc"] = share(now[i][0].said for i in places)
        row[f"{name}_success"] = share(now[i][0].nll < now[i][1].nll for i in places)
    row["kept"] = share(now[i][0].first == old[i][0].first for i in of.get("neighbour", []))
    row["negation"] = share(now[i][0].first != asked[i].wanted.id for i in of.get("negation", []))
    row["reversed_acc"] = share(now[i][0].said for i in of.get("reversed", []))
    text = complete(model, record.prompt, edits=edits, max_new_tokens=FREE_TOKENS)
    row["generated"] = float(writes(text, record.target_new))
    return now, row | {"perplexity": perplexity(model, edits=edits)}


def entropies(model: LanguageModel, record: Record, edits: Sequence[Edit]) -> float:
    """The mean entropy of texts that are written one after the other, at temperature 1."""
    found = []
    for number, prompt in enumerate(generation_prompts(record)):
        left = min(TEXT_LENGTH, model.context_length) - len(model.encode(prompt))
        text = complete(
            model, prompt, edits=edits, max_new_tokens=max(1, left), temperature=1.0, seed=number
        )
        found.append(ngram_entropy(prompt + text))
    return statistics.fmean(found)


def edits_of(model: LanguageModel, record: Record, spec: str) -> list[Edit]:
    """None for the unedited model, and where a method finds none, as in the benchmark."""
    if spec == ORIGINAL:
        return []
    method, settings = parse_spec(spec)
    asked = {"method": method, "subject": record.subject, **settings}
    try:
        return [edit(model, record.prompt, record.target_new, **asked)]
    except EditError:
        return []


def plain_loop(
    model: LanguageModel, records: Sequence[Record], methods: Sequence[str], generate: bool
) -> tuple[pd.DataFrame, float]:
    """The rows, and how many of the seconds went into the edits themselves."""
    rows, editing = [], 0.0
    for record in records:
        before = None
        for spec in (ORIGINAL, *methods):
            start = time.perf_counter()
            edits = edits_of(model, record, spec)
            editing += time.perf_counter() - start
            found, row = judged_plainly(model, record, edits, before)
            before = before or found
            if generate:
                row["entropy"] = entropies(model, record, edits)
            rows.append(row | {"case_id": str(record.case_id), "method": spec})
    return pd.DataFrame(rows), editing


def check_same(ours: pd.DataFrame, plain: pd.DataFrame) -> None:
    """Ends the run where the two have not counted the same."""
    key = ["case_id", "method"]
    ours, plain = (rows.set_index(key).sort_index() for rows in (ours, plain))
    wrong = [
        f"{name}: {ours.loc[place, name]:.3f} against {plain.loc[place, name]:.3f}, {place}"
        for name in COUNTED
        for place in ours.index
        if abs(ours.loc[place, name] - plain.loc[place, name]) > 1e-9
    ]
    if wrong:
        raise SystemExit("The plain loop has counted otherwise:\n" + "\n".join(wrong))
    off = (ours["perplexity"] / plain["perplexity"] - 1).abs().max()
    print(f"    the same counts in {len(ours)} rows; perplexities within {off:.0e}", flush=True)


def speed(
    model: LanguageModel,
    records: Sequence[Record],
    methods: Sequence[str],
    turns: int,
    generate: bool,
) -> None:
    for spec in methods:
        edits_of(model, records[0], spec)  # second moments lie in the cache then
    size = -(-len(records) // turns)
    ratios, own = [], []
    for number, first in enumerate(range(0, len(records), size)):
        part = records[first : first + size]
        took = {}
        for who in ("ours", "plain") if number % 2 else ("plain", "ours"):
            wall, processor = time.perf_counter(), time.process_time()
            if who == "ours":
                rows = benchmark(
                    model, part, methods=methods, limit=len(part), generate=generate
                ).rows
            else:
                plain, editing = plain_loop(model, part, methods, generate)
            took[who] = (time.perf_counter() - wall, time.process_time() - processor)
        (ours, our_processor), (theirs, their_processor) = took["ours"], took["plain"]
        ratios.append(theirs / ours)
        own.append(their_processor / our_processor)
        print(
            f"(f) turn {number + 1}, {len(part)} records, {len(methods)} methods: "
            f"{len(part) / ours:.3f} records a second against {len(part) / theirs:.3f}: "
            f"{ratios[-1]:.1f} x (at least 3), by the processor's own time {own[-1]:.1f} x; of "
            f"{ours:.1f} s and {theirs:.1f} s the edits took {rows['seconds'].sum():.1f} s and "
            f"{editing:.1f} s",
            flush=True,
        )
        check_same(rows, plain)
    print(
        f"(f) median of {len(ratios)} turns: {statistics.median(ratios):.1f} x, by the "
        f"processor's time, which other work on the machine does not change, "
        f"{statistics.median(own):.1f} x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--records", type=Path, required=True, help="a CounterFact file")
    parser.add_argument("--methods", default=",".join(METHODS), help="specs with ; or , between")
    parser.add_argument("--count", type=int, default=4, help="records")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--no-texts", action="store_true", help="sample no texts for the entropy")
    parser.add_argument("--memit-checkout", type=Path, help="a folder with memit's own code (g)")
    parser.add_argument("--snippets", type=Path, help="memit's attribute_snippets.json, for (g)")
    given = parser.parse_args()
    model = load_model(given.model)
    methods = tuple(given.methods.split(";" if ";" in given.methods else ","))
    records = draw(load_counterfact(given.records), given.count, 0)
    print(f"{model.name}, {torch.get_num_threads()} threads, {torch.__version__}", flush=True)
    if given.memit_checkout:
        side_by_side(model, records, methods, given.memit_checkout, given.snippets)
    else:
        speed(model, records, methods, given.turns, not given.no_texts)


if __name__ == "__main__":
    main()
