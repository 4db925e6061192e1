"""Case files as memit writes them: ours round, others' read, damaged and hostile ones refused."""

import json
import math
import os
from types import SimpleNamespace

import pandas as pd
import pytest

from core import PromptError, Record
from core.benchmarking import memit_case, memit_cases
from core.benchmarking.export import as_markdown
from core.benchmarking.means import table_of
from core.benchmarking.measures import COLUMNS, MEASURES, SHARES
from core.benchmarking.memit_cases import export_memit, read_memit, table_with

RECORDS = [
    Record(3, "The capital of Rome is", "Rome", "Paris", "Rome", relation="P36", target_id="Q90"),
    Record(5, "X plays for", "X", "Ajax", "Inter"),
]


def row(place: int, method: str = "rome", **values) -> dict:
    numbers = {
        "rewrite": [[0.5, 2.0, 1]],
        "paraphrase": [[1.0, 0.25, 0], [0.1, 3.0, 1]],
        "neighbour": [[4.0, 1.0, 1], [1.0, 1.0, 0], [0.5, None, 0]],
    }
    own = {
        "efficacy_acc": 1.0,
        "paraphrase_acc": 0.5,
        "neighbourhood_acc": 1 / 3,
        "efficacy_success": 1.0,
        "paraphrase_success": 0.5,
        "neighbourhood_success": 1 / 3,
        "efficacy_diff": math.exp(-0.5) - math.exp(-2),
        "paraphrase_diff": (math.exp(-1) - math.exp(-0.25) + math.exp(-0.1) - math.exp(-3)) / 2,
        "neighbourhood_diff": math.nan,
        "kept": 0.5,
        "generated": 1.0,
        "negation": 0.0,
        "reversed_acc": 0.0,
        "reversed_success": 1.0,
        "entropy": 6.25,
        "reference": 0.125,
        "perplexity": 90.5,
        "seconds": 1.5,
        "bytes": 4096.0,
    }
    about = {"record": place, "case_id": str(RECORDS[place].case_id), "method": method}
    texts = {"problem": "", "text": " Paris, of course", "said": "[]", "nlls": json.dumps(numbers)}
    return about | own | texts | values


def benchmark(*rows: dict, records=RECORDS) -> SimpleNamespace:
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    methods = tuple(table["method"].unique())
    return SimpleNamespace(rows=table, records=records, table=table_of(table, methods))


def test_rows_go_out_and_come_back(tmp_path):
    mine = benchmark(row(0), row(0, "sgd"), row(1, efficacy_acc=0.0, seconds=math.nan))
    numbers = json.loads(mine.rows.loc[2, "nlls"]) | {"rewrite": [[0.5, 2.0, 0]]}
    mine.rows.loc[2, "nlls"] = json.dumps(numbers)
    paths = export_memit(mine, tmp_path / "run_000", "rome")
    assert [path.name for path in paths] == ["1_edits-case_3.json", "1_edits-case_5.json"]
    back = read_memit(tmp_path / "run_000", "rome", records=RECORDS)
    wanted = mine.rows[mine.rows["method"] == "rome"].reset_index(drop=True)
    pd.testing.assert_frame_equal(back, wanted, check_dtype=False)
    assert list(read_memit(tmp_path / "run_000", "x", records=RECORDS[1:])["record"]) == [0]


def test_a_case_is_as_memit_writes_it(tmp_path):
    (path,) = export_memit(benchmark(row(0)), tmp_path, "rome")
    case = json.loads(path.read_text())
    assert case["case_id"] == 3
    assert case["grouped_case_ids"] == [3]
    assert case["num_edits"] == 1
    assert case["time"] == 1.5
    assert case["requested_rewrite"] == {
        "prompt": "The capital of {} is",
        "relation_id": "P36",
        "target_new": {"str": "Paris", "id": "Q90"},
        "target_true": {"str": "Rome", "id": ""},
        "subject": "Rome",
    }
    post = case["post"]
    assert post["rewrite_prompts_probs"] == [{"target_new": 0.5, "target_true": 2.0}]
    assert post["neighborhood_prompts_probs"][0] == {"target_new": 4.0, "target_true": 1.0}
    assert post["neighborhood_prompts_correct"] == [True, False, False]
    assert post["paraphrase_prompts_correct"] == [False, True]
    assert math.isnan(post["neighborhood_prompts_probs"][2]["target_true"])
    assert (post["ngram_entropy"], post["reference_score"]) == (6.25, 0.125)
    assert post["text"] == ["The capital of Rome is Paris, of course"]


def test_other_ids_become_places(tmp_path):
    records = [RECORDS[0], Record("../../x", "X plays for", "X", "Ajax", "Inter")]
    (path,) = export_memit(benchmark(row(1), records=records), tmp_path / "run", "rome")
    assert path == tmp_path / "run" / "1_edits-case_1.json"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_what_was_not_measured_is_left_out(tmp_path):
    unmeasured = dict.fromkeys(MEASURES, math.nan) | {"problem": "It does not fit.", "nlls": "{}"}
    paths = export_memit(benchmark(row(0), row(1, **unmeasured)), tmp_path, "rome")
    assert len(paths) == 1


def test_two_runs_do_not_get_into_one_folder(tmp_path):
    export_memit(benchmark(row(0)), tmp_path, "rome")
    with pytest.raises(PromptError, match="already holds case files"):
        export_memit(benchmark(row(1)), tmp_path, "rome")
    with pytest.raises(PromptError, match="no method 'mend'. Its methods: 'rome'"):
        export_memit(benchmark(row(0)), tmp_path / "other", "mend")


