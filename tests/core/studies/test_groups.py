"""Groups of prompts: tables for each, honest comparisons, ranks by length, files old and new."""

import dataclasses
import importlib
import io
import json

import numpy as np
import pandas as pd
import pytest

from core import (
    SEGMENTS,
    Cancelled,
    PromptError,
    Record,
    Study,
    claims,
    compare_groups,
    gradient_rank,
    prompt_values,
    study,
    trace,
)
from core.studies import each
from core.studies.batches import Task
from core.studies.bootstrap import difference_interval, expanded, student
from core.studies.each import EachPrompt
from core.studies.lengths import Lengths
from core.studies.sums import Sums, shapes
from core.studies.tables import HEADER
from tests.conftest import random_model
from tests.core.studies.test_study import (
    PROMPTS,
    TABLES,
    assert_same,
    cancel_at,
    hand_made_header,
    hand_made_study,
    records_of,
    small_model,
    zip_of,
)

study_module = importlib.import_module("core.studies.study")
LAST = SEGMENTS.index("last token")


def grouped(records: list[Record], *names: str) -> list[Record]:
    """The records in groups by turns."""
    return [dataclasses.replace(r, group=names[i % len(names)]) for i, r in enumerate(records)]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def studied(request: pytest.FixtureRequest):
    """A model, 20 records in two groups and one without, and their study: only to be read."""
    model = small_model(request.param)
    records = grouped(records_of(model, 20), "North", "South", "North", "")
    return model, records, study(model, records)


# Tables for each group


def test_a_groups_tables_are_those_of_its_records_alone(studied):
    model, records, result = studied
    assert result.groups == ("North", "South")
    assert result.header.counted == 20
    for name, count in (("North", 10), ("South", 5)):
        alone = study(model, [r for r in records if r.group == name])
        part = result.of_group(name)
        assert part.header.counted == part.header.total == count
        assert part.header.correct == alone.header.correct
        assert part.header.finished
        assert not part.groups
        for table in TABLES:
            one, other = getattr(part, table), getattr(alone, table)
            if table == "exceptions":
                one, other = (t.sort_values([*t.columns], ignore_index=True) for t in (one, other))
            loose = {"rtol": 1e-3, "atol": 3.0 if table == "token_ranks" else 1e-5}
            pd.testing.assert_frame_equal(one, other, **loose)
        assert not claims(part).empty
    assert result.of_group("North") is result.of_group("North")


def test_the_whole_study_is_as_without_groups(studied):
    model, records, result = studied
    plain = study(model, [dataclasses.replace(r, group="") for r in records])
    assert_same(result, plain)
    assert plain.groups == ()
    assert plain.prompts.empty
    assert len(plain.each) == 0
    assert result.header.digest != plain.header.digest


def test_the_prompts_are_listed(studied):
    _, records, result = studied
    table = result.prompts
    assert set(zip(table["case_id"], table["prompt"], table["group"], strict=True)) == {
        (str(r.case_id), r.prompt, r.group) for r in records
    }
    assert (table["answered"] == "correctly").sum() == result.header.correct
    lengths = result.lengths.of
    assert table["prompt_length"].value_counts().to_dict() == {
        length: int(one.ranks.n[:, 0, 0].sum()) for length, one in lengths.items()
    }


def test_one_named_group_is_none():
    model = small_model()
    result = study(model, grouped(records_of(model, 4), "North", ""))
    assert result.groups == ()
    with pytest.raises(PromptError, match="has no group 'North'. Its groups: it has none"):
        result.of_group("North")
    with pytest.raises(PromptError, match="give two or more groups"):
        prompt_values(result, "norm")


def test_groups_stand_as_in_the_file_whatever_is_drawn():
    model = small_model()
    records = grouped(records_of(model, 12), "c", "a", "b")
    for seed in range(3):
        assert study(model, records, limit=9, seed=seed).groups == ("c", "a", "b")


def test_too_many_groups_and_too_many_prompts_are_refused(monkeypatch):
    model = small_model()
    records = grouped(records_of(model, 9), *"abcdefghi")
    with pytest.raises(PromptError, match="name 9 groups; a study compares at most 8"):
        study(model, records)
    assert len(study(model, records[:8]).groups) == 8
    monkeypatch.setattr(each, "MOST_PROMPTS", 7)
    with pytest.raises(PromptError, match="room for 7 prompts, and these are 8"):
        study(model, records[:8])
    assert study(model, records_of(model, 9)).header.counted == 9  # without groups there is room
    monkeypatch.setattr(each, "MOST_BYTES", 4 * each.cells_of(study(model, records[:1]).header))
    with pytest.raises(PromptError, match="room for 1 prompts"):
        study(model, records[:2])


