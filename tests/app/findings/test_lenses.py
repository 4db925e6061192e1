"""What the sentences above the pictures claim, on tables whose answer is known; signs above all."""

import pandas as pd
import pytest

from app.findings.directions import rank_curve_finding, rank_finding
from app.findings.lenses import (
    backward_finding,
    forward_finding,
    input_finding,
    share_of_layers_at_the_bottom,
    target_rank_finding,
)
from app.findings.signal import norm_finding
from app.words import code_span
from core import backward_lens, forward_lens, gradient_rank, load_model, rank_curve, trace
from core import vjp_norms as core_norms
from tests.conftest import PROMPT, TARGET

VOCABULARY = 1000
NASTY = "a`b*[c](d) $x$"


def forward(answers, rank, share=0.75, first=" of"):
    """A forward lens of two tokens; `answers` are the last one's by layer, `rank` is final."""
    rows = []
    for layer, answer in enumerate(answers):
        ranks = {0: 5, 1: rank if layer == len(answers) - 1 else 77}
        for position, word in enumerate((first, answer)):
            rows.append(
                {
                    "layer": layer,
                    "position": position,
                    "token": ("Obama", " in")[position],
                    "top_tokens": [word, " x"],
                    "top_probabilities": [share, 0.01],
                    "entropy": 1.0,
                    "target_rank": ranks[position],
                    "target_probability": 0.5,
                }
            )
    return pd.DataFrame(rows).astype({"target_rank": "Int64"})


def backward(ranks, norms, token=" in"):
    """A backward lens from {position: [a value a layer]}; rank None is a near-zero cell."""
    rows = [
        {
            "layer": layer,
            "position": position,
            "token": token if position == max(ranks) else f" t{position}",
            "norm": norms[position][layer],
            "top_tokens": [] if rank is None else [" Rome", " Oslo", " Bern", " Kyiv"],
            "bottom_tokens": [] if rank is None else [" Paris"],
            "target_rank": rank,
            "answer_rank": rank,
            "near_zero": rank is None,
        }
        for position in ranks
        for layer, rank in enumerate(ranks[position])
    ]
    frame = pd.DataFrame(rows).astype({"target_rank": "Int64", "answer_rank": "Int64"})
    return frame.sort_values(["layer", "position"], ignore_index=True)


def norms(values):
    """Norms from {layer: [a value a token]}."""
    return pd.DataFrame(
        {
            "layer": layer,
            "module": "ff2",
            "position": position,
            "token": f" t{position}",
            "norm": value,
            "input_norm": 1.0,
        }
        for layer, row in values.items()
        for position, value in enumerate(row)
    )


def curve(n, layers, exceptions=(), last=1):
    """A rank curve; `exceptions` maps (prompt_length, layer) to a rank off the diagonal."""
    exceptions = dict(exceptions)
    return pd.DataFrame(
        {
            "prompt_length": length,
            "layer": layer,
            "matrix": matrix,
            "rank": exceptions.get((length, layer), last if layer == layers - 1 else length),
        }
        for length in range(1, n + 1)
        for matrix in ("ff1", "ff2")
        for layer in range(layers)
    )


def whole_prompt(table):
    """What gradient_rank would say: the rows of the longest prefix."""
    longest = table[table["prompt_length"] == table["prompt_length"].max()]
    return longest[["layer", "matrix", "rank", "prompt_length"]].reset_index(drop=True)


def test_the_tables_here_have_the_columns_of_cores():
    model = load_model("tiny-gpt2")
    run = trace(model, PROMPT, TARGET)
    pairs = [
        (forward([" a"], 0), forward_lens(model, PROMPT, TARGET)),
        (backward({0: [1]}, {0: [1.0]}), backward_lens(run)),
        (norms({0: [1.0]}), core_norms(run)),
        (curve(1, 1), rank_curve(model, PROMPT, TARGET)),
        (whole_prompt(curve(1, 1)), gradient_rank(run)),
    ]
    for ours, theirs in pairs:
        assert list(ours.columns) == list(theirs.columns)


# The forward lens


def test_a_target_that_the_model_says_is_known_already():
    says = forward_finding(forward([" a", " Paris"], 0), " Paris", VOCABULARY)
    assert "the model says `·Paris` (75% sure)" in says
    assert "the model knows it already" in says
    assert "ends" not in says


@pytest.mark.parametrize("answer", ["Hawaii", "Par"])
def test_another_answer_says_where_the_target_ends(answer):
    says = forward_finding(forward([" a", f" {answer}"], 2), " Paris", VOCABULARY)
    assert f"the model says `·{answer}` (75% sure)" in says
    assert "Your target `·Paris` ends number 3 of 1,000." in says
    assert "knows it already" not in says