POST = {
    "rewrite_prompts_probs": [{"target_new": 1.0, "target_true": 2.0}],
    "neighborhood_prompts_probs": [{"target_new": 1.0, "target_true": 2.0}],
}
CASE = {"case_id": 7, "num_edits": 100, "time": 50.0, "requested_rewrite": {}, "post": POST}


def write(folder, case, name="100_edits-case_7.json"):
    (folder / name).write_text(case if isinstance(case, str) else json.dumps(case))


def test_others_cases_stand_in_the_same_table(tmp_path):
    write(tmp_path, CASE)
    write(tmp_path, CASE | {"case_id": 12}, "case_12.json")  # ROME's first names
    write(tmp_path, "{", "params.json")
    theirs = read_memit(tmp_path, "AlphaEdit, 100 together")
    assert list(theirs["case_id"]) == ["7", "12"]
    assert list(theirs["seconds"]) == [0.5, 0.5]
    assert theirs["efficacy_acc"].isna().all()
    assert list(theirs["neighbourhood_success"]) == [0, 0]
    assert list(theirs["neighbourhood_diff"]) == pytest.approx([math.exp(-2) - math.exp(-1)] * 2)
    assert theirs["said"].map(json.loads).map(len).sum() == 0
    table = table_with(benchmark(row(0)), theirs)
    assert list(table["title"]) == ["ROME", "AlphaEdit, 100 together"]
    assert table["efficacy_success"].tolist() == [1, 1]
    assert "AlphaEdit, 100 together" in as_markdown(table)


def with_post(**changes) -> dict:
    return CASE | {"post": POST | changes}


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("", "no whole JSON"),
        ('{"case_id": 7, "post"', "no whole JSON"),
        ("[" * 100_000, "no whole JSON"),
        ("9" * 10_000, "no whole JSON"),
        ("[]", "no object"),
        (CASE | {"post": None}, "its post is no object"),
        (CASE | {"post": {}}, "no probabilities"),
        (CASE | {"case_id": None}, "case_id"),
        (CASE | {"case_id": "x" * 1000}, "case_id"),
        (CASE | {"case_id": "\ud800"}, "case_id"),
        (CASE | {"num_edits": 0}, "num_edits"),
        (CASE | {"time": "long"}, "its time holds what is no number"),
        (CASE | {"time": 10**400}, "above 1e"),
        (CASE | {"backward_lens": {"problem": 3}}, "problem"),
        (CASE | {"backward_lens": {"kept": True}}, "kept"),
        (with_post(rewrite_prompts_probs={}), "no list"),
        (with_post(rewrite_prompts_probs=[1]), "no object"),
        (with_post(rewrite_prompts_probs=[{"target_new": 1}]), "no number"),
        (with_post(rewrite_prompts_probs=[{"target_new": -1e6, "target_true": 1}]), "negative"),
        (with_post(rewrite_prompts_probs=[POST] * 3000), "at most 2,000"),
        (with_post(rewrite_prompts_correct=[2]), "neither true nor false"),
        (with_post(rewrite_prompts_correct=[True, True]), "2 entries for 1"),
    ],
)
def test_a_damaged_case_is_named(tmp_path, case, reason):
    write(tmp_path, case)
    with pytest.raises(PromptError, match=reason) as caught:
        read_memit(tmp_path, "theirs")
    assert "'100_edits-case_7.json'" in str(caught.value)


def test_endless_numbers_are_no_trap(tmp_path):
    endless = [{"target_new": math.inf, "target_true": math.nan}]
    write(tmp_path, with_post(rewrite_prompts_probs=endless, rewrite_prompts_correct=[False]))
    (one,) = read_memit(tmp_path, "theirs").to_dict("records")
    assert one["efficacy_success"] == 0
    assert json.loads(one["nlls"])["rewrite"] == [[None, None, 0]]


def test_folders_without_use(tmp_path, monkeypatch):
    with pytest.raises(PromptError, match="cannot be read"):
        read_memit(tmp_path / "nothing", "x")
    with pytest.raises(PromptError, match="no case files"):
        read_memit(tmp_path, "x")
    write(tmp_path, CASE)
    with pytest.raises(PromptError, match="no cases of these records"):
        read_memit(tmp_path, "x", records=RECORDS)
    write(tmp_path, CASE, "1_edits-case_7.json")
    with pytest.raises(PromptError, match="case 7 twice"):
        read_memit(tmp_path, "x")
    monkeypatch.setattr(memit_cases, "MOST_CASES", 1)
    with pytest.raises(PromptError, match="at most 1"):
        read_memit(tmp_path, "x")


def test_a_link_to_another_place_is_not_read(tmp_path):
    write(tmp_path, CASE, "secret.txt")
    folder = tmp_path / "run"
    folder.mkdir()
    try:
        os.symlink(tmp_path / "secret.txt", folder / "1_edits-case_7.json")
    except OSError:
        pytest.skip("no links on this machine")
    with pytest.raises(PromptError, match="no case files"):
        read_memit(folder, "x")


def test_a_case_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(memit_case, "LARGEST_CASE", 10)
    write(tmp_path, CASE)
    with pytest.raises(PromptError, match="more than 10 bytes"):
        read_memit(tmp_path, "x")


def test_every_share_is_kept_or_counted_again():
    known = {"kept", "generated", "negation", "reversed_acc", "reversed_success"}
    counted = {f"{ours}_{m}" for _, _, ours in memit_case.KINDS for m in ("acc", "success", "diff")}
    assert known | counted == set(SHARES)