def test_values_are_kept_for_groups_only():
    model = small_model()
    assert study(model, records_of(model, 6)).each.nbytes == 0
    kept = study(model, grouped(records_of(model, 6), "a", "b")).each
    assert kept.nbytes > 6 * 4 * sum(v.size for v in kept.values[:1])


# Prompts without a subject or a right answer


def test_without_a_subject_only_the_last_token_has_a_segment():
    model = small_model()
    records = records_of(model, 6)
    bare = [dataclasses.replace(r, subject=None) for r in records]
    with_subject, without = study(model, records), study(model, bare)
    for name in ("norms", "token_ranks"):
        one, other = getattr(with_subject, name), getattr(without, name)
        last = one["segment"] == SEGMENTS[LAST]
        pd.testing.assert_frame_equal(one[last], other[last], check_exact=True)
        assert (other.loc[~last, "n"] == 0).all()
    for name in ("gradient_ranks", "cosines", "ranks_by_length"):
        assert getattr(with_subject, name).equals(getattr(without, name))
    table = claims(without).set_index("name")
    for name in ("signal_last", "signal_subject", "signal_parts"):
        assert tuple(table.loc[name, ["verdict", "figure"]]) == (
            "unknown",
            "no prompt names its subject",
        )
    assert (claims(with_subject)["verdict"] != "unknown").all()


def test_without_a_right_answer_a_prompt_counts_in_all_alone():
    model = small_model()
    records = records_of(model, 9)
    some = [dataclasses.replace(r, target_true=None) if i < 4 else r for i, r in enumerate(records)]
    result, rest = study(model, some), study(model, records[4:])
    assert (result.header.counted, result.header.asked) == (9, 5)
    assert result.header.correct == rest.header.correct
    for name in TABLES[:4]:
        table = getattr(result, name)
        known = table["answered"] != "all"
        expected = getattr(rest, name)
        assert (table.loc[known, "n"] == expected.loc[known, "n"]).all()
        assert (table.loc[~known, "n"] >= expected.loc[~known, "n"]).all()
    assert result.ranks_by_length.query("answered == 'all' and layer == 0")["n"].sum() == 9 * len(
        result.header.mlp_matrices
    )


# Ranks by prompt length


def test_ranks_by_length_against_one_trace_at_a_time(studied):
    model, records, result = studied
    rows = []
    for record in records:
        table = gradient_rank(trace(model, record.prompt, record.target_new))
        correct = trace(model, record.prompt, record.target_new).answer_id == (
            model.target(record.prompt, record.target_true).id
        )
        rows += [table.assign(answered="correctly" if correct else "wrongly")]
        rows += [table.assign(answered="all")]
    keys = ["answered", "prompt_length", "matrix", "layer"]
    expected = pd.concat(rows).groupby(keys)["rank"].agg(["size", "mean", "std", "min", "max"])
    table = result.ranks_by_length.set_index(keys)
    assert set(table.index) == set(expected.index)
    expected = expected.loc[table.index]
    assert (table["n"] == expected["size"]).all()
    np.testing.assert_allclose(table["gradient_rank"], expected["mean"])
    np.testing.assert_allclose(table["gradient_rank_spread"], expected["std"], atol=1e-9)
    error = expected["std"] / np.sqrt(expected["size"])
    np.testing.assert_allclose(table["gradient_rank_error"], error, atol=1e-9)
    assert (table["lowest"] == expected["min"]).all()
    assert (table["highest"] == expected["max"]).all()


def test_ranks_by_length_by_hand():
    """Two prompts of 3 tokens with ranks 2 and 3, one of 5 tokens with rank 4 in every cell."""
    header = hand_made_header()
    lengths = Lengths()
    for length, rank, correct in ((3, 2.0, True), (3, 3.0, None), (5, 4.0, False)):
        lengths.add(length, {"gradient_rank": np.full((2, 2), rank), "correct": correct})
    result = dataclasses.replace(hand_made_study(), lengths=lengths).ranks_by_length
    row = result.query("answered == 'all' and matrix == 'ff2' and layer == 1").iloc[0]
    assert row[["prompt_length", "n", "gradient_rank", "lowest", "highest"]].tolist() == [
        *(3, 2, 2.5, 2, 3)
    ]
    assert row["gradient_rank_spread"] == pytest.approx(0.5**0.5)
    assert row["gradient_rank_error"] == pytest.approx(0.5)
    seen = result.groupby("answered")["prompt_length"].unique().map(list).to_dict()
    assert seen == {"all": [3, 5], "correctly": [3], "wrongly": [5]}
    assert lengths.counted == header.counted


