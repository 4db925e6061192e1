"""core.benchmark: what a row says is what the edit, asked alone, says."""

import json
import math
from dataclasses import replace

import pandas as pd
import pytest

from core import (
    Cancelled,
    EditError,
    ModelError,
    PromptError,
    Record,
    answers,
    benchmark,
    edit,
    load_counterfact,
    load_model,
    perplexity,
)
from core.benchmarking import run
from core.benchmarking.judged import Task, judge
from core.benchmarking.measures import COLUMNS, MEASURES
from core.benchmarking.specs import ORIGINAL, parse_spec, title_of
from core.benchmarking.text_metrics import ReferenceScore, Snippets
from core.cluster.pool import OneProcess
from core.editing.edit_strength import TEXT
from core.editing.scores import first_token_scores, says
from core.studies.counterfact import MINI_COUNTERFACT
from tests.conftest import random_model

CHEAP = ("forward-shift", "rome")


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny-gpt2")


@pytest.fixture(scope="module")
def records():
    return load_counterfact(MINI_COUNTERFACT)


@pytest.fixture(scope="module")
def found(tiny, records):
    return benchmark(tiny, records, methods=CHEAP, limit=5)


def counts(rows: pd.DataFrame) -> pd.DataFrame:
    """What must not depend on who made it, nor when."""
    return rows.drop(columns=["seconds"]).reset_index(drop=True)


def test_a_row_for_each_record_and_method_the_unedited_model_too(found):
    assert list(found.rows.columns) == list(COLUMNS)
    assert found.methods == (ORIGINAL, *CHEAP)
    assert found.rows.groupby("method").size().to_dict() == dict.fromkeys(found.methods, 5)
    assert found.finished
    assert (found.rows["problem"] == "").all()


def test_the_figures_are_those_of_each_edit_alone(tiny, found):
    for record, (_, rows) in zip(found.records, found.rows.groupby("record"), strict=True):
        for row in rows.itertuples():
            edits = []
            if row.method != ORIGINAL:
                words = (record.prompt, record.target_new)
                edits = [edit(tiny, *words, method=row.method, subject=record.subject)]
                assert row.bytes == edits[0].size
            groups = {
                "efficacy": ([record.prompt], record.target_new),
                "paraphrase": (record.paraphrases, record.target_new),
                "neighbourhood": (record.neighbours, record.target_true),
            }
            for name, (prompts, target) in groups.items():
                right = says(tiny, [(prompt, target) for prompt in prompts], edits)
                assert getattr(row, f"{name}_acc") == pytest.approx(sum(right) / len(right))
            assert row.kept == first_token_scores(tiny, record, edits)["neighbourhood"]
            assert row.perplexity == pytest.approx(perplexity(tiny, edits=edits), rel=1e-3)
            for kind, prompt, _, answer in json.loads(row.said):
                assert kind in ("rewrite", "paraphrase", "neighbour", "negation", "reversed")
                now = answers(tiny, prompt, edits=edits, top_k=1)["token"].iloc[0]
                assert answer == now


def test_success_and_magnitude_follow_from_the_numbers_that_are_kept(found):
    for row in found.rows.itertuples():
        numbers = json.loads(row.nlls)
        for kind, name, sign in (
            ("rewrite", "efficacy", 1),
            ("paraphrase", "paraphrase", 1),
            ("neighbour", "neighbourhood", -1),
        ):
            new_true = numbers[kind]
            better = [sign * (true - new) > 0 for new, true, _ in new_true]
            gaps = [sign * (math.exp(-new) - math.exp(-true)) for new, true, _ in new_true]
            assert getattr(row, f"{name}_success") == pytest.approx(sum(better) / len(better))
            assert getattr(row, f"{name}_diff") == pytest.approx(sum(gaps) / len(gaps), abs=1e-5)
            right = [right for _, _, right in new_true]
            assert getattr(row, f"{name}_acc") == pytest.approx(sum(right) / len(right))


def test_the_same_rows_again_and_from_a_pool(tiny, records, found):
    again = benchmark(tiny, records, methods=CHEAP, limit=5, pool=OneProcess(tiny))
    pd.testing.assert_frame_equal(counts(again.rows), counts(found.rows))


def test_a_worker_with_another_model_is_refused(tiny, records):
    with pytest.raises(ModelError, match="other weights"):
        benchmark(tiny, records, methods=(), limit=1, pool=OneProcess(random_model("gpt2")))


def test_it_goes_on_where_it_was_ended_and_takes_more_methods(tiny, records, found, tmp_path):
    done = []

    def stop(rows: int, total: int) -> None:
        done.append((rows, total))
        if rows:
            raise Cancelled

    with pytest.raises(Cancelled):
        benchmark(tiny, records, methods=CHEAP[:1], limit=5, save_to=tmp_path, on_step=stop)
    assert done[-1] == (8, 10)
    asked = []
    judged = run.judge
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            run, "judge", lambda m, ts, s: asked.extend(t.index for t in ts) or judged(m, ts, s)
        )
        benchmark(tiny, records, methods=CHEAP[:1], limit=5, save_to=tmp_path)
        assert asked == [4]
        more = benchmark(tiny, records, methods=CHEAP, limit=5, save_to=tmp_path)
    assert asked == [4, 0, 1, 2, 3, 4]
    pd.testing.assert_frame_equal(counts(more.rows), counts(found.rows))


