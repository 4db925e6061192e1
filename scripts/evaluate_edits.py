"""How well each method edits the built-in models: python -m scripts.evaluate_edits

Every record of data/mini_counterfact.json is edited alone, with each method's defaults, and taken
back. Efficacy, paraphrase and neighbourhood are argmax accuracies, as in the paper's Table 1: every
token of the new target is the most probable one after the prompt and its paraphrases; of the true
target after its neighbours. Means over a record's prompts, then over records.

Writes data/editing/edits-<model>.csv (a row a record) and data/editing/REPORT.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from core import METHODS, Edit, EditError, LanguageModel, edit, load_model
from core.editing.scores import SCORES, says
from core.editing.second_moments import second_moments
from core.model.catalog import BUILTIN
from scripts.corpus import DATA

OUTPUT = DATA / "editing"
ORIGINAL = "original model"
log = logging.getLogger("evaluate_edits")


def load_records(data: Path = DATA) -> list[dict]:
    return json.loads((data / "mini_counterfact.json").read_text(encoding="utf-8"))


def rewrite_of(record: dict) -> tuple[str, str, str, str]:
    """(prompt, subject, new target, true target) of a CounterFact record."""
    rewrite = record["requested_rewrite"]
    prompt = rewrite["prompt"].format(rewrite["subject"])
    new, true = rewrite["target_new"]["str"], rewrite["target_true"]["str"]
    return prompt, rewrite["subject"], new, true


def scores(model: LanguageModel, record: dict, edits: Sequence[Edit]) -> dict[str, float]:
    """Argmax accuracies of one record, each the mean over its prompts."""
    prompt, _, new, true = rewrite_of(record)
    groups = {
        "efficacy": ([prompt], new),
        "paraphrase": (record["paraphrase_prompts"], new),
        "neighbourhood": (record["neighborhood_prompts"], true),
    }
    asked = [(p, target) for prompts, target in groups.values() for p in prompts]
    right = iter(says(model, asked, edits))
    return {
        name: sum(next(right) for _ in prompts) / len(prompts)
        for name, (prompts, _) in groups.items()
    }


def evaluate(
    model: LanguageModel, records: Sequence[dict], method: str, **hyperparameters: object
) -> pd.DataFrame:
    """A row a record. Columns: model, method, case_id, efficacy, paraphrase, neighbourhood (0 to
    1), seconds. A method that finds no edit leaves the model as it is."""
    rows = []
    for record in records:
        prompt, subject, new, _ = rewrite_of(record)
        start, edits = time.perf_counter(), []
        if method != ORIGINAL:
            try:
                edits = [
                    edit(model, prompt, new, method=method, subject=subject, **hyperparameters)
                ]
            except EditError as error:
                log.info("%s, case %d: %s", method, record["case_id"], error)
        seconds = time.perf_counter() - start
        row = {"model": model.name, "method": method, "case_id": record["case_id"]}
        rows.append(row | scores(model, record, edits) | {"seconds": seconds})
    return pd.DataFrame(rows)


def as_markdown(table: pd.DataFrame) -> str:
    lines = [
        "# How well each method edits the built-in models",
        "",
        "Made by `python -m scripts.evaluate_edits`: every record of `data/mini_counterfact.json`,",
        "edited alone with each method's defaults. Argmax accuracies in %, as in the paper's Table",
        "1: the new target after the prompt (efficacy) and its paraphrases, the true one after its",
        "neighbours (neighbourhood). Seconds for one edit on one core, without the second moments",
        "(once for a model and layer). `auto` is the smallest strength that works for the prompt.",
    ]
    for name in table["model"].unique():
        own = table[table["model"] == name]
        model = load_model(name)
        lines += [
            "",
            f"## {name}",
            "",
            f"{own['case_id'].nunique()} records.",
            "",
            "| method | efficacy | paraphrase | neighbourhood | seconds | settings |",
            "|---|---|---|---|---|---|",
        ]
        for method in own["method"].unique():
            part = own[own["method"] == method]
            figures = " | ".join(f"{100 * part[score].mean():.1f}" for score in SCORES)
            seconds = "" if method == ORIGINAL else f"{part['seconds'].median():.3f}"
            lines.append(f"| {method} | {figures} | {seconds} | {settings_of(model, method)} |")
    return "\n".join(lines) + "\n"


def settings_of(model: LanguageModel, method: str) -> str:
    if method == ORIGINAL:
        return ""
    settings = METHODS[method].defaults(model)
    return ", ".join(f"{k} {v}" for k, v in settings.items() if v is not None)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=" or ".join(BUILTIN))
    parser.add_argument("--records", type=int, help="only the first so many")
    given = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    for name in given.names or BUILTIN:
        table = evaluate_model(load_model(name), load_records()[: given.records])
        table.round(4).to_csv(OUTPUT / f"edits-{name}.csv", index=False)
    written = [OUTPUT / f"edits-{name}.csv" for name in BUILTIN]
    table = pd.concat([pd.read_csv(file) for file in written if file.exists()])
    (OUTPUT / "REPORT.md").write_text(as_markdown(table), encoding="utf-8")


def evaluate_model(model: LanguageModel, records: Sequence[dict]) -> pd.DataFrame:
    """Every method in turn, and the model as it is."""
    second_moments(model, range(model.n_layers))
    tables = []
    for method in (ORIGINAL, *METHODS):
        tables.append(evaluate(model, records, method))
        means = 100 * tables[-1][[*SCORES]].mean()
        log.info("%s %s %s", model.name, method, means.round(1).to_dict())
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    main()
