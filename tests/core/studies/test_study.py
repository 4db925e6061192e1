"""Studies: reductions by hand, tables against one trace at a time, kill and resume, files."""

import dataclasses
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core import (
    SEGMENTS,
    Cancelled,
    PromptError,
    Record,
    Study,
    backward_lens,
    gradient_rank,
    layer_similarity,
    segments,
    side_by_side,
    study,
    trace,
    vjp_norms,
)
from core.model.fingerprint import fingerprint
from core.studies import batches
from core.studies.counterfact import Records
from core.studies.header import FORMAT, Header
from core.studies.sums import Sums
from core.studies.tables import HEADER
from tests.conftest import random_model

# core.study itself is the function
study_module = importlib.import_module("core.studies.study")
ROOT = Path(__file__).resolve().parents[3]
TABLES = ("norms", "token_ranks", "gradient_ranks", "cosines", "exceptions", "ranks_by_length")
BEFORE, FIRST, MIDDLE, LAST_OF_SUBJECT, AFTER, FURTHER, LAST = range(7)

LONG = (
    "It has often been written, in 1998 as much as in 2006, by friends & rivals alike, that the "
    "great midfielder Zinédine Zidane (born in Marseille) was a citizen of"
)
PROMPTS = [
    ("Obama grew up in", "Obama", "Paris", "Hawaii"),
    ("Jack Dorsey founded", "Jack Dorsey", "IBM", "Twitter"),
    ("The mother tongue of Danielle Darrieux is", "Danielle Darrieux", "English", "French"),
    ("Rome", "Rome", "Italy", "France"),
    ("Yesterday the singer Lionel Messi plays for the club of", "Lionel Messi", "Rome", "Paris"),
    ("Pikachu is a type of", "Pikachu", "music", "Pokémon"),
    ("Ipod Nano, developed by", "Ipod Nano", "BMW", "Apple"),
    ("We met Eddy Cue", "Eddy Cue", "BBC", "Apple"),
    ("It is known that 東京 is the capital of", "東京", "China", "Japan"),
    # More tokens than d_model, 32: no gradient can have the prompt's length as its rank.
    (LONG, "Zinédine Zidane", "Rome", "France"),
]
TOO_LONG = Record(99, "word " * 200, "word", "a", "b")
NO_SUBJECT = Record(98, "Obama grew up in", "Trump", "a", "b")


def records_of(model, count: int = len(PROMPTS)) -> list[Record]:
    """Records of which the model answers two in three "correctly", where its answer can be
    typed."""
    result = []
    for i in range(count):
        prompt, subject, new, true = PROMPTS[i % len(PROMPTS)]
        run = trace(model, prompt, new)
        typed = run.answer.strip()
        if i % 3 and typed and model.target(prompt, typed).id == run.answer_id:
            true = typed
        result.append(Record(i, prompt, subject, new, true))
    return result


def small_model(kind: str = "gpt2"):
    return random_model(kind, layers=3)


def assert_same(one: Study, other: Study) -> None:
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)


def assert_close(one: Study, other: Study) -> None:
    for name in TABLES:
        a, b = getattr(one, name), getattr(other, name)
        tolerance = {"rtol": 1e-3, "atol": 3.0 if name == "token_ranks" else 1e-5}
        pd.testing.assert_frame_equal(a, b, **tolerance)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def studied(request: pytest.FixtureRequest):
    """A model, its records and its study, which tests only read."""
    model = small_model(request.param)
    records = records_of(model)
    return model, records, study(model, records)


# Reductions by hand


def test_tokens_are_averaged_by_segment():
    values = np.array([[1.0, 2.0, 6.0, 9.0], [np.nan, 3.0, np.nan, np.nan]])
    result = batches.by_segment(values, np.array([BEFORE, MIDDLE, MIDDLE, LAST]))
    nan = np.nan
    expected = [[1, nan, 4, nan, nan, nan, 9], [nan, nan, 3, nan, nan, nan, nan]]
    np.testing.assert_array_equal(result, expected)


