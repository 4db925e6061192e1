"""MEND's network for a model: python -m scripts.train_mend NAME [--records FILE] [--steps N]

Trains on the facts that scripts.mend_records lets it see, measures it on the others, beside the
gradient step that it transforms (scripts.mend_gate), and writes data/mend/: the network, a row a
held-out record in gate-<name>.csv, figures-<name>.json, and REPORT.md of all networks there.
Models other than the built-in ones need --records, a CounterFact file.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import pandas as pd
import torch

from core import LanguageModel, Record, fingerprint, load_counterfact, load_model
from core.editing.mend_network import SHIPPED, MendNetwork, shipped_file, usual_sites
from core.editing.mend_training import RANK, STEPS, train_mend, training_facts
from core.model.catalog import BUILTIN
from scripts.mend_gate import gate_rows, verdict
from scripts.mend_records import builtin_split, counterfact_split
from scripts.mend_report import as_markdown

JUDGED = 150  # held-out records of each kind
log = logging.getLogger("train_mend")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--records", type=Path, help="a CounterFact file, not for built-in models")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--layers", type=int, default=3, help="how many of the last ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judged", type=int, default=JUDGED)
    parser.add_argument("--only-judge", action="store_true", help="the network that is there")
    given = parser.parse_args()
    model = load_model(given.name)
    learned, kept = records_for(given)
    path = shipped_file(model)
    if not given.only_judge:
        network = train(model, learned, given)
        network.save(path, torch.float16)
        log.info("%s: %.2f MB", path.name, path.stat().st_size / 1e6)
    network = MendNetwork.load(path, model)  # as it ships, rounded
    judge(model, network, {kind: records[: given.judged] for kind, records in kept.items()})
    (SHIPPED / "REPORT.md").write_text(as_markdown(SHIPPED), encoding="utf-8")


def records_for(given: argparse.Namespace) -> tuple[list[Record], dict[str, list[Record]]]:
    """What is learned, and what is held out, by kind."""
    if given.name in BUILTIN:
        learned, subjects, relations = builtin_split(given.seed)
        return learned, {"new subjects": subjects, "new relations": relations}
    if given.records is None:
        raise SystemExit(
            f"{given.name} is not a built-in model: give --records, a CounterFact file."
        )
    learned, kept = counterfact_split(list(load_counterfact(given.records)))
    return learned, {"new subjects": kept}


def train(model: LanguageModel, records: list[Record], given: argparse.Namespace) -> MendNetwork:
    facts = training_facts(model, records, seed=given.seed)
    log.info("%d facts to learn from", len(facts))

    def report(done: int, total: int) -> None:
        if done % 100 == 0 or done == total:
            log.info("%d of %d", done, total)

    return train_mend(
        model,
        facts,
        steps=given.steps,
        rank=given.rank,
        sites=usual_sites(model, given.layers),
        seed=given.seed,
        on_step=report,
    )


def judge(model: LanguageModel, network: MendNetwork, kept: dict[str, list[Record]]) -> None:
    """Measure the network on held-out records; writes a CSV of rows and a JSON of figures."""
    tables, verdicts = [], {}
    for kind, records in kept.items():
        rows = gate_rows(model, network, records)
        tables.append(rows.assign(kind=kind))
        found = verdict(rows)
        verdicts[kind] = {
            "records": len(records),
            "rows": json.loads(found.round(4).to_json(orient="records")),
        }
        log.info("%s, %s\n%s", model.name, kind, found.round(3).to_string())
    name = Path(model.name).name
    table = pd.concat(tables, ignore_index=True).round(5)
    table.to_csv(SHIPPED / f"gate-{name}.csv", index=False)
    figures = {
        "model": model.name,
        "fingerprint": fingerprint(model),
        "bytes": shipped_file(model).stat().st_size,
        "numbers": network.size,
        "sites": [list(site) for site in network.sites],
        "made": dict(network.made),
        "gate": verdicts,
    }
    text = json.dumps(figures, ensure_ascii=False, indent=1) + "\n"
    (SHIPPED / f"figures-{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
