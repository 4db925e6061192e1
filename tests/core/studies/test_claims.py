"""The paper's claims on hand-made studies in which each verdict occurs, and on real models."""

import numpy as np
import pytest

from core import SEGMENTS, Record, Study, claims, shipped_studies, trace
from core.gradients.segments import FIRST, FURTHER, LAST
from core.studies.claims import CLAIMS, FAILS, HOLDS, IN_PART, UNKNOWN, verdict
from core.studies.header import Header
from core.studies.measured import MEASURED, first_vjp, measure, measured_claims
from core.studies.shipped import STUDIED, shipped_measures
from core.studies.sums import Sums
from tests.conftest import PROMPT, TARGET, random_model

LAYERS, VOCABULARY = 11, 101  # ten layers below the last, ranks in percent
MODULES = ("ff1", "ff2", "attn_in")
END, SUBJECT, AWAY = (SEGMENTS.index(name) for name in (LAST, FIRST, FURTHER))


def ideal() -> dict[str, np.ndarray]:
    """One record's arrays, of a model in which every claim holds."""
    norm = np.ones((len(MODULES), LAYERS, len(SEGMENTS)))
    norm[..., SUBJECT], norm[..., END] = 2, 9
    norm[MODULES.index("ff1")] *= 3
    target, answer = np.full((2, 2, LAYERS, len(SEGMENTS)), 100.0)
    answer[:] = 0
    full = np.ones((2, LAYERS))
    rank = np.full((2, LAYERS), 5.0)
    full[:, -1], rank[:, -1] = 0, 1
    apart = np.abs(np.subtract.outer(np.arange(LAYERS), np.arange(LAYERS)))
    return {
        "norm": norm,
        "input_norm": norm,
        "target_rank": target,
        "answer_rank": answer,
        "rank_is_full": full,
        "gradient_rank": rank,
        "cosine": 1 - apart / 20,
    }


def study_of(arrays: dict[str, np.ndarray], layers: int = LAYERS) -> Study:
    header = Header(
        model="m",
        fingerprint="f",
        n_layers=layers,
        vocabulary_size=VOCABULARY,
        modules=MODULES,
        mlp_matrices=("ff1", "ff2"),
        records="r",
        digest="d",
        limit=1,
        seed=0,
        batch_size=1,
        total=1,
        done=1,
        counted=1,
        correct=1,
    )
    sums = Sums.empty(header)
    sums.add({"correct": True} | arrays)
    return Study(header, sums, ())


def found(arrays: dict[str, np.ndarray], name: str) -> tuple[str, str]:
    row = claims(study_of(arrays)).set_index("name").loc[name]
    return row["verdict"], row["figure"]


def part(arrays, name, layers, index, value):
    """Change a quantity in the first so many layers; index is what comes before and after."""
    before, after = index
    arrays[name][(*before, slice(0, layers), *after)] = value


# What spoils each claim: (quantity, where, value), in 5 of the layers and then in all of them.
SPOILS = {
    "target_bottom": ("target_rank", ((1,), (END,)), 89.0),
    "answer_top": ("answer_rank", ((1,), (END,)), 26.0),
    "signal_last": ("norm", ((1,), (AWAY,)), 10.0),
    "signal_subject": ("norm", ((1,), (AWAY,)), 3.0),
    "signal_parts": ("norm", ((slice(None),), (AWAY,)), 99.0),
    "mlp_attention": ("norm", ((0,), (END,)), 8.0),
    "target_behind": ("target_rank", ((0,), (END,)), 0.0),
}


def test_in_an_ideal_model_every_claim_holds():
    table = claims(study_of(ideal()))
    assert list(table["name"]) == [claim.name for claim in CLAIMS]
    assert list(table["verdict"]) == [HOLDS] * len(CLAIMS)


@pytest.mark.parametrize("name", SPOILS)
@pytest.mark.parametrize(("layers", "word"), [(1, HOLDS), (5, IN_PART), (11, FAILS)])
def test_a_claim_about_layers_holds_as_far_as_it_is_true_of_them(name, layers, word):
    arrays = ideal()
    quantity, index, value = SPOILS[name]
    part(arrays, quantity, layers, index, value)
    assert found(arrays, name)[0] == word


def test_the_figure_says_how_many_layers_and_which():
    arrays = ideal()
    part(arrays, "target_rank", 5, ((1,), (END,)), 40.0)
    assert found(arrays, "target_bottom")[1] == (
        "6 of 11 layers (5-10); lowest in layer 5, 100.0% down"
    )
    part(arrays, "norm", 2, ((1,), (AWAY,)), 10.0)
    assert found(arrays, "signal_last")[1] == "8 of 10 layers (2-9); elsewhere at: further tokens"