def test_one_record_reduced_by_hand():
    """Two modules, one layer, three tokens."""
    task = batches.Task(
        Record("c", "a b c", "b", "x", "y"), (1, 2, 3), 7, 8, np.array([BEFORE, BEFORE, LAST])
    )
    result = batches.reduce_record(
        task,
        norms={"delta": np.array([[[1.0, 3, 5]], [[0, 2, 4]]]), "x": np.ones((2, 1, 3))},
        ranks=np.array([[[[1.0, 2, 3]], [[4, 4, 6]]], [[[np.nan, 5, 7]], [[np.nan, np.nan, 0]]]]),
        gradient_rank=np.array([[3], [2]]),
        cosine=np.ones((1, 1)),
        answer_id=8,
    )
    assert result["correct"]
    ends = [BEFORE, LAST]
    assert result["norm"].shape == (2, 1, len(SEGMENTS))
    assert result["norm"][:, 0, ends].tolist() == [[2, 5], [1, 4]]
    assert result["input_norm"][:, 0, ends].tolist() == [[1, 1], [1, 1]]
    assert result["target_rank"][:, 0, ends].tolist() == [[1.5, 3], [5, 7]]
    np.testing.assert_array_equal(result["answer_rank"][:, 0, ends], [[4, 6], [np.nan, 0]])
    assert result["rank_is_full"].tolist() == [[1], [0]]
    assert result["gradient_rank"].tolist() == [[3], [2]]
    assert np.isnan(result["norm"][:, :, 1:-1]).all()
    wrong = dataclasses.replace(task, true_id=9)
    kept = {name: result[name] for name in ("gradient_rank", "cosine")}
    assert not batches.reduce_record(
        wrong,
        norms={"delta": np.ones((1, 1, 3)), "x": np.ones((1, 1, 3))},
        ranks=np.ones((2, 2, 1, 3)),
        answer_id=8,
        **kept,
    )["correct"]


def test_exceptions_by_hand():
    """Three tokens, two layers: the rank should be 3, and 1 in the last layer."""
    ranks = np.array([[3.0, 1.0], [2.0, 3.0]])
    assert batches.exceptions_of("5", "a b c", ranks, 3) == [
        ("5", "a b c", 0, 1, 2, 3),
        ("5", "a b c", 1, 1, 3, 3),
    ]


def hand_made_header(**changes) -> Header:
    values = {
        "model": "m",
        "fingerprint": "f",
        "n_layers": 2,
        "vocabulary_size": 11,
        "modules": ("ff1", "ff2"),
        "mlp_matrices": ("ff1", "ff2"),
        "records": "r",
        "digest": "d",
        "limit": 3,
        "seed": 0,
        "batch_size": 1,
        "total": 3,
        "done": 3,
        "counted": 3,
        "asked": 3,
        "correct": 2,
    }
    return Header(**values | changes)


def hand_made_study() -> Study:
    """Correct records with the values 1 and 4, a wrong one with 10, in every cell; the second
    correct one has no first subject token."""
    header = hand_made_header()
    sums = Sums.empty(header)
    for correct, value in ((True, 1.0), (True, 4.0), (False, 10.0)):
        arrays = {name: np.full(t.n.shape[1:], value) for name, t in sums.tallies.items()}
        if value == 4:
            for name in ("norm", "input_norm", "target_rank", "answer_rank"):
                arrays[name][..., FIRST] = np.nan
        sums.add({"correct": correct} | arrays)
    return Study(header, sums, (("5", "a b c", 1, 0, 2, 3),))


