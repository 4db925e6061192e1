"""What the sentences on steps, neurons, layers and studies claim; signs above all."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from app.findings.lenses import token_rank_finding
from app.findings.neurons import neuron_finding, one_neuron_finding, overlap_finding
from app.findings.signal import similarity_finding
from app.findings.step import (
    agreement_finding,
    answer_text,
    duality_finding,
    imprint_finding,
    move_text,
)
from app.findings.studies import full_rank_finding, study_norm_finding, study_rank_finding
from app.words import code_span, number
from core import SEGMENTS, ImprintAndShift, Study
from core.studies.header import Header
from core.studies.sums import Sums
from tests.app.findings.test_lenses import NASTY, VOCABULARY, backward

NAN = float("nan")
TOWARDS, AWAY = "**towards**", "**away**"


def step(before, after, *, answers=(" H", " P"), size=1.0, all_tokens=False, gap=0.0):
    """One step after which the target's rank in FF2's output goes from `before` to `after`."""
    rows = [
        ("mlp", "before", [" x"], [0.1], before),
        ("mlp", "after", [" y"], [0.1], after),
        ("answer", "before", [answers[0]], [0.75], 5),
        ("answer", "after", [answers[1]], [0.5], 0),
    ]
    columns = ["stage", "time", "top_tokens", "top_probabilities", "target_rank"]
    own = torch.tensor([size, 0.0])
    predicted = 2 * own if all_tokens else own
    return ImprintAndShift(
        layer=3,
        matrix="ff2",
        position=1,
        step=0.1,
        all_tokens=all_tokens,
        own=own,
        predicted=predicted,
        measured=predicted * (1 + gap),
        table=pd.DataFrame(rows, columns=columns),
    )


def neurons(norms=(4.0, 2.0), median=0.5, bottoms=(), tops=()):
    """The largest neurons, of which these hold the target at an end, and a median one."""
    rows = [
        ("largest", i, norm, [" P"] * (i in tops), [" P"] * (i in bottoms))
        for i, norm in enumerate(norms)
    ]
    rows.append(("median", 9, median, [" P"], [" P"]))
    return pd.DataFrame(rows, columns=["group", "neuron", "norm", "top_tokens", "bottom_tokens"])


def overlap(cosines, token=" b"):
    """cosines: a row a neuron, a number a token."""
    return pd.DataFrame(
        {"order": order, "position": p, "token": (" a", token, " c")[p], "cosine": value}
        for order, row in enumerate(cosines)
        for p, value in enumerate(row)
    )


def cosines(n_layers, value=lambda a, b: 1 - abs(a - b) / 10):
    return pd.DataFrame(
        [(a, b, 1.0 if a == b else value(a, b)) for a in range(n_layers) for b in range(n_layers)],
        columns=["layer", "other_layer", "cosine"],
    )


def study(shares, last_rank=1.0, n=100):
    """A study's gradient ranks; `shares` are those of full rank below the last layer."""
    layers = len(shares) + 1
    rows = [
        ("all", matrix, layer, n, [*shares, 0.0][layer], [*[5.0] * len(shares), last_rank][layer])
        for matrix in ("ff1", "ff2")
        for layer in range(layers)
    ]
    columns = ["answered", "matrix", "layer", "n", "rank_is_full", "gradient_rank"]
    header = SimpleNamespace(n_layers=layers)
    return SimpleNamespace(header=header, gradient_ranks=pd.DataFrame(rows, columns=columns))


def segment_norms(values, n=50, error=0.25):
    """Mean norms from {segment: [a value a layer]}; NaN is a segment that no prompt has."""
    return pd.DataFrame(
        {
            "layer": layer,
            "segment": segment,
            "n": 0 if pd.isna(value) else n,
            "norm": value,
            "norm_error": error,
            "input_norm": 100 - value,
            "input_norm_error": error,
        }
        for segment, row in values.items()
        for layer, value in enumerate(row)
    )


def last_ranks(ranks, n=50):
    """Mean target ranks of the last token by layer; those of another segment are none of it."""
    rows = [
        (SEGMENTS[-1], layer, n if rank == rank else 0, rank) for layer, rank in enumerate(ranks)
    ]
    rows += [(SEGMENTS[0], layer, n, 1.0) for layer in range(len(ranks))]
    return pd.DataFrame(rows, columns=["segment", "layer", "n", "target_rank"])


def study_of(done, total):
    header = Header(
        model="stub",
        fingerprint="f",
        n_layers=2,
        vocabulary_size=10,
        modules=("ff1", "ff2"),
        mlp_matrices=("ff1", "ff2"),
        records="facts.json",
        digest="d",
        limit=total,
        seed=0,
        batch_size=1,
        total=total,
        done=done,
    )
    return Study(header, Sums.empty(header), ())