def test_memory_grows_with_the_lengths_alone():
    model = small_model()
    few, many = (study(model, records_of(model, n)) for n in (10, 30))
    assert few.lengths.nbytes == many.lengths.nbytes > 0


# Comparisons


def hand_made(first: list[float], second: list[float]) -> Study:
    """Prompts of groups A and B with these values in every cell, and one of no group."""
    header = hand_made_header(groups=("A", "B"))
    values = [("A", v) for v in first] + [("B", v) for v in second] + [("", 1000.0)]
    header = dataclasses.replace(header, counted=len(values), asked=0, correct=0)
    result = Study(header, Sums.empty(header), ())
    for i, (group, value) in enumerate(values):
        record = {name: np.full(shape, value) for name, shape in shapes(header).items()}
        task = Task(Record(i, f"p{i}", None, "x", None, group=group), (1, 2), 0, None, np.zeros(2))
        result = result.with_more([(task, record | {"correct": None})], header)
    return result


def test_a_comparison_by_hand():
    result = hand_made([1, 2, 3, 4, 5], [1, 1, 1, 1, 1, 1])
    found = compare_groups(result, "norm", "A", "B")
    assert (found.n_first, found.n_second) == (5, 6)
    assert (found.mean_first, found.mean_second, found.difference) == (3, 1, 2)
    # B has no spread: Welch's degrees are A's, 4; t(4) = 2.776; the resamples' error is
    # sqrt(2 / 5), the mean's own sqrt(2.5 / 5): t * sqrt(5 / 4) = 3.104 of the resamples'.
    assert expanded(np.arange(1.0, 6), np.ones(6), 0.95) == pytest.approx(3.104, rel=0.01)
    assert 0 < found.low < 0.6
    assert 3.4 < found.high <= 4
    assert found.verdict == "larger"
    other = compare_groups(result, "norm", "B", "A")
    assert other.verdict == "smaller"
    assert other.difference == -2
    assert other.high < 0
    assert compare_groups(result, "norm", "A", "B") == found  # seeded


def test_fewer_than_five_prompts_get_no_interval():
    found = compare_groups(hand_made([1, 2, 3, 4], [50] * 20), "cosine", "A", "B")
    assert found.verdict == "no difference to be told"
    assert np.isnan([found.low, found.high]).all()
    assert found.difference == 2.5 - 50


def test_groups_without_spread():
    same = compare_groups(hand_made([2] * 5, [2] * 5), "gradient_rank", "A", "B")
    assert (same.low, same.high, same.verdict) == (0, 0, "no difference to be told")
    apart = compare_groups(hand_made([3] * 5, [2] * 5), "gradient_rank", "A", "B")
    assert (apart.low, apart.high, apart.verdict) == (1, 1, "larger")


def test_what_there_is_not_is_refused():
    result = hand_made([1] * 5, [2] * 5)
    for changes, said in (
        ({"quantity": "size"}, "no quantity 'size'. Choose one of: norm"),
        ({"part": "gate"}, "no part 'gate'. Choose one of: ff1, ff2"),
        ({"segment": "end"}, "no segment 'end'"),
        ({"layers": 2}, "layers are 2; the model has layers 0 to 1"),
        ({"layers": []}, "layers are"),
        ({"first": "C"}, "no group 'C'. Its groups: 'A', 'B'"),
    ):
        given = {"quantity": "norm", "first": "A", "second": "B"} | changes
        with pytest.raises(PromptError, match=said):
            compare_groups(result, **given)