def test_tables_by_hand():
    result = hand_made_study()
    columns = {
        "norms": ["module", "layer", "segment", "norm", "input_norm"],
        "token_ranks": ["matrix", "layer", "segment", "target_rank", "answer_rank"],
        "gradient_ranks": ["matrix", "layer", "rank_is_full", "gradient_rank"],
        "cosines": ["layer", "other_layer", "cosine"],
    }
    sizes = {"norms": 2 * 2 * 7, "token_ranks": 2 * 2 * 7, "gradient_ranks": 4, "cosines": 4}
    # n, mean, standard error; of 1, 4, 10: deviations -4, -1, 5, variance 21, error sqrt(7).
    full = {"all": (3, 5, 7**0.5), "correctly": (2, 2.5, 1.5), "wrongly": (1, 10, np.nan)}
    first = {"all": (2, 5.5, 4.5), "correctly": (1, 1, np.nan), "wrongly": (1, 10, np.nan)}
    for name, wanted in columns.items():
        table = getattr(result, name)
        assert set(wanted) <= set(table.columns)
        assert len(table) == 3 * sizes[name]
        assert table["answered"].tolist() == [a for a in full for _ in range(sizes[name])]
        for row in table.to_dict("records"):
            expected = (first if row.get("segment") == SEGMENTS[FIRST] else full)[row["answered"]]
            for value in wanted[wanted.index("layer") + 1 :]:
                if value in ("segment", "other_layer"):
                    continue
                got = (row["n"], row[value], row[f"{value}_error"])
                assert got == pytest.approx(expected, nan_ok=True), (name, row)
    keys = result.norms[["module", "layer", "segment"]][: 2 * 2 * 7]
    assert keys["module"].tolist() == ["ff1"] * 14 + ["ff2"] * 14
    assert keys["segment"].tolist() == list(SEGMENTS) * 4
    (row,) = result.exceptions.to_dict("records")
    assert row == {
        "case_id": "5",
        "prompt": "a b c",
        "layer": 1,
        "matrix": "ff1",
        "rank": 2,
        "prompt_length": 3,
    }


def test_tables_keep_their_cells_apart():
    """A value for each cell, so that no axis can be mistaken for another."""
    header = hand_made_header()
    sums = Sums.empty(header)
    arrays = {
        n: np.arange(t.n[0].size).reshape(t.n.shape[1:]) * 1.0 for n, t in sums.tallies.items()
    }
    sums.add({"correct": True} | arrays)
    result = Study(header, sums, ())
    for row in result.norms.query("answered == 'all'").itertuples():
        place = (header.modules.index(row.module), row.layer, SEGMENTS.index(row.segment))
        assert row.norm == row.input_norm == arrays["norm"][place]
    for row in result.token_ranks.query("answered == 'correctly'").itertuples():
        place = (("ff1", "ff2").index(row.matrix), row.layer, SEGMENTS.index(row.segment))
        assert row.target_rank == arrays["target_rank"][place]
    for row in result.cosines.query("answered == 'all'").itertuples():
        assert row.cosine == arrays["cosine"][row.layer, row.other_layer]
    for row in result.gradient_ranks.query("answered == 'all'").itertuples():
        place = (header.mlp_matrices.index(row.matrix), row.layer)
        assert row.gradient_rank == arrays["gradient_rank"][place]


# Tables against one trace at a time


def per_record(model, record: Record) -> tuple[bool, dict[str, pd.DataFrame], list[tuple]]:
    """Whether the answer is right, each table of one record by the first version's functions, and
    its exceptions."""
    run = trace(model, record.prompt, record.target_new)
    names = segments(model, record.prompt, record.subject)

    def by_segment(table, keys, values):
        table = table.assign(segment=[names[i] for i in table["position"]])
        table[values] = table[values].astype("Float64").astype(float)
        return table.groupby([*keys, "segment"], as_index=False)[values].mean()

    lens = {matrix: backward_lens(run, matrix).assign(matrix=matrix) for matrix in ("ff1", "ff2")}
    ranks = gradient_rank(run)
    ranks["rank_is_full"] = (ranks["rank"] == ranks["prompt_length"]).astype(float)
    tables = {
        "norms": by_segment(vjp_norms(run), ["module", "layer"], ["norm", "input_norm"]),
        "token_ranks": by_segment(
            pd.concat(lens.values()), ["matrix", "layer"], ["target_rank", "answer_rank"]
        ),
        "gradient_ranks": ranks.rename(columns={"rank": "gradient_rank"})[
            ["matrix", "layer", "rank_is_full", "gradient_rank"]
        ],
        "cosines": layer_similarity(run),
    }
    exceptions = [
        (str(record.case_id), record.prompt, r.layer, r.matrix, r.rank, r.prompt_length)
        for r in ranks.itertuples()
        if r.rank != (1 if r.layer == model.n_layers - 1 else r.prompt_length)
    ]
    correct = run.answer_id == model.target(record.prompt, record.target_true).id
    return correct, tables, exceptions