def test_the_studys_tables_here_have_columns_of_cores():
    real = study_of(2, 2)
    assert set(study([1.0]).gradient_ranks) <= set(real.gradient_ranks)
    assert set(segment_norms({"last token": [1.0]})) <= set(real.norms)
    assert set(last_ranks([1.0])) <= set(real.token_ranks)
    assert set(cosines(2)) <= set(real.cosines)


# One step


@pytest.mark.parametrize(
    ("before", "after", "move"),
    [
        (10, 2, "moves **towards** the target"),
        (2, 10, "moves **away** from the target"),
        (7, 7, "keeps the rank of the target"),
    ],
)
def test_a_lower_rank_after_the_step_is_towards_the_target(before, after, move):
    says = imprint_finding(step(before, after), "FF2", " in", " P", VOCABULARY)
    assert move in says
    assert (TOWARDS in says, AWAY in says) == (after < before, after > before)
    assert f"from number {before + 1} of 1,000 to number {after + 1} of 1,000." in says
    assert "One step of 0.1 on FF2 in layer 3, learned from `·in` alone" in says
    assert "The model's answer was `·H` (75%) and is `·P` (50%)." in says


def test_a_step_by_all_tokens_says_so():
    says = imprint_finding(step(5, 2, all_tokens=True), "FF1", " in", " P", VOCABULARY)
    assert "learned from all prompt tokens:" in says
    assert "alone" not in says


def test_a_step_without_a_signal_changes_nothing():
    still = step(7, 7, size=0.0)
    says = imprint_finding(still, "FF2", " in", " P", VOCABULARY)
    assert says.startswith("Nothing changes: the learning signal at `·in` is zero in layer 3")
    assert TOWARDS not in says
    assert agreement_finding(still).startswith("Nothing is predicted")


@pytest.mark.parametrize(("gap", "verdict"), [(1e-5, "agree:"), (0.1, "differ by rounding:")])
def test_prediction_and_measurement_are_compared(gap, verdict):
    says = agreement_finding(step(5, 2, gap=gap))
    assert f"Prediction and measurement {verdict}" in says
    assert f"the difference is {number(gap, 2)} of its size" in says


def test_a_tokens_own_part_of_the_sum_is_told():
    says = agreement_finding(step(5, 2, all_tokens=True))  # own is half of the sum
    assert "alone is off by 50%" in says


def run(n, silent=0):
    delta = torch.ones(1, n, 4)
    delta[0, :silent] = 0
    factors = {
        "ff1": SimpleNamespace(x=torch.ones(1, n, 4), delta=torch.ones(1, n, 1600)),
        "ff2": SimpleNamespace(x=torch.ones(1, n, 1600), delta=delta),
    }
    return SimpleNamespace(prompt_length=n, matrix=factors.get)


def test_the_two_gradients_are_made_of_few_vectors():
    says = duality_finding(run(5), 0)
    assert "has 4 × 1,600 numbers, but 5 prompt tokens make all of them" in says
    assert "mixtures of 5 inputs, FF2's of 5 signals." in says
    assert "zero" not in says
    assert "4 signals of the 5 are zero here." in duality_finding(run(5, silent=4), 0)


@pytest.mark.parametrize(
    ("trace", "words"),
    [(run(1), "1 prompt token makes all"), (run(5, silent=1), "1 signal of the 5 is zero")],
)
def test_one_token_and_one_signal_are_singular(trace, words):
    assert words in duality_finding(trace, 0)


# Neurons


@pytest.mark.parametrize(("bottoms", "tops"), [((0, 1), ()), ((), (0, 1)), ((0,), (1,)), ((), ())])
def test_the_update_turns_a_neuron_towards_its_bottom(bottoms, tops):
    says = neuron_finding(neurons(bottoms=bottoms, tops=tops), "FF2", 3, " P")
    assert f"Of the 2 largest, {len(bottoms)} hold `·P` at the bottom" in says
    assert "turns them **towards** it" in says
    assert f"{len(tops)} at the top (away from it)" in says
    assert "layer 3 has a norm of 4, 8 times the median's" in says


def test_neurons_of_norm_zero():
    zero = neuron_finding(neurons((0.0, 0.0), median=0.0), "FF1", 3, " P")
    assert zero == "Nothing to see here: every neuron of FF1 is zero in layer 3."
    assert "while the median is zero" in neuron_finding(neurons(median=0), "FF1", 3, " P")


def test_most_neurons_are_alike_to_one_token_whatever_the_sign():
    says = overlap_finding(overlap([[0.1, -0.9, 0], [0.2, 0.5, NAN], [0.9, 0, 0]]), "δ")
    assert says.startswith("67% of the 3 neurons are most alike to the δ of `·b`")