@pytest.mark.parametrize(
    ("answers", "since"),
    [
        ([" H", " H", " H"], 0),
        ([" a", " H", " H"], 1),
        ([" a", " b", " H"], 2),
        ([" H", " a", " H"], 2),  # it led, and lost the lead
    ],
)
def test_the_answer_leads_from_the_first_layer_after_which_it_stays(answers, since):
    table = forward(answers, 2).sample(frac=1, random_state=0)  # rows in any order
    says = forward_finding(table, " Paris", VOCABULARY)
    assert f"leads from layer {since} on." in says


# The backward lens


@pytest.mark.parametrize(
    ("rank", "place", "meaning"),
    [
        (999, "last of 1,000", "pushes the output **towards** that word"),
        (990, "number 991 of 1,000", "pushes the output **towards** that word"),
        (989, "number 990 of 1,000", "pushes towards it weakly"),
        (500, "number 501 of 1,000", "pushes towards it weakly"),
        (499, "number 500 of 1,000", "does **not** push"),
        (0, "first of 1,000", "does **not** push"),
    ],
)
def test_the_update_subtracts_delta_so_only_its_bottom_is_pushed_towards(rank, place, meaning):
    table = backward({0: [400, 400], 1: [500, rank]}, {0: [1, 1], 1: [2, 3]})
    says = backward_finding(table, " Paris", VOCABULARY)
    assert f"layer 1 at `·in` (‖δ‖ = 3). There `·Paris` is {place} in δ" in says
    others = ["pushes the output **towards**", "towards it weakly", "does **not** push"]
    assert [part in says for part in others] == [part in meaning for part in others]


def test_the_strongest_cell_decides_not_the_last_token():
    table = backward({0: [3, 400], 1: [999, 999]}, {0: [9, 1], 1: [2, 3]})
    says = backward_finding(table, " Paris", VOCABULARY)
    assert "layer 0 at `·t0` (‖δ‖ = 9)" in says
    assert "does **not** push" in says
    assert "among the lowest 1% in 2 of 2 layers" in says


def test_the_share_of_layers_is_the_last_tokens_without_near_zero_cells():
    table = backward(
        {0: [999, 999, 999, 999], 1: [990, 989, 999, None]}, {0: [1, 1, 1, 1], 1: [2, 2, 2, 0]}
    )
    assert share_of_layers_at_the_bottom(table, VOCABULARY) == (2, 4)


def test_a_signal_of_zero_everywhere_leaves_almost_nothing_to_learn():
    table = backward({0: [None, None], 1: [None, None]}, {0: [0, 0], 1: [0, 0]})
    says = backward_finding(table, " Paris", VOCABULARY)
    assert "already says `·Paris`" in says
    assert "almost nothing to learn" in says
    assert "strongest" not in says


def test_the_input_finding_names_three_words_of_the_strongest_cell():
    table = backward({0: [1, 1], 1: [1, 1]}, {0: [1, 7], 1: [2, 3]})
    says = input_finding(table)
    assert "layer 1 at `·t0`" in says
    assert "looks like `·Rome`, `·Oslo`, `·Bern`." in says


# Where learning happens


def test_the_strongest_signal_and_the_last_tokens_share_of_the_sum():
    says = norm_finding(norms({0: [1.0, 3.0], 1: [2.0, 0.0]}), "FF2")
    assert "For FF2, the signal is strongest in layer 0 at `·t1` (‖δ‖ = 3)" in says
    assert "the last prompt token receives 50% of it" in says  # (3 + 0) of 6


def test_the_norms_of_one_module_are_found_among_rows_of_others():
    table = norms({0: [1.0, 3.0], 1: [5.0, 0.0]})
    table.index = [10, 20, 30, 40]
    assert "layer 1 at `·t0`" in norm_finding(table, "FF2")


def test_no_signal_anywhere_has_no_strongest_cell():
    nothing = backward({0: [None, None]}, {0: [0.0, 0.0]})
    for says in (
        norm_finding(norms({0: [0.0, 0.0]}), "FF2"),
        backward_finding(nothing, " Paris", VOCABULARY),
        input_finding(nothing),
    ):
        assert "strongest" not in says