def test_a_prompts_value_is_the_mean_over_layers_of_one_cell(studied):
    _, _, result = studied
    header, n = result.header, result.header.n_layers
    kept = {name: result.each.quantity(name, header) for name in shapes(header)}
    module = header.modules.index("ff1")
    norms = prompt_values(result, "norm", part="ff1", layers=1)["value"]
    np.testing.assert_array_equal(norms, kept["norm"][:, module, 1, LAST])
    first = prompt_values(result, "target_rank", part="ff2", segment=SEGMENTS[1], layers=[0, 1])
    expected = kept["target_rank"][:, 1, :2, 1].mean(axis=1)
    np.testing.assert_allclose(first["value"], expected)
    assert first["value"].isna().any()  # "Rome" is a subject of one token
    cosines = prompt_values(result, "cosine")["value"]
    apart = ~np.eye(n, dtype=bool)
    np.testing.assert_allclose(cosines, kept["cosine"][:, apart].mean(1))
    one = prompt_values(result, "cosine", layers=0)["value"]
    np.testing.assert_allclose(one, kept["cosine"][:, 0, 1:].mean(1))
    full = prompt_values(result, "rank_is_full", layers=range(n - 1))["value"]
    assert set(full) <= {0.0, 1.0}
    lengths = prompt_values(result, "prompt_length", answered="wrongly")
    assert (lengths["value"] == lengths["prompt_length"]).all()
    assert len(lengths) == result.header.counted - result.header.correct


def test_a_groups_mean_is_that_of_its_table(studied):
    _, _, result = studied
    found = compare_groups(result, "norm", "North", "South", layers=1)
    for name, mean in (("North", found.mean_first), ("South", found.mean_second)):
        table = result.of_group(name).norms
        wanted = "answered == 'all' and module == 'ff2' and layer == 1 and segment == 'last token'"
        assert mean == pytest.approx(table.query(wanted)["norm"].item(), rel=1e-6)


def test_two_groups_of_the_same_prompts_do_not_differ():
    model = small_model()
    records = records_of(model)
    result = study(model, grouped([r for r in records for _ in (1, 2)], "A", "B"))
    for quantity in ("norm", "target_rank", "gradient_rank", "cosine", "prompt_length"):
        found = compare_groups(result, quantity, "A", "B")
        assert found.difference == pytest.approx(0, abs=1e-5)
        assert found.verdict == "no difference to be told"
        assert found.low <= 0 <= found.high


def test_longer_prompts_have_more_directions():
    """A difference that is there by construction: 5 tokens against 1."""
    model = small_model()
    short = [
        Record(i, f"{word}", None, "Paris", None, group="short") for i, word in enumerate("abcdef")
    ]
    long = [dataclasses.replace(r, prompt=f"{r.prompt} and so on", group="long") for r in short]
    result = study(model, short + long)
    assert compare_groups(result, "gradient_rank", "long", "short", layers=0).verdict == "larger"
    assert compare_groups(result, "gradient_rank", "short", "long", layers=0).verdict == "smaller"
    assert compare_groups(result, "prompt_length", "long", "short").difference == 4


# The bootstrap


@pytest.mark.parametrize(
    ("degrees", "t"), [(4, 2.776), (8, 2.306), (18, 2.101), (38, 2.024), (1e6, 1.960)]
)
def test_students_t_is_the_tables(degrees, t):
    assert student(1.959964, degrees) == pytest.approx(t, rel=0.002)


def test_the_interval_is_students_where_values_are_normal():
    """40 values of each, laid out as the normal distribution's own quantiles."""
    values = np.sort(np.random.default_rng(1).normal(size=40))
    low, high = difference_interval(values + 2, values, level=0.95, resamples=40_000, seed=0)
    half = 1.991 * np.sqrt(2 * values.var(ddof=1) / 40)  # t with 78 degrees of freedom
    assert (low + high) / 2 == pytest.approx(2, abs=0.03)
    assert (high - low) / 2 == pytest.approx(half, rel=0.04)


def test_large_samples_are_resampled_in_parts(monkeypatch):
    values = np.random.default_rng(0).normal(size=300)
    options = {"level": 0.95, "resamples": 2000, "seed": 3}
    whole = difference_interval(values, values[:50], **options)
    monkeypatch.setattr("core.studies.bootstrap.AT_ONCE", 1000)
    assert difference_interval(values, values[:50], **options) == whole


def coverage(draw, n: int, truth: float, rounds: int = 400) -> float:
    """How often the interval of two drawn samples holds the true difference."""
    random = np.random.default_rng(0)
    held = 0
    for seed in range(rounds):
        first, second = draw(random, n) + truth, draw(random, n)
        low, high = difference_interval(first, second, level=0.95, resamples=1000, seed=seed)
        held += low <= truth <= high
    return held / rounds


@pytest.mark.parametrize("n", [6, 20, 60])
@pytest.mark.parametrize("truth", [0.0, 3.0])
def test_the_interval_holds_the_truth_19_times_in_20(n, truth):
    """Loose bounds, at least 4 standard errors of 400 rounds: 90% and 99% would fail."""
    assert 0.915 < coverage(lambda random, n: random.normal(size=n), n, truth) < 0.985