def test_another_benchmark_s_folder_is_refused(tiny, records, tmp_path):
    benchmark(tiny, records, methods=(), limit=1, save_to=tmp_path, generate=False)
    with pytest.raises(PromptError, match="another benchmark"):
        benchmark(tiny, records, methods=(), limit=1, seed=5, save_to=tmp_path, generate=False)


def test_without_generation_there_is_no_entropy(tiny, records):
    rows = benchmark(tiny, records, methods=(), limit=1, generate=False).rows
    assert rows["entropy"].isna().all()
    assert rows["generated"].notna().all()


def test_the_reference_score_needs_snippets(tiny, records, found):
    drawn = found.records[0]
    about = Snippets({(drawn.relation, drawn.target_id): (drawn.target_new,)})
    rows = benchmark(
        tiny, records, methods=CHEAP, limit=1, seed=0, snippets=ReferenceScore(about)
    ).rows
    assert found.rows["reference"].isna().all()
    assert rows["reference"].between(0, 1).all()


def test_a_method_that_finds_no_edit_says_why_and_leaves_the_model(tiny, records, found):
    """On a layer range where one step cannot do it, or with a setting that finds nothing."""
    record = found.records[0]
    spec = "sgd:lr=0.0"
    rows = judge(tiny, [Task(0, record, (spec,), 0, False)])[0].rows
    assert rows[1]["efficacy_acc"] == rows[0]["efficacy_acc"] == 0.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.benchmarking.judged.edit", refuse)
        rows = judge(tiny, [Task(0, record, ("sgd",), 0, False)])[0].rows
    assert rows[1]["problem"] == "No learning rate works."
    assert math.isnan(rows[1]["seconds"])
    same = [name for name in MEASURES if name not in ("seconds", "bytes", "reversed_success")]
    for name in same:
        assert rows[1][name] == rows[0][name] or math.isnan(rows[0][name])


def refuse(*_: object, **__: object) -> None:
    raise EditError("No learning rate works.")


def test_a_record_that_does_not_fit_is_a_row_with_its_reason(tiny, found):
    long = replace(found.records[0], prompt="Obama grew " * 200 + "up in", subject="Obama")
    good = Task(1, found.records[1], (), 0, True)
    judged, beside = judge(tiny, [Task(0, long, ("rome",), 0, True), good])
    assert beside.rows[0]["text"]
    assert [row["method"] for row in judged.rows] == [ORIGINAL, "rome"]
    assert all("tokens" in row["problem"] for row in judged.rows)
    assert all(math.isnan(row[name]) for row in judged.rows for name in MEASURES)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_each_architecture(kind):
    model = random_model(kind)
    record = Record(3, "Obama grew up in", "Obama", "Paris", "New York", (), ("Adele grew up in",))
    rows = benchmark(model, [record], methods=("forward-shift",)).rows
    assert list(rows["method"]) == [ORIGINAL, "forward-shift"]
    assert rows["efficacy_success"].notna().all()


def test_records_without_a_right_answer_are_none(tiny):
    record = Record(3, "Obama grew up in", None, "Paris", None)
    with pytest.raises(PromptError, match="CounterFact"):
        benchmark(tiny, [record])


@pytest.mark.parametrize("spec", ["nonsense", "rome:nonsense=3", "rome:layer", "rome:=3"])
def test_a_spec_that_there_is_not(tiny, records, spec):
    with pytest.raises(EditError):
        benchmark(tiny, records, methods=(spec,), limit=1)


def test_specs():
    assert parse_spec("rome") == ("rome", {})
    asked = {"eta": "fixed", "layer": 3, "elsewhere": False, "layers": (1, 2)}
    spec = "forward-shift:eta=fixed,layer=3,elsewhere=false,layers=1+2"
    assert parse_spec(spec) == ("forward-shift", asked)
    assert title_of("forward-shift:eta=fixed") == "Forward pass shift (eta fixed)"
    assert title_of(ORIGINAL) == "Unedited model"


def test_the_text_of_the_perplexity_is_in_the_header(found):
    assert len(found.header.perplexity_text) == 64
    assert TEXT.exists()


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("rome:layer=99", "Layer 99"),
        ("memit:layers=1+99", "Layer 99"),
        ("emmet:layer=99", "Layer 99"),
        ("rome:steps=1000", "steps is 1000"),
        ("memit:contexts=-1", "contexts is -1"),
        ("rome:token=first", "token is 'first'"),
    ],
)
def test_settings_that_do_not_fit_are_said_by_each_record(records, spec, problem):
    """Several records, whose searches would be made side by side."""
    model = random_model("gpt2")
    tasks = [Task(i, records[i], (spec,), 0, False) for i in range(2)]
    for judged in judge(model, tasks):
        assert problem in judged.rows[1]["problem"]