def test_no_neuron_is_alike_to_anything_where_all_are_zero():
    says = overlap_finding(overlap([[NAN] * 3] * 2), "x")
    assert says == "Nothing to compare: every neuron is zero here."


def test_neurons_of_zero_are_alike_to_no_token():
    says = overlap_finding(overlap([[0.1, 0.9, 0.2], [NAN] * 3, [NAN] * 3]), "δ")
    assert "`·b`" in says


@pytest.mark.parametrize(("norm", "order"), [(2.5, 0), (2.5, 1233), (0.0, 5)])
def test_one_neuron_turns_from_its_top_to_its_bottom(norm, order):
    neuron = pd.Series(
        {
            "neuron": 7,
            "order": order,
            "norm": norm,
            "top_tokens": [" up"] * 6,
            "bottom_tokens": [" low"] * 6,
        }
    )
    says = one_neuron_finding(neuron, 4096)
    if norm == 0:
        assert says == "Neuron 7 is zero: the update leaves it as it is."
        return
    assert f"is number {order + 1:,} of 4,096 by norm (2.5)" in says
    towards, away = says.split(" and **away** from ")
    assert towards.endswith("**towards** " + ", ".join(["`·low`"] * 5))
    assert away == ", ".join(["`·up`"] * 5) + "."


# Across layers


@pytest.mark.parametrize("n_layers", [2, 3, 48])
def test_neighbours_ends_and_the_lowest_cosine(n_layers):
    says = similarity_finding(cosines(n_layers), "`·in`")
    last = n_layers - 1
    assert says.startswith("At `·in` the cosine is 0.90 on average between neighbouring layers")
    far = f"{1 - last / 10:.2f}"
    assert f"and {far} between layers 0 and {last}, the furthest apart" in says
    assert f"its lowest is {far}, between layers 0 and {last}." in says


def test_silent_layers_are_left_out_of_the_comparison():
    table = cosines(5, lambda a, b: -0.5 if {a, b} == {1, 3} else 0.25)
    table.loc[table["layer"].isin([0, 2]) | table["other_layer"].isin([0, 2]), "cosine"] = NAN
    says = similarity_finding(table, "the last token")
    assert "0.25 on average between neighbouring layers" in says  # 3 and 4
    assert "0.25 between layers 1 and 4, the furthest apart" in says
    assert "its lowest is -0.50, between layers 1 and 3." in says


@pytest.mark.parametrize("table", [cosines(1), cosines(2, lambda a, b: NAN)])
def test_fewer_than_two_layers_have_nothing_to_compare(table):
    says = similarity_finding(table, "`·in`")
    assert says.startswith("Nothing to compare at `·in`: fewer than two layers")


@pytest.mark.parametrize(
    ("ranks", "symbol", "verdict"),
    [
        ([999, 990, 500], "δ of FF2", TOWARDS),
        ([0, 9, 999], "δ of FF2", AWAY),
        ([10, 500, 989], "δ of FF2", None),
        ([999, 999, 999], "x of FF1", None),
        ([0], "δ of FF2", AWAY),
        ([999], "δ of FF2", TOWARDS),
    ],
)
def test_only_the_bottom_of_delta_is_pushed_towards(ranks, symbol, verdict):
    table = backward({0: [0] * len(ranks), 1: ranks}, {0: [9] * len(ranks), 1: [1] * len(ranks)})
    says = token_rank_finding(table, "target_rank", " P", symbol, VOCABULARY)
    assert [word for word in (TOWARDS, AWAY) if word in says] == ([verdict] if verdict else [])
    high, low = sum(r < 10 for r in ranks), sum(r >= 990 for r in ranks)
    assert f"among the most probable 1% in {high} of {len(ranks)} layers" in says
    assert f"among the least probable 1% in {low}." in says


def test_a_last_token_without_a_signal_says_nothing():
    table = backward({0: [3, 3], 1: [None, None]}, {0: [1, 1], 1: [0, 0]})
    says = token_rank_finding(table, "target_rank", " P", "δ of FF2", VOCABULARY)
    assert says == "At the last prompt token δ of FF2 is zero: it says nothing."


# Studies


def test_a_rank_that_is_always_full():
    says = full_rank_finding(study([1.0, 1.0]), "ff1", "all")
    assert "in 100.0% of cases, over 100 prompts; in the last layer it is always 1." in says
    assert "least often" not in says


def test_the_layer_with_the_fewest_full_ranks_is_named():
    says = full_rank_finding(study([1.0, 0.5, 0.9], last_rank=1.25), "ff2", "all")
    assert "in 80.0% of cases (least often, 50.0%, in layer 1)" in says
    assert "in the last layer it is 1.25 on average." in says