@pytest.mark.parametrize(
    ("ranks", "where"),
    [
        ([999, 990, 995, 999], "layers 0-3"),
        ([999, 5, 989, 999], "layers 0 and 3"),
        ([5, 5, 999, None], "layer 2"),
    ],
)
def test_layers_pushed_towards_the_target_are_named(ranks, where):
    table = backward({0: [999] * 4, 1: ranks}, {0: [1] * 4, 1: [1, 1, 1, 0]})
    says = target_rank_finding(table, " Paris", VOCABULARY)
    assert f"among the least probable 1% in {where}: subtracting δ pushes those" in says
    assert "**towards**" in says


def test_a_target_in_the_upper_half_is_pushed_towards_in_no_layer():
    table = backward({0: [999, 999], 1: [3, 989]}, {0: [1, 1], 1: [1, 1]})
    says = target_rank_finding(table, " Paris", VOCABULARY)
    assert "is in no layer among the lowest 1%" in says
    assert "**towards**" not in says


# The gradient's rank


def test_all_ranks_on_the_diagonal():
    says = rank_curve_finding(curve(3, 4))
    assert says.startswith("In every layer below the last the rank equals the number of prompt")
    assert "In the last layer it is always 1." in says
    assert "falls" not in says


def test_ranks_below_the_diagonal_are_counted_and_explained():
    says = rank_curve_finding(curve(3, 4, {(3, 0): 2, (2, 1): 1}))
    assert says.startswith("In 1 of 3 layers below the last")
    assert "below in layer 1: 1 instead of 2 in FF1, at 2 tokens" in says
    assert "too weak to be told from the rounding" in says
    deeper = rank_curve_finding(curve(4, 4, {(3, 0): 2, (4, 2): 1}))
    assert "in layer 2: 1 instead of 4" in deeper


def test_a_narrow_matrix_is_full_where_it_has_no_more_room():
    table = curve(5, 3)
    table["rank"] = table["rank"].clip(upper=3)
    says = rank_curve_finding(table, 3)
    assert says.startswith("In every layer below the last the rank equals the number of prompt")
    assert "or 3, all that the matrix has room for" in says
    assert "In 0 of 2 layers" in rank_curve_finding(table, 768)


def test_a_last_layer_of_more_than_rank_one_is_not_called_one():
    says = rank_curve_finding(curve(3, 4, {(3, 3): 2}))
    assert "In the last layer it is between 1 and 2." in says


def test_the_whole_prompts_rank_without_exceptions():
    says = rank_finding(whole_prompt(curve(5, 4)), 768)
    assert says.startswith("5 prompt tokens give a change with 5 independent directions, of 768 ")
    assert "in the last layer 1," in says
    assert "but less" not in says


@pytest.mark.parametrize(
    ("short", "named"),
    [({2: 4}, "but less in layer 2,"), ({0: 4, 1: 3, 4: 4}, "but less in layers 0-1 and 4,")],
)
def test_layers_of_lower_rank_are_named(short, named):
    table = whole_prompt(curve(5, 6, {(5, layer): rank for layer, rank in short.items()}))
    assert named in rank_finding(table, 768)


def test_one_prompt_token_is_singular():
    says = rank_finding(whole_prompt(curve(1, 3)), 768)
    assert says.startswith("1 prompt token gives a change with 1 independent direction, of 768 ")


def test_a_model_of_one_layer_has_no_layers_below_the_last():
    says = rank_curve_finding(curve(3, 1))
    assert "is always 1" in says
    assert "0 of 0" not in says
    says = rank_finding(whole_prompt(curve(3, 1)), 768)
    assert "3 prompt tokens" in says
    assert "in the last layer 1" in says
    assert "3 independent directions" not in says


def test_the_rank_of_a_matrix_smaller_than_the_prompt_is_not_the_number_of_tokens():
    table = whole_prompt(curve(40, 4, {(40, layer): 32 for layer in range(3)}))
    says = rank_finding(table, 32)
    assert says.startswith("40 prompt tokens give a change with 32 independent directions, of 32 ")


# Text of models in all of them


def test_tokens_are_shown_letter_by_letter():
    table = backward({0: [1], 1: [1]}, {0: [1], 1: [3]}, token=NASTY)
    table["top_tokens"] = [[NASTY]] * 2
    strongest = norms({0: [1.0]}).assign(token=NASTY)
    for says in (
        forward_finding(forward([NASTY], 3), " Paris", VOCABULARY),
        forward_finding(forward([" a"], 3), NASTY, VOCABULARY),
        backward_finding(table, " Paris", VOCABULARY),
        backward_finding(table, NASTY, VOCABULARY),
        input_finding(table),
        norm_finding(strongest, "FF2"),
        target_rank_finding(table, NASTY, VOCABULARY),
    ):
        assert code_span(NASTY) in says
        assert NASTY not in says.replace(code_span(NASTY), "")
