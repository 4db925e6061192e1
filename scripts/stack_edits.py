"""One edit after the other on top of all earlier ones: python -m scripts.stack_edits [model ...]
[--records FILE] [--methods memit emmet] [--seeds 0] [--keys kept free]

With the keys of earlier edits in the penalty (`aligned`) and without. The facts are drawn with a
seed, no subject twice: of data/mini_counterfact.json, or for any other model of the CounterFact
file that --records names, those first that the model knows (data/editing/known-<name>.json). After
30 and 100 edits, of all facts so far: whether every token of the new target is the most probable
one after the prompt (efficacy) and after its paraphrases; whether the answer to a neighbour is that
of the unedited model, neighbours that mention an edited subject left out; and the perplexity of
data/perplexity.txt.

Every edit is kept in the cache folder as it is made, so that a run that was stopped goes on. Writes
data/editing/stacked.csv (a row for each model, method, aligned, seed and number of edits) and
STACKED.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import product
from pathlib import Path

import pandas as pd

from core import (
    METHODS,
    Edit,
    EditError,
    LanguageModel,
    Record,
    edit,
    load_counterfact,
    load_model,
)
from core.editing.edit_strength import mean_perplexity, text_ids
from core.editing.scores import SCORES, next_tokens, says
from core.editing.second_moments import cache_folder
from core.model.catalog import BUILTIN
from core.model.fingerprint import fingerprint
from core.studies.counterfact import MINI_COUNTERFACT
from scripts.corpus import DATA

OUTPUT = DATA / "editing"
TABLE, REPORT = OUTPUT / "stacked.csv", OUTPUT / "STACKED.md"
COUNTS = (30, 100)
BATCH = 32
NOTE = "One fact of 30 is 3.3 points, so that smaller differences of few pairs say nothing."
KEYS = {"kept": True, "free": False}  # earlier keys in the penalty, or not
COLUMNS = ["model", "method", "aligned", "seed", "edits", "missing", *SCORES]
COLUMNS += ["perplexity", "perplexity_before", "seconds"]
log = logging.getLogger("stack_edits")


def drawn(name: str, file: Path, count: int, seed: int) -> list[Record]:
    """`count` facts, no subject and no prompt twice, those that the model knows first."""
    kept = OUTPUT / f"known-{name}.json"
    known = set(json.loads(kept.read_text(encoding="utf-8"))["known"]) if kept.exists() else set()
    records = list(load_counterfact(file))
    order = random.Random(seed).sample(records, len(records))
    order.sort(key=lambda record: record.case_id not in known)
    chosen: dict[str, Record] = {}
    for record in order:
        chosen.setdefault(record.subject, record)
    return list(chosen.values())[:count]


def stacked(
    model: LanguageModel, facts: Sequence[Record], method: str, aligned: bool, folder: Path
) -> list[Edit]:
    """The facts' edits, one after the other; a fact that finds no edit adds none."""
    folder.mkdir(parents=True, exist_ok=True)
    edits: list[Edit] = []
    for i, record in enumerate(facts):
        file = folder / f"{i:03}.safetensors"
        if not file.exists():
            words = (record.prompt, record.target_new)
            try:
                new = edit(
                    model,
                    *words,
                    method=method,
                    subject=record.subject,
                    edits=edits,
                    aligned=aligned,
                )
            except EditError as error:
                log.info("%s: %s", record.prompt, error)
                continue
            draft = file.with_suffix(".new")
            new.save(draft)
            draft.replace(file)
            log.info("%s: %d, %s", folder.name, i + 1, new.name)
        edits.append(Edit.load(file, model))
    return edits


def judged(
    model: LanguageModel, facts: Sequence[Record], edits: Sequence[Edit], subjects: set[str]
) -> dict[str, float]:
    """Shares over all the facts' prompts, from 0 to 1, and the perplexity."""
    prompts = [(fact.prompt, fact.target_new) for fact in facts]
    others = [(prompt, fact.target_new) for fact in facts for prompt in fact.paraphrases]
    near = [
        prompt
        for fact in facts
        for prompt in fact.neighbours
        if not any(subject in prompt for subject in subjects)
    ]
    right = [says(model, part, edits) for part in batches(prompts)]
    same = [says(model, part, edits) for part in batches(others)]
    both = [(next_tokens(model, part), next_tokens(model, part, edits)) for part in batches(near)]
    kept = [[a == b for a, b in zip(*pair, strict=True)] for pair in both]
    shares = [sum(map(sum, parts)) / sum(map(len, parts)) for parts in (right, same, kept)]
    return dict(zip(SCORES, shares, strict=True)) | {"perplexity": perplexity(model, edits)}


def perplexity(model: LanguageModel, edits: Sequence[Edit] = ()) -> float:
    """Of the bundled text; infinite where the edits have broken the model."""
    return mean_perplexity(model, text_ids(model, None), edits)


def batches(rows: Sequence) -> Iterator[Sequence]:
    return (rows[i : i + BATCH] for i in range(0, len(rows), BATCH))