def test_the_interval_holds_the_truth_where_values_are_skewed():
    assert 0.91 < coverage(lambda random, n: random.exponential(size=n), 20, 1.0) < 0.99


# Files


@pytest.fixture(scope="module")
def whole() -> Study:
    model = small_model()
    return study(model, grouped(records_of(model), "North", "South"), batch_size=2)


def assert_same_groups(one: Study, other: Study) -> None:
    assert one.groups == other.groups
    pd.testing.assert_frame_equal(one.prompts, other.prompts)
    np.testing.assert_array_equal(np.array(one.each.values), np.array(other.each.values))
    for name in one.groups:
        assert_same(one.of_group(name), other.of_group(name))
    assert_same(one, other)


def test_save_load_and_zip_keep_the_groups(tmp_path, whole):
    whole.save(tmp_path)
    for source in (tmp_path, whole.as_zip()):
        loaded = Study.load(source)
        assert loaded.header == whole.header
        assert_same_groups(loaded, whole)
    assert Study.load(whole.of_group("North").as_zip()).norms.equals(whole.of_group("North").norms)


@pytest.mark.parametrize("interval", [-1.0, 1e9])
def test_a_cancelled_study_goes_on_with_its_groups(tmp_path, monkeypatch, whole, interval):
    monkeypatch.setattr(study_module, "SECONDS_BETWEEN_SAVES", interval)
    model = small_model()
    records = grouped(records_of(model), "North", "South")
    for done in (4, 6):
        with pytest.raises(Cancelled):
            study(model, records, batch_size=2, save_to=tmp_path, on_step=cancel_at(done))
        assert len(Study.load(tmp_path).each) == done
    assert_same_groups(study(model, records, batch_size=3, save_to=tmp_path), whole)
    assert_same_groups(Study.load(tmp_path), whole)


def test_a_save_that_breaks_off_leaves_the_earlier_groups(tmp_path, monkeypatch, whole):
    """As a kill between two files would: the new ones are there, the header is the old one."""
    model = small_model()
    records = grouped(records_of(model), "North", "South")
    with pytest.raises(Cancelled):
        study(model, records, batch_size=2, save_to=tmp_path, on_step=cancel_at(4))
    header = (tmp_path / HEADER).read_bytes()
    earlier = {path: path.read_bytes() for path in tmp_path.iterdir()}
    study(model, records, batch_size=2, save_to=tmp_path)
    for path, content in earlier.items():
        path.write_bytes(content)
    assert (tmp_path / HEADER).read_bytes() == header
    assert Study.load(tmp_path).header.done == 4
    assert_same_groups(study(model, records, batch_size=2, save_to=tmp_path), whole)


def test_other_groups_are_another_study(tmp_path):
    model = small_model()
    records = records_of(model, 4)
    study(model, grouped(records, "a", "b"), save_to=tmp_path)
    for other in (records, grouped(records, "b", "a")):
        with pytest.raises(PromptError, match="holds another study"):
            study(model, other, save_to=tmp_path)


def as_first_format(made: Study) -> dict[str, bytes]:
    """The files as they were before there were groups."""
    files = made.files()
    header = json.loads(files[HEADER])
    sums = pd.read_parquet(io.BytesIO(files[header["files"][0]]))
    kept = []
    for name, tally in made.sums.tallies.items():
        rows = sums[sums["quantity"] == name]
        kept.append(rows.head(2 * tally.n[0].size))
    header |= {"format": 1, "files": header["files"][:2]}
    del header["groups"], header["asked"]
    old = {header["files"][0]: pd.concat(kept, ignore_index=True).to_parquet(index=False)}
    old |= {header["files"][1]: files[header["files"][1]]}
    return old | {HEADER: json.dumps(header).encode()}


def test_a_study_of_the_first_format_is_read():
    model = small_model()
    made = study(model, records_of(model))
    old = Study.load(zip_of(as_first_format(made)))
    assert old.header == made.header
    for name in TABLES[:-1]:
        pd.testing.assert_frame_equal(getattr(old, name), getattr(made, name), check_exact=True)
    assert old.ranks_by_length.empty
    assert list(old.ranks_by_length) == list(made.ranks_by_length)
    again = Study.load(old.as_zip())
    assert again.norms.equals(made.norms)
    assert again.ranks_by_length.empty


