"""Differences between two runs: by hand, and on traces of small random models."""

import math

import pandas as pd
import pytest
import torch

import core
from core import PromptError, alignment, delta_cosines, largest_first, trace
from core.gradients.difference import APART, BY_SEGMENT, BY_TOKEN, both_sides, rank_difference
from core.gradients.segments import LAST, LAST_OF_SUBJECT
from tests.conftest import PROMPT, TARGET, random_model

SEGMENTS = (LAST_OF_SUBJECT, LAST)


def grid(layers: int = 2, tokens: tuple[str, ...] = ("a", "b"), **columns: list) -> pd.DataFrame:
    n = len(tokens)
    return pd.DataFrame(
        {
            "layer": [layer for layer in range(layers) for _ in tokens],
            "position": list(range(n)) * layers,
            "token": list(tokens) * layers,
        }
        | columns
    )


def forward(probabilities: list[float], ranks: list, words: list[str | None]) -> pd.DataFrame:
    return grid(
        top_tokens=[[w] if w else [] for w in words],
        target_probability=probabilities,
        target_rank=pd.array(ranks, dtype="Int64"),
    )


def backward(norms, ranks, words, near_zero=(False,) * 4) -> pd.DataFrame:
    return grid(
        norm=norms,
        bottom_tokens=[[w] for w in words],
        target_rank=pd.array(ranks, dtype="Int64"),
        near_zero=list(near_zero),
    )


def test_forward_difference_is_right_less_left():
    left = forward([0.1, 0.2, 0.0, 0.5], [10, 0, 5, 1], ["x", "y", None, "z"])
    right = forward([0.3, 0.1, 0.4, 0.5], [0, 20, pd.NA, 1], ["x", "n", "y", "z"])
    table = core.forward_difference(left, right, vocabularies=(11, 41))
    assert table["probability_difference"].tolist() == pytest.approx([0.2, -0.1, 0.4, 0])
    logs = table["log_probability_difference"]
    assert logs[0] == pytest.approx(math.log(3))
    assert logs[1] == pytest.approx(-math.log(2))
    assert math.isnan(logs[2]), "a probability of zero has no logarithm"
    # The last of 11 tokens is at 1, number 21 of 41 in the middle.
    assert table["left_place"].tolist() == pytest.approx([1, 0, 0.5, 0.1])
    assert table["place_difference"].tolist()[:2] == pytest.approx([-1, 0.5])
    assert math.isnan(table["place_difference"][2])
    assert table["same_word"].tolist() == [True, False, pd.NA, True]
    assert table["right_word"].tolist() == ["x", "n", "y", "z"]


def test_backward_difference_in_strength_share_and_place():
    left = backward([1.0, 3.0, 0.0, 4.0], [9, 9, 0, 9], "pqrs", (False, False, True, False))
    right = backward([2.0, 2.0, 2.0, 2.0], [9, 0, 9, 9], "pxrs")
    table = core.backward_difference(left, right, vocabularies=(10, 10))
    assert table["norm_difference"].tolist() == [1, -1, 2, -2]
    assert table["left_share"].tolist() == pytest.approx([1 / 8, 3 / 8, 0, 1 / 2])
    assert table["share_difference"].tolist() == pytest.approx([1 / 8, -1 / 8, 1 / 4, -1 / 4])
    assert table["place_difference"].tolist()[:2] == [0, -1]
    assert math.isnan(table["place_difference"][2]), "a signal near zero points nowhere"
    assert table["same_word"].tolist() == [True, False, pd.NA, True]


def test_a_silent_side_has_no_shares():
    left = backward([0.0] * 4, [0] * 4, "pqrs", (True,) * 4)
    table = core.backward_difference(left, left, vocabularies=(10, 10))
    assert table["left_share"].isna().all()
    assert table["norm_difference"].tolist() == [0, 0, 0, 0]


def test_segments_compare_means_of_what_both_prompts_have():
    left = grid(1, ("a", "b", "c"), module=["ff2"] * 3, norm=[1.0, 3.0, 5.0], input_norm=[1.0] * 3)
    right = grid(1, ("d", "e"), module=["ff2"] * 2, norm=[4.0, 1.0], input_norm=[2.0] * 2)
    parts = ((LAST_OF_SUBJECT, LAST_OF_SUBJECT, LAST), (LAST_OF_SUBJECT, LAST))
    with pytest.raises(PromptError, match="segments"):
        core.norm_difference(left, right)
    table = core.norm_difference(left, right, segments=parts).set_index("token")
    assert table.loc[LAST_OF_SUBJECT, "norm_difference"] == 4 - 2
    assert table.loc[LAST, "norm_difference"] == 1 - 5
    assert table.loc[LAST, "share_difference"] == pytest.approx(1 / 5 - 5 / 9)
    assert set(table["input_norm_difference"]) == {1.0}
    without = core.norm_difference(left, right, segments=((LAST,) * 3, parts[1]))
    assert without["token"].tolist() == [LAST]


def test_norms_of_a_module_are_parts_of_that_module():
    table = grid(1, ("a", "b"), module=["ff1", "ff1"], norm=[1.0, 3.0], input_norm=[1.0, 1.0])
    both = pd.concat([table, table.assign(module="ff2", norm=[5.0, 5.0])])
    shares = core.norm_difference(both, both).groupby("module")["left_share"].sum()
    assert shares.tolist() == pytest.approx([1, 1])


