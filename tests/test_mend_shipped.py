"""The shipped MEND networks: what they never saw, and how they are judged."""

import json

import numpy as np
import pandas as pd
import pytest

from core import Record
from core.editing.mend_network import SHIPPED
from scripts.corpus import load_corpus
from scripts.mend_gate import FACTORS, at_equal_kl, verdict
from scripts.mend_records import HELD_OUT_RELATIONS, builtin_split, counterfact_split, held_out

FIGURES = sorted(SHIPPED.glob("figures-*.json"))


def test_held_out_subjects_and_relations_are_never_learned():
    learned, subjects, relations = builtin_split()
    kept = {record.subject for record in (*subjects, *relations)}
    ids = {load_corpus().relations[name]["id"] for name in HELD_OUT_RELATIONS}
    assert not kept & {record.subject for record in learned}
    assert not ids & {record.relation for record in learned}
    assert {record.relation for record in relations} == ids
    assert not ids & {record.relation for record in subjects}
    texts = [text for r in learned for text in (r.prompt, *r.paraphrases, *r.neighbours)]
    assert len(learned) > 1000
    assert builtin_split() == (learned, subjects, relations)
    assert all(record.target_new != record.target_true for record in learned)
    assert not any(f"{record.subject} founded" in texts for record in subjects)


def test_one_record_in_ten_is_held_out_with_its_subject():
    records = [Record(i, f"{s} is", s, "a", "b") for i, s in enumerate("abcdefghijklmnopqrst")]
    records.append(Record(20, "j was", "j", "a", "b"))  # the subject of number 9
    learned, kept = counterfact_split(records)
    assert [record.case_id for record in kept] == [9, 19]
    assert all(map(held_out, kept))
    assert len(learned) == 18
    assert "j" not in {record.subject for record in learned}


def test_what_lies_between_two_factors_is_on_a_line_over_log_kl():
    curve = pd.DataFrame(
        {"efficacy": [0.0, 0.5], "paraphrase": [0.0, 1.0], "kept": [1.0, 0.5], "kl": [0.01, 1.0]}
    )
    found = at_equal_kl(curve, 0.1)
    assert found.to_dict() == pytest.approx({"efficacy": 0.25, "paraphrase": 0.5, "kept": 0.75})
    assert at_equal_kl(curve, 1.0)["efficacy"] == 0.5
    assert at_equal_kl(curve, 0.001).isna().all()  # no figure where nothing was measured
    assert at_equal_kl(curve, 5.0).isna().all()


def test_the_gain_is_the_difference_where_both_disturb_equally():
    """MEND writes everything at a KL of 0.1, where the plain step writes half."""
    rows = []
    for record in range(4):
        for way, factors in FACTORS.items():
            for factor in factors:
                kl = 0.1 * factor
                right = 1.0 if way == "mend" else min(1.0, 0.5 * factor)
                row = {"case_id": record, "way": way, "factor": factor, "norm": factor}
                rows.append(row | {"efficacy": right, "paraphrase": right, "kept": 0.5, "kl": kl})
    table = verdict(pd.DataFrame(rows)).set_index("name")
    gain = table.loc["gain at equal KL"]
    assert gain["efficacy"] == pytest.approx(0.5)
    assert (gain["efficacy_low"], gain["efficacy_high"]) == pytest.approx((0.5, 0.5))
    assert gain["kept"] == pytest.approx(0)
    assert table.loc["plain step, equal size", "efficacy"] == 0.5
    assert np.isclose(table.loc["plain step, equal KL", "kl"], 0.1)


def test_networks_of_the_built_in_models_ship():
    assert {"figures-tiny-gpt2.json", "figures-tiny-llama2.json"} <= {file.name for file in FIGURES}


@pytest.mark.parametrize("file", FIGURES, ids=lambda file: file.stem)
def test_every_network_is_small_and_judged_on_a_hundred_facts(file):
    figures = json.loads(file.read_text(encoding="utf-8"))
    (network,) = SHIPPED.glob(f"*-{figures['fingerprint']}.safetensors")
    assert network.stat().st_size == figures["bytes"] <= 5_000_000
    assert sum(kind["records"] for kind in figures["gate"].values()) >= 100
    report = (SHIPPED / "REPORT.md").read_text(encoding="utf-8")
    assert f"## {figures['model']}" in report