def test_a_study_begun_in_the_first_format_goes_on(tmp_path):
    """Its ranks by length would be those of some prompts: there are none."""
    model = small_model()
    records = records_of(model)
    with pytest.raises(Cancelled):
        study(model, records, batch_size=2, save_to=tmp_path, on_step=cancel_at(4))
    old = as_first_format(Study.load(tmp_path))
    for path in tmp_path.iterdir():
        path.unlink()
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    result = study(model, records, batch_size=2, save_to=tmp_path)
    assert result.norms.equals(study(model, records, batch_size=2).norms)
    assert result.ranks_by_length.empty


def changed(whole: Study, part: str, change) -> bytes:
    """The study with one of its tables changed."""
    files = whole.files()
    name = next(name for name in files if name.startswith(part))
    table = change(pd.read_parquet(io.BytesIO(files[name])))
    return zip_of(files | {name: table.to_parquet(index=False)})


def headed(whole: Study, **changes) -> bytes:
    files = whole.files()
    return zip_of(files | {HEADER: json.dumps(json.loads(files[HEADER]) | changes).encode()})


HOSTILE = {
    "a prompt less": lambda w: changed(w, "prompts", lambda t: t.iloc[1:]),
    "a prompt of no group": lambda w: changed(w, "prompts", lambda t: t.assign(group="x")),
    "a place that is none": lambda w: changed(w, "prompts", lambda t: t.assign(place=3)),
    "half a place": lambda w: changed(w, "prompts", lambda t: t.assign(place=0.5)),
    "no tokens": lambda w: changed(w, "prompts", lambda t: t.assign(prompt_length=0)),
    "endless tokens": lambda w: changed(w, "prompts", lambda t: t.assign(prompt_length=10**7)),
    "a value less": lambda w: changed(w, "values", lambda t: t.iloc[1:]),
    "a value more": lambda w: changed(w, "values", lambda t: pd.concat([t, t.head(1)])),
    "values are text": lambda w: changed(w, "values", lambda t: t.astype(str)),
    "a length of none": lambda w: changed(w, "lengths", lambda t: t.assign(prompt_length=-1)),
    "half a length": lambda w: changed(w, "lengths", lambda t: t.assign(prompt_length=1.5)),
    "lengths cut off": lambda w: changed(w, "lengths", lambda t: t.iloc[1:]),
    "one group": lambda w: headed(w, groups=["North"]),
    "a group twice": lambda w: headed(w, groups=["North", "South", "South"]),
    "nine groups": lambda w: headed(w, groups=["North", "South", *"abcdefg"]),
    "no name": lambda w: headed(w, groups=["North", "South", ""]),
    "groups are numbers": lambda w: headed(w, groups=[1, 2]),
    "groups are text": lambda w: headed(w, groups="NS"),
    "no groups, their files": lambda w: headed(w, groups=[]),
    "asked below none": lambda w: headed(w, asked=-1),
    "other counts": lambda w: headed(w, counted=9),
    "files are missing": lambda w: headed(w, files=json.loads(w.files()[HEADER])["files"][:3]),
    "the first format": lambda w: headed(w, format=1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_groups_get_a_sentence(whole, name):
    with pytest.raises(PromptError, match="no study that the app can read"):
        Study.load(HOSTILE[name](whole))


def test_a_file_of_too_many_values_is_not_unpacked(whole, monkeypatch):
    content = whole.as_zip()
    monkeypatch.setattr(each, "MOST_BYTES", 4 * each.cells_of(whole.header) * 9)
    with pytest.raises(PromptError, match="no study"):
        Study.load(content)


def test_each_prompt_keeps_its_cells_apart():
    header = hand_made_header(groups=("A", "B"))
    kept = EachPrompt()
    arrays, start = {}, 0
    for name, shape in shapes(header).items():
        arrays[name] = np.arange(start, start + np.prod(shape)).reshape(shape)
        start += int(np.prod(shape))
    task = Task(Record(1, "p", None, "x", None, group="A"), (1,), 0, None, np.zeros(1))
    kept.add(task, arrays | {"correct": True}, header)
    for name, values in arrays.items():
        np.testing.assert_array_equal(kept.quantity(name, header)[0], values)
        np.testing.assert_array_equal(kept.record(0, header)[name], values)
    assert kept.record(0, header)["correct"] is True


def test_prompts_that_do_not_fit_are_in_no_group():
    model = random_model("gpt2", layers=1)
    records = grouped(records_of(model, 4), "a", "b")
    bad = Record(98, PROMPTS[0][0], "Trump", "a", "b", group="a")
    result = study(model, [bad, *records])
    assert len(result.prompts) == result.header.counted == 4
    assert result.of_group("a").header.counted == 2