KEYS = {
    "norms": ["module", "layer", "segment"],
    "token_ranks": ["matrix", "layer", "segment"],
    "gradient_ranks": ["matrix", "layer"],
    "cosines": ["layer", "other_layer"],
}


def test_every_table_against_one_trace_at_a_time(studied):
    model, records, result = studied
    slow = [per_record(model, record) for record in records]
    right = [correct for correct, _, _ in slow]
    assert 0 < sum(right) < len(records)
    groups = {
        "all": slow,
        "correctly": [one for one in slow if one[0]],
        "wrongly": [one for one in slow if not one[0]],
    }
    for name, keys in KEYS.items():
        table = getattr(result, name)
        assert not table.duplicated(["answered", *keys]).any()
        for answered, members in groups.items():
            rows = pd.concat([tables[name] for _, tables, _ in members])
            values = [c for c in rows.columns if c not in keys]
            counted = rows.groupby(keys)[values].agg(["count", "mean", "sem"])
            got = table[table["answered"] == answered].set_index(keys)
            counted = counted.reindex(got.index)
            for value in values:
                expected = counted[value]
                loose = (
                    {"rtol": 1e-3, "atol": 3} if "rank" in value else {"rtol": 1e-3, "atol": 1e-6}
                )
                where = (name, answered, value)
                if value in ("norm", "target_rank", "rank_is_full", "cosine"):
                    assert (got["n"] == expected["count"].fillna(0)).all(), where
                np.testing.assert_allclose(
                    got[value], expected["mean"], **loose, err_msg=str(where)
                )
                np.testing.assert_allclose(
                    got[f"{value}_error"], expected["sem"], **loose, err_msg=str(where)
                )
    exact = result.gradient_ranks.query("answered == 'all'").set_index(["matrix", "layer"])
    means = pd.concat([t["gradient_ranks"] for _, t, _ in slow]).groupby(["matrix", "layer"]).mean()
    means = means.reindex(exact.index)
    for value in ("rank_is_full", "gradient_rank"):
        np.testing.assert_allclose(exact[value], means[value], rtol=1e-9)
    expected = {one for _, _, exceptions in slow for one in exceptions}
    assert set(result.exceptions.itertuples(index=False, name=None)) == expected
    assert len(result.exceptions) == len(expected)
    assert set(result.exceptions["prompt"]) == {LONG}
    assert result.header.correct == sum(right)
    assert result.header.counted == result.header.done == result.header.total == len(records)
    assert result.header.finished


def test_lemma_4_1_in_the_tables(studied):
    model, records, result = studied
    ranks = result.gradient_ranks.query("answered == 'all'")
    assert (ranks.loc[ranks["layer"] == model.n_layers - 1, "gradient_rank"] == 1).all()
    assert set(result.exceptions["matrix"]) <= set(result.header.mlp_matrices)
    assert (result.exceptions["rank"] < result.exceptions["prompt_length"]).all()
    assert (ranks["n"] == len(records)).all()


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_the_batch_changes_nothing(studied, batch_size):
    model, records, result = studied
    other = study(model, records, batch_size=batch_size)
    assert other.header.batch_size == batch_size
    assert_close(other, result)


def test_padding_changes_nothing(studied):
    """A short prompt beside a long one, in one pass."""
    model, records, _ = studied
    tasks = [batches.task_of(model, records[i]) for i in (4, 3, 0, 9)]
    assert len({len(task.ids) for task in tasks}) == 4
    together = batches.trace_batch(model, tasks)
    for task, result in zip(tasks, together, strict=True):
        (alone,) = batches.trace_batch(model, [task])
        assert result["correct"] == alone["correct"]
        for name in ("norm", "input_norm", "cosine", "gradient_rank", "rank_is_full"):
            np.testing.assert_allclose(result[name], alone[name], rtol=1e-4, atol=1e-6)
        for name in ("target_rank", "answer_rank"):
            np.testing.assert_allclose(result[name], alone[name], atol=2)


def test_passes_hold_each_task_once_within_the_budget():
    tasks = [
        batches.Task(TOO_LONG, tuple(range(n)), 0, 0, np.zeros(n))
        for n in (5, 1, 30, 7, 7, 2, 12, 3)
    ]
    passes = batches.passes(tasks, 20)
    assert sorted(id(t) for rows in passes for t in rows) == sorted(map(id, tasks))
    for rows in passes:
        assert len(rows) == 1 or len(rows) * max(len(t.ids) for t in rows) <= 20
    assert len(passes) < len(tasks)
    assert batches.passes([], 20) == []


