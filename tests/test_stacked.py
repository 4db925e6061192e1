"""The table of stacked edits: what is said of it is what stands in it."""

import pandas as pd
import pytest

from core.studies.counterfact import MINI_COUNTERFACT
from scripts.stack_edits import COLUMNS, REPORT, TABLE, as_markdown, drawn, findings


def test_the_report_is_that_of_the_table():
    table = pd.read_csv(TABLE)
    assert list(table.columns) == COLUMNS
    assert REPORT.read_text(encoding="utf-8") == as_markdown(table)


def test_facts_have_each_a_subject_of_their_own():
    facts = drawn("tiny-gpt2", MINI_COUNTERFACT, 100, 0)
    assert len({fact.subject for fact in facts}) == len(facts) == 100
    assert facts == drawn("tiny-gpt2", MINI_COUNTERFACT, 100, 0)
    assert facts[:30] != drawn("tiny-gpt2", MINI_COUNTERFACT, 30, 1)
    known = {fact.case_id for fact in facts}
    assert len(known) == 100


def row(aligned, seed, share):
    scores = {"efficacy": share, "paraphrase": 0.5, "neighbourhood": 1 - share}
    asked = {"model": "a", "method": "memit", "aligned": aligned, "seed": seed, "edits": 30}
    return asked | scores


def test_what_keeping_does_is_the_difference_of_pairs():
    rows = [row(True, 0, 0.75), row(False, 0, 0.5), row(True, 1, 0.5), row(False, 1, 0.75)]
    (said,) = findings(pd.DataFrame([*rows, row(True, 2, 0.1)]))  # the last has no partner
    assert "MEMIT, 30 edits, pairs: 2; efficacy +0.0 (-25.0 to +25.0)" in said
    assert "paraphrase +0.0 (+0.0 to +0.0)" in said
    assert findings(pd.DataFrame([row(True, 0, 0.9)])) == []


@pytest.mark.parametrize("seeds", [1, 2])
def test_every_row_of_the_report_is_a_mean_over_its_seeds(seeds):
    rows = [
        row(kept, seed, share) | {"perplexity": 2000 * share, "perplexity_before": 12.34}
        for kept in (True, False)
        for seed, share in list(enumerate((0.5, 0.7)))[:seeds]
    ]
    text = as_markdown(pd.DataFrame(rows))
    wanted = {1: "50.0 | 50.0 | 50.0 | 1,000", 2: "60.0 | 50.0 | 40.0 | 1,200"}[seeds]
    assert f"| MEMIT | 30 | kept | {wanted} |" in text
    assert f"| MEMIT | 30 | not kept | {wanted} |" in text
    assert "perplexity before any edit 12.3." in text