def test_a_studied_model_of_one_layer():
    says = full_rank_finding(study([]), "ff1", "all")
    assert says == "This model has one layer; in it, the last one, the rank is always 1."


def test_a_study_without_prompts_of_a_group_has_a_sentence_too():
    """Another study that is shown beside it may have some, and the page asks all the same."""
    empty = study_of(2, 2)
    assert "nan" not in full_rank_finding(empty, "ff1", "wrongly")


def test_the_strongest_mean_is_found_among_segments_that_there_are():
    table = segment_norms({SEGMENTS[0]: [1.0, 2.0], SEGMENTS[2]: [NAN, NAN], "last token": [3, 9]})
    says = study_norm_finding(table, "norm", "FF2")
    assert (
        "For FF2, the learning signal is strongest in layer 1 at the last token: 9 ± 0.25" in says
    )
    assert "50 prompts" in says
    says = study_norm_finding(table, "input_norm", "FF1")
    assert "the input is strongest in layer 0 before the subject: 99 ± 0.25" in says


def test_one_prompt_has_no_standard_error():
    says = study_norm_finding(segment_norms({"last token": [3.0]}, n=1, error=NAN), "norm", "FF2")
    assert "3 on average" in says
    assert "nan" not in says


def test_one_prompt_is_singular():
    norm = study_norm_finding(segment_norms({"last token": [3.0]}, n=1), "norm", "FF2")
    rank = full_rank_finding(study([1.0], n=1), "ff1", "all")
    assert "1 prompts" not in norm + rank


def test_norms_of_zero_have_no_strongest_layer():
    table = segment_norms({"last token": [0.0, 0.0]})
    assert "strongest" not in study_norm_finding(table, "norm", "FF2")


@pytest.mark.parametrize(
    ("ranks", "symbol", "verdict"),
    [
        ([998, 999, NAN], "δ of FF2", TOWARDS),
        ([0, 5], "δ of FF2", AWAY),
        ([998, 500], "δ of FF2", None),
        ([5, 998], "δ of FF2", None),
        ([998, 999], "x of FF1", None),
        ([999], "δ of FF2", TOWARDS),
    ],
)
def test_only_a_mean_at_the_bottom_of_delta_is_pushed_towards(ranks, symbol, verdict):
    says = study_rank_finding(last_ranks(ranks), "target", symbol, VOCABULARY)
    assert [word for word in (TOWARDS, AWAY) if word in says] == ([verdict] if verdict else [])
    assert f"the target's mean rank in {symbol} lies" in says
    assert "nan" not in says


def test_a_mean_rank_has_its_range_or_one_number():
    says = study_rank_finding(last_ranks([0, 999]), "target", "x of FF1", VOCABULARY)
    assert "lies between 0.0% and 100.0% of the way" in says
    says = study_rank_finding(last_ranks([999]), "target", "x of FF1", VOCABULARY)
    assert "lies 100.0% of the way" in says


def test_last_tokens_without_a_rank_have_no_range():
    says = study_rank_finding(last_ranks([NAN, NAN]), "target", "δ of FF2", VOCABULARY)
    assert "nan" not in says


# Text of users and models in all of them


def test_texts_are_shown_letter_by_letter():
    result = step(5, 2, answers=(NASTY, NASTY))
    table = neurons(bottoms=(0,))
    one = {"neuron": 1, "order": 0, "norm": 1.0, "top_tokens": [NASTY], "bottom_tokens": [NASTY]}
    ranks = backward({0: [1], 1: [1]}, {0: [1], 1: [3]})
    for says in (
        imprint_finding(result, "FF2", NASTY, NASTY, VOCABULARY),
        imprint_finding(step(5, 5, size=0.0), "FF2", NASTY, NASTY, VOCABULARY),
        neuron_finding(table, "FF2", 0, NASTY),
        overlap_finding(overlap([[0.1, 0.9, 0.2]], NASTY), "δ"),
        one_neuron_finding(pd.Series(one), 10),
        token_rank_finding(ranks, "target_rank", NASTY, "δ", VOCABULARY),
    ):
        assert code_span(NASTY) in says
        assert NASTY not in says.replace(code_span(NASTY), "")


def test_an_output_of_zeros_has_no_words():
    says = move_text(pd.NA, 4, " P", VOCABULARY)
    assert says == (
        "before the step FF2's output is a vector of zeros, which has no words; after it, `·P` is "
        "number 5 of 1,000."
    )
    assert "after the step FF2's output is a vector of zeros" in move_text(4, pd.NA, " P", 1000)
    assert "stays a vector of zeros" in move_text(pd.NA, pd.NA, " P", VOCABULARY)
    silent = pd.Series({"top_tokens": [], "top_probabilities": []})
    assert answer_text(silent) == "a vector of zeros, which has no words,"