def test_records_that_do_not_fit_are_listed(studied):
    model, records, result = studied
    mixed = [TOO_LONG, *records, NO_SUBJECT]
    other = study(model, mixed, batch_size=4)
    assert {case for case, _ in other.header.skipped} == {"98", "99"}
    reasons = dict(other.header.skipped)
    assert "at most 80" in reasons["99"]
    assert "'Trump' is not in the prompt" in reasons["98"]
    assert other.header.done == other.header.total == len(mixed)
    assert other.header.counted == len(records)
    for name in KEYS:
        assert (getattr(other, name)["n"] == getattr(result, name)["n"]).all()
    nothing = study(model, [NO_SUBJECT])
    assert nothing.header.counted == 0
    assert nothing.norms["norm"].isna().all()
    assert nothing.exceptions.empty


def test_the_models_weights_and_modules_stay(studied):
    model, records, _ = studied
    before = model.network.state_dict()["lm_head.weight"].clone()
    study(model, records, limit=2)
    assert torch.equal(model.network.state_dict()["lm_head.weight"], before)
    assert all(p.grad is None and not p.requires_grad for p in model.network.parameters())
    assert not any(m._forward_hooks for m in model.network.modules())


def test_memory_does_not_grow_with_the_records():
    model = small_model()

    def size(count: int) -> int:
        sums = study(model, records_of(model, count)).sums
        return sum(t.n.nbytes + t.mean.nbytes + t.m2.nbytes for t in sums.tallies.values())

    assert size(2) == size(20)


# Choice of records, progress, cancelling


def drawn(model, records, monkeypatch, **options) -> list:
    """The case_ids that a study reads, in order."""
    seen = []
    real = study_module.task_of

    def spy(model, record):
        seen.append(record.case_id)
        return real(model, record)

    with monkeypatch.context() as patch:
        patch.setattr(study_module, "task_of", spy)
        study(model, records, **options)
    return seen


def test_seed_and_limit_choose_the_records(monkeypatch):
    model = small_model()
    records = [Record(i, "Obama grew", "Obama", "a", "b") for i in range(30)]
    first = drawn(model, records, monkeypatch, limit=8, seed=1)
    assert len(set(first)) == 8
    assert first == drawn(model, records, monkeypatch, limit=8, seed=1, batch_size=3)
    assert set(first) != set(drawn(model, records, monkeypatch, limit=8, seed=2))
    assert sorted(drawn(model, records, monkeypatch, limit=1000)) == list(range(30))
    one, other = (study(model, records, limit=3, seed=seed).header for seed in (1, 2))
    assert one.digest != other.digest
    assert (one.limit, one.seed, one.total) == (3, 1, 3)
    assert not one.same_study(other)


def test_the_header_says_what_was_studied():
    model = small_model()
    records = Records("facts.json", tuple(records_of(model, 3)))
    header = study(model, records).header
    assert (header.records, header.model) == ("facts.json", "gpt2")
    assert header.fingerprint == fingerprint(model)
    assert header.versions["torch"] == torch.__version__
    assert header.seconds > 0


def test_progress_is_reported():
    model = small_model()
    steps = []
    study(model, records_of(model), on_step=lambda *s: steps.append(s), batch_size=4, limit=9)
    assert steps == [(4, 9), (8, 9), (9, 9)]


def test_no_records_and_no_limit_are_refused():
    model = small_model()
    with pytest.raises(PromptError, match="limit is 0"):
        study(model, records_of(model, 1), limit=0)
    with pytest.raises(PromptError, match="no records"):
        study(model, [])


def cancel_at(count: int):
    def on_step(done: int, _: int) -> None:
        if done >= count:
            raise Cancelled

    return on_step