@pytest.mark.parametrize(
    ("low", "layers", "word"), [(0.99, 10, HOLDS), (0.97, 1, IN_PART), (0.97, 10, FAILS)]
)
def test_full_rank_is_asked_of_every_layer(low, layers, word):
    arrays = ideal()
    arrays["rank_is_full"][0, :layers] = low
    assert found(arrays, "full_rank")[0] == word


@pytest.mark.parametrize(("rank", "word"), [(1, HOLDS), (1.01, IN_PART), (2, FAILS)])
def test_the_last_layers_rank_is_one_in_every_matrix(rank, word):
    arrays = ideal()
    arrays["gradient_rank"][1, -1] = rank
    assert found(arrays, "last_rank")[0] == word


@pytest.mark.parametrize(("rank", "word"), [(1, HOLDS), (9, IN_PART), (11, FAILS)])
def test_the_answer_rises_in_the_last_layer(rank, word):
    arrays = ideal()
    arrays["answer_rank"][0, -1, END] = rank
    assert found(arrays, "answer_rises")[0] == word


def test_neighbours_are_compared_by_distance():
    arrays = ideal()
    assert found(arrays, "neighbours")[1].startswith("0.95 between neighbours, 0.70 at 6 layers'")
    apart = np.abs(np.subtract.outer(np.arange(LAYERS), np.arange(LAYERS)))
    arrays["cosine"] = np.where(apart > 5, 0.5 + apart / 40, 1 - apart / 20)
    assert found(arrays, "neighbours")[0] == IN_PART
    arrays["cosine"] = apart / 20
    assert found(arrays, "neighbours")[0] == FAILS


def test_prompts_that_there_are_none_of_are_unknown():
    table = claims(study_of(ideal()), answered="wrongly")
    assert set(table["verdict"]) == {UNKNOWN}
    assert set(claims(study_of(ideal()), answered="correctly")["verdict"]) == {HOLDS}


def test_a_verdict_by_hand():
    assert [verdict(v, 0.9, 0.2) for v in (0.9, 0.89, 0.2, 0.19, float("nan"))] == [
        *(HOLDS, IN_PART, IN_PART, FAILS, UNKNOWN)
    ]


# Measured


GOOD = {
    "vjp_error": 1e-7,
    "vjp_lowest": 1.0,
    "imprint_error": 1e-7,
    "shift_error": 1e-6,
    "shift_nearer": 0.9,
    "lens_moved": 0.01,
    "forward_shift": 0.99,
}


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (GOOD, [HOLDS] * 5),
        (
            GOOD
            | {"vjp_error": 2e-3, "shift_error": 2e-3, "shift_nearer": 0.7, "lens_moved": 0.002}
            | {"forward_shift": 0.9},
            [IN_PART] * 5,
        ),
        (
            GOOD
            | {"vjp_error": 0.1, "imprint_error": 0.1, "shift_nearer": 0.5, "lens_moved": 0.0}
            | {"forward_shift": 0.1},
            [FAILS] * 5,
        ),
        ({}, [UNKNOWN] * 5),
    ],
)
def test_measured_claims_by_hand(figures, words):
    assert list(measured_claims(figures)["verdict"]) == words


def test_the_first_vjp_is_the_embeddings_mixture(model):
    assert first_vjp(trace(model, PROMPT, TARGET))["vjp_error"] < 1e-5


def test_the_lemmas_hold_in_random_models():
    figures = measure(random_model("gpt2"), [Record(0, PROMPT, "Obama", TARGET, "Hawaii")])
    words = measured_claims(figures).set_index("name")["verdict"]
    assert words["first_vjp"] == words["one_step"] == HOLDS
    assert words["forward_shift"] == UNKNOWN


# Shipped


def test_three_studies_are_shipped_and_small():
    studies = shipped_studies()
    assert list(studies) == list(STUDIED)
    assert set(shipped_measures()) == set(STUDIED)
    for name, study in studies.items():
        header = study.header
        assert (header.model, header.counted, header.seed) == (name, 100, 0)
        assert len(study.as_zip()) < 300_000
        assert UNKNOWN not in set(claims(study)["verdict"])
        assert UNKNOWN not in set(measured_claims(shipped_measures()[name])["verdict"])
    assert len(MEASURED) == 5
