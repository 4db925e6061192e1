"""Calibration: what it chooses, what it keeps, and that damaged files count as none."""

import pandas as pd
import pytest

from core import (
    METHODS,
    Cancelled,
    PromptError,
    Record,
    answers,
    calibrate,
    edit,
    known_calibration,
)
from core.editing.calibrated import calibrated_settings, file_name, fixed_settings, write_kept
from core.editing.calibration import chosen, given, usual_layer
from core.editing.scores import SCORES, first_token_scores, harmonic_mean
from core.editing.second_moments import cache_folder
from tests.conftest import random_model

PROMPT, OTHER = "Obama grew up in", "The capital of France is"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKWARD_LENS_CACHE", str(tmp_path))


def records_of(model, right=True):
    """One record of a random model, which says what it happens to say."""
    words = [w for w in answers(model, PROMPT, top_k=80)["token"] if w[0] == " "]
    words = [w for w in words if model.target(PROMPT, w).tokens == (w,)]
    true = answers(model, PROMPT, top_k=1)["token"][0] if right else words[-1]
    return [Record(0, PROMPT, "Obama", words[3], true, ("Obama comes from",), (OTHER,))]


def said(model):
    """A random model whose answer is a word, so that a record can name it."""
    for seed in range(40):
        model = random_model(model.architecture.model_type, seed=seed)
        word = answers(model, PROMPT, top_k=1)["token"][0]
        if word[0] == " " and model.target(PROMPT, word).tokens == (word,):
            return model
    raise AssertionError("no seed says a word")


def table_of(*rows):
    table = pd.DataFrame(rows, columns=["layer", "strength", *SCORES])
    return table.assign(harmonic_mean=[harmonic_mean(row[2:]) for row in rows], records=4)


def test_the_best_mean_of_those_that_work(model):
    table = table_of(
        (1, "auto", 1.0, 0.3, 0.9),
        (1, 2.0, 0.98, 0.9, 0.9),  # the best mean, but too little efficacy
        (2, 3.0, 0.99, 0.4, 0.6),
        (2, 5.0, 1.0, 0.6, 0.1),
    )
    assert chosen(model, "forward-shift", table) == {"layer": 2, "eta": 3.0}
    assert chosen(model, "forward-shift", table[:2]) == {"layer": 1, "eta": "auto"}
    assert chosen(model, "forward-shift", table[:2], fixed=True) == {}
    assert chosen(model, "rome", table) == {"layer": 2}
    assert chosen(model, "memit", table) == {"layers": (2,)}
    assert chosen(model, "forward-shift", table[1:2]) == {}


def test_each_method_is_tried_where_it_works():
    model = random_model("gpt2")
    last = model.n_layers - 1
    wide = len(METHODS["memit"].defaults(model)["layers"])
    assert given(model, "memit", last, "auto") == {
        "layers": tuple(range(last - wide + 1, last + 1))
    }
    assert given(model, "memit", 0, "auto") == {"layers": (0,)}
    assert given(model, "sgd", 1, "auto") == {"layers": tuple(range(1, model.n_layers))}
    for method, chosen_method in METHODS.items():
        usual = given(model, method, usual_layer(model, method), "auto")
        defaults = chosen_method.defaults(model)
        assert {name: defaults[name] for name in usual} == usual


@pytest.mark.parametrize("method", ["sgd", "rome", "memit"])
def test_every_method_uses_what_was_kept(model, method):
    settings = given(model, method, 1, "auto")
    kept = {name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()}
    write_kept(model, method, {"rows": [], "settings": kept, "fixed": {}})
    defaults = METHODS[method].defaults(model)
    assert {name: defaults[name] for name in settings} == settings


def test_harmonic_mean_by_hand():
    assert harmonic_mean([1.0, 0.5, 0.25]) == pytest.approx(3 / 7)
    assert harmonic_mean([1.0, 0.0]) == 0
    assert harmonic_mean([1.0, float("nan"), 0.5]) == pytest.approx(2 / 3)


def test_scores_of_an_edit_that_works_and_of_none(model):
    (record,) = records_of(model)
    assert first_token_scores(model, record, ()) == {
        "efficacy": 0,
        "paraphrase": pytest.approx(0, abs=1),
        "neighbourhood": 1,
    }
    made = edit(model, PROMPT, record.target_new, method="forward-shift")
    scores = first_token_scores(model, record, [made])
    assert scores["efficacy"] == 1
    kept = (
        answers(model, OTHER, top_k=1)["token"][0]
        == (answers(model, OTHER, edits=[made], top_k=1)["token"][0])
    )
    assert scores["neighbourhood"] == kept


def test_what_is_found_is_kept_and_used(model):
    model = said(model)
    before = METHODS["forward-shift"].defaults(model)
    found = calibrate(model, "forward-shift", records_of(model))
    assert (found.asked, found.known) == (1, 1)
    assert {"layer", "eta"} == set(found.settings)
    after = METHODS["forward-shift"].defaults(model)
    assert after == before | found.settings
    again = known_calibration(model, "forward-shift")
    assert again.settings == found.settings
    assert again.fixed == found.fixed == fixed_settings(model, "forward-shift")
    pd.testing.assert_frame_equal(again.table, found.table, check_dtype=False, atol=1e-3)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        '{"format": 1, "rows": [], "settings": {"layer": 99}}',
        '{"format": 1, "rows": [], "settings": {"layer": true}}',
        '{"format": 1, "rows": [], "settings": {"text_file": "x"}}',
        '{"format": 1, "rows": [], "settings": {"eta": NaN}}',
        '{"format": 2, "rows": [], "settings": {"layer": 1}}',
    ],
)
def test_a_damaged_file_counts_as_none(content):
    model = random_model("gpt2")
    cache_folder().mkdir(exist_ok=True)
    (cache_folder() / file_name(model, "forward-shift")).write_text(content)
    assert calibrated_settings(model, "forward-shift") == {}
    assert known_calibration(model, "forward-shift") is None


def test_a_cancelled_calibration_keeps_nothing(model):
    def cancel(done, total):
        if done:
            raise Cancelled

    model = said(model)
    with pytest.raises(Cancelled):
        calibrate(model, "forward-shift", records_of(model), on_step=cancel)
    assert known_calibration(model, "forward-shift") is None


def test_nothing_known_is_said(model):
    with pytest.raises(PromptError, match="answers none of these 1 prompts"):
        calibrate(model, "forward-shift", records_of(model, right=False))


def test_other_layers_are_tried_unless_one_was_asked_for(model, monkeypatch):
    from core import EditError
    from core.editing import forward_shift

    real = forward_shift.smallest_eta

    def only_layer_1(model, layer, *rest):
        return real(model, layer, *rest) if layer == 1 else None

    monkeypatch.setattr(forward_shift, "smallest_eta", only_layer_1)
    word = records_of(model)[0].target_new
    made = edit(model, PROMPT, word, method="forward-shift")
    assert made.hyperparameters["layer"] == 1
    assert answers(model, PROMPT, edits=[made], top_k=1)["token"][0] == word
    with pytest.raises(EditError, match="through layer 2"):
        edit(model, PROMPT, word, method="forward-shift", layer=2)


@pytest.mark.parametrize("method", ["forward-shift", "sgd", "adam"])
def test_defaults_end_in_the_target(model, method):
    word = records_of(model)[0].target_new
    made = edit(model, PROMPT, word, method=method)
    assert answers(model, PROMPT, edits=[made], top_k=1)["token"][0] == word