@pytest.mark.parametrize("interval", [-1.0, 1e9])
def test_cancel_and_resume(tmp_path, studied, monkeypatch, interval):
    """Cancelling saves, however long ago the last save was."""
    model, records, _ = studied
    monkeypatch.setattr(study_module, "SECONDS_BETWEEN_SAVES", interval)
    whole = study(model, records, batch_size=2)
    options = {"batch_size": 2, "save_to": tmp_path / "study"}
    with pytest.raises(Cancelled):
        study(model, records, on_step=cancel_at(4), **options)
    assert Study.load(tmp_path / "study").header.done == 4
    with pytest.raises(Cancelled):
        study(model, records, on_step=cancel_at(6), **options)
    steps = []
    # The saved batch size goes on, so that the same batches follow.
    options["batch_size"] = 3
    result = study(model, records, on_step=lambda *s: steps.append(s), **options)
    assert steps == [(8, 10), (10, 10)]
    assert_same(result, whole)
    assert result.header.seconds > 0
    again = study(model, records, on_step=cancel_at(0), **options)  # nothing is left to do
    assert_same(again, whole)


def test_cancel_without_a_folder(studied):
    model, records, _ = studied
    with pytest.raises(Cancelled):
        study(model, records, on_step=cancel_at(1), batch_size=1)


# Kill and resume

PARENT = """
import importlib, json, os, signal, sys
from pathlib import Path
from core import study
from tests.core.studies.test_study import kill_records, small_model

folder = Path(sys.argv[1])
module = importlib.import_module("core.studies.study")
module.SECONDS_BETWEEN_SAVES = -1.0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def in_on_step(done, _):
    if done == 4:
        die()

def advanced_and_dead(state, *found, real=module.advanced):
    result = real(state, *found)
    if state.header.done == 6:
        die()
    return result

def replace_and_dead(*paths, real=os.replace, calls=[]):
    calls.append(paths)
    if len(calls) == 4:  # all tables are new, the header is not
        die()
    real(*paths)

for how in ("in on_step", "before the next save", "in the next save"):
    child = os.fork()  # each is killed; importing torch once is enough
    if not child:
        if how == "before the next save":
            module.advanced = advanced_and_dead
        elif how == "in the next save":
            os.replace = replace_and_dead
        model = small_model()
        on_step = in_on_step if how == "in on_step" else None
        study(model, kill_records(model), batch_size=2, save_to=folder, on_step=on_step)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    done = json.loads((folder / "study.json").read_bytes())["done"]
    print(json.dumps([how, os.waitstatus_to_exitcode(status), done]))
"""


def kill_records(model) -> list[Record]:
    return [*records_of(model), TOO_LONG, NO_SUBJECT]