def run(
    model: LanguageModel, file: Path, method: str, aligned: bool, seed: int, count: int
) -> None:
    """Add the row of so many edits, if the table lacks it."""
    asked = {"model": model.name, "method": method, "aligned": aligned, "seed": seed}
    asked["edits"] = count
    if asked in rows_made():
        return
    facts = drawn(model.name, file, max(COUNTS), seed)
    subjects = {fact.subject for fact in facts}
    folder = folder_of(model, method, aligned, seed)
    edits = stacked(model, facts[:count], method, aligned, folder)
    row = asked | {"missing": count - len(edits), "perplexity_before": perplexity(model)}
    row |= judged(model, facts[:count], edits, subjects)
    row |= {"seconds": sum(one.seconds for one in edits) / max(1, len(edits))}
    log.info("%s", row)
    table = pd.DataFrame([row])[COLUMNS].round(4)
    table.to_csv(TABLE, mode="a", header=not TABLE.exists(), index=False)


def folder_of(model: LanguageModel, method: str, aligned: bool, seed: int) -> Path:
    """Where the edits are kept; other defaults of the method have another place."""
    settings = sha256(repr(METHODS[method].defaults(model)).encode()).hexdigest()[:8]
    kept = "kept" if aligned else "free"
    return cache_folder() / "stacked" / f"{fingerprint(model)}-{method}-{settings}-{kept}-{seed}"


def rows_made() -> list[dict]:
    if not TABLE.exists():
        return []
    return pd.read_csv(TABLE)[COLUMNS[:5]].to_dict("records")


def as_markdown(table: pd.DataFrame) -> str:
    lines = [
        "# One edit on top of the other",
        "",
        "Made by `python -m scripts.stack_edits`: single facts, no subject twice, each edited with",
        "the method's defaults while all earlier edits are active; with the keys of the earlier",
        "edits in the penalty (kept) and without. Afterwards, in % of all facts edited so far: the",
        "new target after the prompt (efficacy) and its paraphrases, every token of it the most",
        "probable; and neighbours whose answer is the unedited model's (those that mention an",
        "edited subject are left out). Perplexity of `data/perplexity.txt`: of the built-in models",
        "it says little, because they know few of its words. Means over the seeds.",
    ]
    for name, own in table.groupby("model", sort=False):
        lines += ["", f"## {name}", "", seeds_of(own), ""]
        heads = ["method", "edits", "earlier keys", *SCORES, "perplexity"]
        lines += [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        groups = own.groupby(["method", "edits", "aligned"], sort=False)
        for (method, count, aligned), part in groups:
            cells = [METHODS[method].title, str(count), "kept" if aligned else "not kept"]
            cells += [f"{100 * part[score].mean():.1f}" for score in SCORES]
            cells.append(size(part["perplexity"].mean()))
            lines.append(f"| {' | '.join(cells)} |")
    return (
        "\n".join([*lines, "", "## What keeping them does", "", NOTE, "", *findings(table)]) + "\n"
    )


def seeds_of(own: pd.DataFrame) -> str:
    count, before = own["seed"].nunique(), own["perplexity_before"].iloc[0]
    drawn_in = f"{count} drawn orders of facts" if count > 1 else "One drawn order of facts"
    return f"{drawn_in}; perplexity before any edit {size(before)}."


def size(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def findings(table: pd.DataFrame) -> list[str]:
    """Kept minus not kept, in points, pair by pair of the same model, seed and number of edits."""
    lines = []
    for (method, count), own in table.groupby(["method", "edits"], sort=False):
        place = ["model", "seed"]
        kept, free = (own[own["aligned"] == way].set_index(place) for way in (True, False))
        pairs = kept.index.intersection(free.index)
        if pairs.empty:
            continue
        said = []
        for score in SCORES:
            gain = 100 * (kept[score][pairs] - free[score][pairs])
            said.append(f"{score} {gain.mean():+.1f} ({gain.min():+.1f} to {gain.max():+.1f})")
        lines.append(
            f"- {METHODS[method].title}, {count} edits, pairs: {len(pairs)}; {', '.join(said)} "
            "points, kept against not kept, the mean and from the worst to the best."
        )
    return lines


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=BUILTIN)
    parser.add_argument("--records", type=Path, default=MINI_COUNTERFACT)
    parser.add_argument("--methods", nargs="*", default=["memit", "emmet"])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--keys", nargs="*", choices=KEYS, default=list(KEYS))
    given = parser.parse_args()
    for name in given.models:
        model = load_model(name)
        for count, seed, method in product(COUNTS, given.seeds, given.methods):
            for keys in given.keys:
                run(model, given.records, method, KEYS[keys], seed, count)
    if TABLE.exists():
        order = ["model", "method", "seed", "edits", "aligned"]
        table = pd.read_csv(TABLE).sort_values(order, ascending=[False, False, True, True, False])
        table.to_csv(TABLE, index=False)
        REPORT.write_text(as_markdown(table), encoding="utf-8")


if __name__ == "__main__":
    main()