def ranks(values: list[int], length: int, matrix: str = "ff2") -> pd.DataFrame:
    rows = range(len(values))
    return pd.DataFrame({"layer": rows, "matrix": matrix, "rank": values, "prompt_length": length})


def test_rank_difference_also_as_a_part_of_the_prompt():
    table = rank_difference(ranks([4, 1], 4), ranks([6, 1], 8))
    assert table["rank_difference"].tolist() == [2, 0]
    assert table["share_difference"].tolist() == pytest.approx([6 / 8 - 1, 1 / 8 - 1 / 4])
    with pytest.raises(PromptError, match="depth"):
        rank_difference(ranks([4, 1], 4), ranks([4, 4, 1], 4))
    gated = pd.concat([ranks([4, 1], 4), ranks([3, 1], 4, "gate")])
    assert set(rank_difference(gated, ranks([4, 1], 4))["matrix"]) == {"ff2"}


def test_alignment_says_how_and_why():
    one, other = grid(2, ("a", "b")), grid(2, ("a", "c"))
    assert alignment(one, one.copy()).by == BY_TOKEN
    assert alignment(one, one.copy()).reason == ""
    apart = alignment(one, other)
    assert (apart.by, "need a subject" in apart.reason) == (APART, True)
    by_segment = alignment(one, other, segments=(SEGMENTS, SEGMENTS))
    assert by_segment.by == BY_SEGMENT
    assert "“last subject token”, “last token”" in by_segment.reason
    deep = alignment(one, grid(3, ("a", "b")), segments=(SEGMENTS, SEGMENTS))
    assert (deep.by, "2 and 3 layers" in deep.reason) == (APART, True)


def test_curves_of_models_of_other_depth_lie_over_relative_depth():
    table = both_sides(ranks([1, 1, 1], 3), ranks([2, 2], 3))
    assert table["side"].tolist() == ["left"] * 3 + ["right"] * 2
    assert table["depth"].tolist() == [0, 0.5, 1, 0, 1]
    assert both_sides(ranks([1], 3), ranks([2], 3))["depth"].tolist() == [0, 0]


def test_largest_first_whatever_the_sign():
    table = pd.DataFrame({"d": [1.0, -3.0, float("nan"), 2.0], "name": list("abcd")})
    assert largest_first(table, "d")["name"].tolist() == ["b", "d", "a", "c"]


def test_cosines_against_plain_vectors(model):
    left, right = trace(model, PROMPT, TARGET), trace(model, PROMPT, "Rome")
    table = delta_cosines(left, right, "ff1")
    one, two = left.factors["ff1"].delta, right.factors["ff1"].delta
    for row in table.itertuples():
        a, b = one[row.layer, row.position], two[row.layer, row.position]
        if math.isnan(row.cosine):
            assert row.layer == model.n_layers - 1, "only the last token learns there"
            continue
        assert row.cosine == pytest.approx(torch.cosine_similarity(a, b, dim=0).item(), abs=1e-4)
    last = table[table["layer"] == model.n_layers - 1]
    assert last["cosine"].notna().tolist() == [False] * (left.prompt_length - 1) + [True]
    same = delta_cosines(left, left)["cosine"].dropna()
    assert same.to_numpy() == pytest.approx(1)


def test_cosines_of_segments_are_of_the_sums(model):
    prompts = ("Obama grew up in", "Angela Merkel was born in")
    subjects = ("Obama", "Angela Merkel")
    left, right = (trace(model, prompt, TARGET) for prompt in prompts)
    with pytest.raises(PromptError, match="segments"):
        delta_cosines(left, right)
    parts = tuple(core.segments(model, p, s) for p, s in zip(prompts, subjects, strict=True))
    table = delta_cosines(left, right, segments=parts)
    deltas = [run.factors["ff2"].delta for run in (left, right)]
    sums = [
        d[1, [i for i, part in enumerate(p) if part == core.SEGMENTS[5]]].sum(0)
        for d, p in zip(deltas, parts, strict=True)
    ]
    row = table[(table["layer"] == 1) & (table["token"] == core.SEGMENTS[5])].iloc[0]
    assert row["cosine"] == pytest.approx(torch.cosine_similarity(*sums, dim=0).item(), abs=1e-4)


def test_cosines_need_one_model(model):
    other = random_model("gpt2")
    with pytest.raises(PromptError, match="one model"):
        delta_cosines(trace(model, PROMPT, TARGET), trace(other, PROMPT, TARGET))


def test_differences_of_real_tables_are_those_of_their_columns(model):
    runs = [trace(model, PROMPT, target) for target in (TARGET, "Rome")]
    sizes = (model.vocabulary_size,) * 2
    tables = [core.backward_lens(run) for run in runs]
    table = core.backward_difference(*tables, vocabularies=sizes)
    expected = tables[1]["norm"] - tables[0]["norm"]
    assert table["norm_difference"].to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-5)
    lenses = [core.forward_lens(model, PROMPT, target) for target in (TARGET, "Rome")]
    words = core.forward_difference(*lenses, vocabularies=sizes)["same_word"]
    assert words.all(), "another target changes no word that the model says"