def test_a_killed_study_goes_on_without_repeating_or_losing_a_record(tmp_path):
    """Three processes are killed on one folder, then a fourth finishes: nothing shows it."""
    model = small_model()
    records = kill_records(model)
    whole = study(model, records, batch_size=2)
    folder = tmp_path / "study"
    child = subprocess.run(
        [sys.executable, "-c", PARENT, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    assert [json.loads(line) for line in child.stdout.splitlines()] == [
        ["in on_step", -signal.SIGKILL, 4],
        ["before the next save", -signal.SIGKILL, 6],
        ["in the next save", -signal.SIGKILL, 6],
    ], child.stderr
    assert Study.load(folder).header.done == 6
    left = {path.name for path in folder.iterdir()}
    assert "sums-000008.parquet" in left  # of the save that was cut off
    steps = []
    result = study(model, records, batch_size=2, save_to=folder, on_step=lambda *s: steps.append(s))
    assert steps == [(8, 12), (10, 12), (12, 12)]
    for finished in (result, Study.load(folder)):
        assert_same(finished, whole)
        assert finished.header.counted == 10
        assert finished.header.correct == whole.header.correct
        assert finished.header.skipped == whole.header.skipped
    names = {f"{name}-000012.parquet" for name in ("sums", "exceptions", "lengths")} | {HEADER}
    assert {path.name for path in folder.glob("*[!w]")} == names


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_save_that_breaks_off_leaves_the_earlier_study(tmp_path, monkeypatch, call):
    early, late = hand_made_study(), hand_made_study()
    early = dataclasses.replace(early, header=hand_made_header(done=2))
    early.save(tmp_path)
    calls, replace = [], os.replace

    def broken(*paths):
        calls.append(paths)
        if len(calls) == call:
            raise OSError("disk full")
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", broken)
        with pytest.raises(OSError, match="disk full"):
            late.save(tmp_path)
    assert Study.load(tmp_path).header == early.header
    late.save(tmp_path)
    assert Study.load(tmp_path).header == late.header
    assert len(list(tmp_path.glob("*.parquet"))) == 3


# Files


def test_save_load_and_zip_are_the_same_study(tmp_path, studied):
    *_, result = studied
    result = dataclasses.replace(
        result,
        header=dataclasses.replace(result.header, skipped=(("7", "too long — é"),)),
        exception_rows=(("5", "a 東京 b", 1, 0, 2, 3), *result.exception_rows),
    )
    result.save(tmp_path / "deep" / "folder")
    path = tmp_path / "study.zip"
    path.write_bytes(result.as_zip())
    for source in (tmp_path / "deep" / "folder", str(path), path, result.as_zip()):
        loaded = Study.load(source)
        assert loaded.header == result.header
        assert loaded.exception_rows == result.exception_rows
        assert_same(loaded, result)


def zip_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_header(**changes) -> bytes:
    files = hand_made_study().files()
    return zip_of(files | {HEADER: json.dumps(json.loads(files[HEADER]) | changes).encode()})


FILES = hand_made_study().files()
FOREIGN = {
    "no zip": b"not a zip at all",
    "empty": b"",
    "empty zip": zip_of({}),
    "another zip": zip_of({"a.txt": b"text"}),
    "broken header": zip_of(FILES | {HEADER: b"{"}),
    "header is a list": zip_of(FILES | {HEADER: b"[]"}),
    "header is null": zip_of(FILES | {HEADER: b"null"}),
    "header is no text": zip_of(FILES | {HEADER: b"\xff\xfe\xfa"}),
    "another format": with_header(format=FORMAT + 1),
    "a field more": with_header(more=1),
    "huge": with_header(n_layers=10**6),
    "negative": with_header(done=-1),
    "not a number": with_header(n_layers="3"),
    "seconds": with_header(seconds="long"),
    "modules": with_header(modules=5),
    "fewer modules": with_header(modules=["ff1"]),
    "a module of nobody's": with_header(modules=["x"] * len(hand_made_study().header.modules)),
    "a module twice": with_header(mlp_matrices=["ff1", "ff1"]),
    "an endless name": with_header(model="x" * 1001),
    "half a character": with_header(records="\ud800"),
    "an endless reason": with_header(skipped=[["1", "x" * 10_001]]),
    "a count that is none": with_header(correct=-1),
    "skipped": with_header(skipped=[1]),
    "files": with_header(files=["a", "b"]),
    "no files": with_header(files=[]),
    "files are numbers": with_header(files=[1, 2]),
    "tables are text": zip_of(
        {
            name: b"PAR1 text" if name != HEADER else c
            for name, c in hand_made_study().files().items()
        }
    ),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN.keys())
def test_what_is_no_study_gets_a_sentence(content):
    with pytest.raises(PromptError, match="no study that the app can read"):
        Study.load(content)


def test_a_damaged_zip_is_refused_or_whole():
    """Every cut, and a flip of every few bytes."""
    original = hand_made_study()
    whole = original.as_zip()
    assert_same(Study.load(whole), original)
    for end in range(0, len(whole) - 1, 97):
        with pytest.raises(PromptError):
            Study.load(whole[:end])
    refused = 0
    for place in range(0, len(whole), 23):
        damaged = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        try:
            loaded = Study.load(damaged)
        except PromptError:
            refused += 1
        else:
            assert_same(loaded, original)
    assert refused > 100


def test_a_file_that_is_too_large_is_not_unpacked(monkeypatch):
    whole = hand_made_study().as_zip()
    monkeypatch.setattr("core.studies.store.LARGEST_FILE", 100)
    with pytest.raises(PromptError, match="no study"):
        Study.load(whole)


def test_a_damaged_folder_is_refused(tmp_path):
    with pytest.raises(PromptError, match="no study"):
        Study.load(tmp_path)
    with pytest.raises(PromptError, match="no study"):
        Study.load(tmp_path / "missing")
    names = list(hand_made_study().files())
    for name in names:
        hand_made_study().save(tmp_path)
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(PromptError, match="no study"):
            Study.load(tmp_path)
        path.unlink()
        with pytest.raises(PromptError, match="no study"):
            Study.load(tmp_path)


def test_a_header_cannot_point_out_of_its_folder(tmp_path):
    inside = tmp_path / "inside"
    hand_made_study().save(inside)
    header = json.loads((inside / HEADER).read_bytes())
    sums = header["files"][0]
    (inside / sums).rename(tmp_path / sums)
    header["files"][0] = f"../{sums}"
    (inside / HEADER).write_text(json.dumps(header))
    with pytest.raises(PromptError, match="no study"):
        Study.load(inside)


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"limit": 2}, {"records": 3}, {"model": 5}, {"target": "b"}]
)
def test_a_folder_of_another_study_is_refused(tmp_path, changes):
    model = small_model()
    records = records_of(model, 4)
    study(model, records, limit=4, save_to=tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    if "model" in changes:
        model = random_model("gpt2", layers=3, seed=changes["model"])
    if "records" in changes:
        records = records[: changes["records"]]
    if "target" in changes:
        records = [dataclasses.replace(r, target_new=changes["target"]) for r in records]
    options = {"limit": 4} | {k: v for k, v in changes.items() if k in ("seed", "limit")}
    with pytest.raises(PromptError, match="holds another study: gpt2, 4 records"):
        study(model, records, save_to=tmp_path, **options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_damaged_folder_is_not_written_over(tmp_path):
    model = small_model()
    (tmp_path / HEADER).write_bytes(b"{")
    with pytest.raises(PromptError, match="no study"):
        study(model, records_of(model, 2), save_to=tmp_path)
    assert (tmp_path / HEADER).read_bytes() == b"{"


# Several studies


def test_side_by_side_makes_models_comparable():
    first = hand_made_study()
    second = dataclasses.replace(first, header=hand_made_header(vocabulary_size=101))
    other = dataclasses.replace(first, header=hand_made_header(model="n"))
    for name in ("norms", "token_ranks", "gradient_ranks", "cosines"):
        table = side_by_side([first, second, other], name)
        assert table["study"].unique().tolist() == ["m", "m (2)", "n"]
        assert len(table) == 3 * len(getattr(first, name))
        assert (table["relative_layer"] == table["layer"]).all()  # layers 0 and 1
    table = side_by_side([first, second], "token_ranks")
    by_name = {name: part.reset_index(drop=True) for name, part in table.groupby("study")}
    for word in ("target_rank", "answer_rank"):
        for name, most in (("m", 10), ("m (2)", 100)):
            part = by_name[name]
            np.testing.assert_allclose(part[f"relative_{word}"], part[word] / most)


def test_side_by_side_of_models_of_different_depth():
    models = [random_model("gpt2", layers=n) for n in (1, 2, 5)]
    studies = [study(model, records_of(model, 2)) for model in models]
    table = side_by_side(studies, "gradient_ranks")
    layers = {name: sorted(set(part["relative_layer"])) for name, part in table.groupby("study")}
    assert layers == {"gpt2": [0], "gpt2 (2)": [0, 1], "gpt2 (3)": [0, 0.25, 0.5, 0.75, 1]}
    assert "study" not in studies[0].gradient_ranks


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_an_input_of_zeros_has_no_rank_under_a_norm_without_bias(kind):
    model = small_model(kind)
    norm = model.blocks[1].get_submodule(
        {"gpt2": "ln_2", "llama": "post_attention_layernorm"}[kind]
    )
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.zero_()
    table = study(model, records_of(model, 2)).token_ranks
    table = table[(table["answered"] == "all") & (table["matrix"] == "ff1")]
    empty = table["layer"] == 1 if kind == "llama" else table["layer"] < 0
    seen = table["segment"].isin([SEGMENTS[FIRST], SEGMENTS[LAST]])
    assert table.loc[empty & seen, ["target_rank", "answer_rank"]].isna().all(axis=None)
    assert table.loc[~empty & seen, ["target_rank", "answer_rank"]].notna().all(axis=None)
    assert (table.loc[empty, "n"] == 0).all()
