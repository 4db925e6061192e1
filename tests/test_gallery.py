"""Each finding of the gallery is still what the model says, and its picture what is computed."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType

import pandas as pd
import pytest

from app.gallery.finding import CLAIMS, GALLERY, PICTURES, Finding, Part, read_finding
from app.gallery.stored import Stored, read_stored
from core import fingerprint, is_on_this_machine, load_model
from core.model.catalog import BUILTIN
from scripts.gallery_claims import CHECKS, holds
from scripts.gallery_measures import Measures
from tests.conftest import REAL

FILES = sorted(GALLERY.glob("*.toml"))
FINDINGS = {finding.name: finding for finding in map(read_finding, FILES)}
load = cache(load_model)


@cache
def measures(name: str) -> Measures:
    return Measures(FINDINGS[name], load)


def stored(name: str) -> Stored:
    (path,) = GALLERY.glob(f"??-{name}.json")
    return read_stored(FINDINGS[name], path)


def needs(*models: str):
    """The marks of a test that needs these models."""
    if set(models) <= set(BUILTIN):
        return []
    reason = f"{REAL} is not on this machine: make real-model fetches it"
    return [pytest.mark.real, pytest.mark.skipif(not is_on_this_machine(REAL), reason=reason)]


def each_claim():
    for finding in FINDINGS.values():
        for i, claim in enumerate(finding.claims):
            marks = needs(finding.model, claim.values.get("model", finding.model))
            yield pytest.param(finding.name, claim, marks=marks, id=f"{finding.name}-{i + 1}")


EACH = [pytest.param(f.name, marks=needs(f.model), id=f.name) for f in FINDINGS.values()]


@pytest.mark.parametrize(("name", "claim"), list(each_claim()))
def test_a_claim_is_what_the_model_says(name: str, claim: Part):
    assert holds(claim, measures(name)), f"{claim.kind}: {dict(claim.values)}"


@pytest.mark.parametrize("name", EACH)
def test_the_stored_picture_is_what_is_computed(name: str):
    kept, now = stored(name), measures(name).stored()
    assert kept.fingerprint == now.fingerprint == fingerprint(measures(name).model)
    for field in ("vocabulary", "full_rank", "target", "answer", "tokens", "subject"):
        assert getattr(kept, field) == getattr(now, field)
    assert list(kept.table) == list(now.table)
    assert len(kept.table) == len(now.table)
    for column in kept.table:
        assert_alike(kept.table[column], now.table[column], kept.vocabulary)


def assert_alike(kept: pd.Series, now: pd.Series, vocabulary: int) -> None:
    """Numbers nearly; ranks within a thousandth of the vocabulary; words in nearly all cells."""
    first = kept.dropna().iloc[0]
    if isinstance(first, list) and isinstance(first[0] if first else "", float):
        kept, now = kept.explode().astype(float), now.explode().astype(float)
        first = 0.0
    if isinstance(first, list):  # words whose scores are a tie may change places
        same = [a[:1] == b[:1] for a, b in zip(kept, now, strict=True)]
        assert sum(same) >= 0.95 * len(same)
    elif kept.name.endswith("_rank"):
        assert kept.isna().equals(now.isna())
        assert (kept - now).abs().max() <= vocabulary / 1000 + 1
    elif isinstance(first, float):
        pd.testing.assert_series_equal(kept, now, rtol=0.01, atol=1e-4, check_dtype=False)
    else:
        assert kept.tolist() == now.tolist()


# A claim of each kind that no model may hold: the finding, and what is said instead.
WRONG = {
    "answer": ("milan", {"at_least": 0.9999}),
    "at_most": ("first-guess", {"token": " Apple"}),
    "leads_from": ("first-guess", {"layer": 2}),
    "says": ("first-guess", {"layers": (1,)}),
    "target_is_lowest": ("one-piece", {"layers": (0, 1)}),
    "target_not_in_lowest": ("one-piece", {"layers": (3,), "share": 0.5}),
    "rank_equals_length": ("one-direction-a-token", {"layers": (6, 7)}),
    "rank_is": ("one-direction-a-token", {"rank": 1, "layers": (6,)}),
    "tokens": ("one-direction-a-token", {"tokens": ("The",)}),
    "parameters": (
        "one-direction-a-token",
        {"model": "tiny-gpt2", "of_model": "tiny-llama2", "times": 1.0},
    ),
    "signal_strongest_at": ("milan", {"layers": (2,), "token": " Messi"}),
    "input_stands_out": ("milan", {"token": "Lion", "times": 300.0}),
    "reads": ("written-down", {"layers": (0,)}),
    "target_tokens": ("one-piece", {"tokens": (" Wikipedia",)}),
    "step_shifts_to_target": ("milan", {"from_below": 600}),
    "step_answer": ("milan", {"token": " Paris"}),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_claim_does_not_hold(kind: str):
    name, change = WRONG[kind]
    own = next((c.values for c in FINDINGS[name].claims if c.kind == kind), {})
    claim = Part(kind, MappingProxyType({**own, **change}))
    assert set(claim.values) <= set(CLAIMS[kind])
    assert not holds(claim, measures(name))


@pytest.mark.real
@pytest.mark.parametrize(
    ("prompt", "token"),
    [("The capital of Germany is", " Berlin"), ("The Colosseum is in", " Paris")],
)
def test_a_wrong_claim_about_an_edit_does_not_hold(real_model, prompt: str, token: str):
    values = MappingProxyType({"prompt": prompt, "token": token, "at_least": 0.1})
    assert not holds(Part("edited_answer", values), measures("every-capital"))


def test_every_kind_of_claim_has_its_check():
    assert set(CHECKS) == set(CLAIMS) == {*WRONG, "edited_answer"}


def test_the_gallery_is_a_dozen_varied_findings():
    models = [finding.model for finding in FINDINGS.values()]
    assert len(FILES) == len(FINDINGS) == 12
    assert set(models) == {*BUILTIN, REAL}
    assert models.count(REAL) >= 4
    assert {finding.picture.kind for finding in FINDINGS.values()} == set(PICTURES)
    assert len({finding.title for finding in FINDINGS.values()}) == 12
    assert sum(path.stat().st_size for path in GALLERY.iterdir()) < 500_000
    assert {path.suffix for path in GALLERY.iterdir()} == {".toml", ".json"}


@pytest.mark.parametrize("finding", FINDINGS.values(), ids=list(FINDINGS))
def test_the_commentary_is_two_plain_sentences(finding: Finding):
    for sentence in finding.commentary:
        assert sentence.endswith(".")
        assert ". " not in sentence
        for word in ("δ", "VJP", "logit", "norm", "residual", "embedding", "softmax"):
            assert word not in sentence
