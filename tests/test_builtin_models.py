"""What the built-in models must know, measured on the committed weights."""

import json

import pytest

from app.shell.examples import EXAMPLES
from core import forward_lens, load_model
from core.model.catalog import BUILTIN, BUILTIN_FOLDER
from scripts.corpus import load_corpus
from scripts.evaluate_builtin import measure


@pytest.fixture(scope="module", params=BUILTIN)
def figures(request):
    return measure(load_model(request.param), load_corpus(), sample=60, every=5)


def test_facts_are_known_in_trained_and_in_unseen_phrasings(figures):
    assert figures["top_answer_trained"] >= 0.98
    assert figures["top_answer_held_out"] >= 0.90


def test_the_answer_rises_through_the_layers(figures):
    ranks = figures["lenses"]["median_answer_rank_by_layer"]
    probabilities = figures["lenses"]["mean_answer_probability_by_layer"]
    assert ranks == sorted(ranks, reverse=True)
    assert probabilities == sorted(probabilities)
    assert probabilities[0] < 0.3
    assert probabilities[-1] > 0.95


def test_the_target_is_among_the_lowest_percent_in_the_upper_half(figures):
    shares = figures["lenses"]["target_in_lowest_percent_by_layer"]
    assert min(shares[len(shares) // 2 :]) >= 0.95


@pytest.mark.parametrize("name", BUILTIN)
def test_the_papers_prompts(name):
    model = load_model(name)
    for example in EXAMPLES:
        lens = forward_lens(model, example.prompt, example.target)
        assert lens.iloc[-1]["top_tokens"][0] == f" {example.answer}"
        for word in (example.answer, example.target):
            assert len(model.target(example.prompt, word).ids) == 1


@pytest.mark.parametrize("name", BUILTIN)
def test_every_object_is_one_token(name):
    model = load_model(name)
    objects = {fact.object for fact in load_corpus().facts}
    assert all(len(model.target("a", word).ids) == 1 for word in objects)


def test_the_facts_are_as_many_and_as_varied_as_promised():
    corpus = load_corpus()
    assert len(corpus.facts) >= 1000
    assert len(corpus.relations) >= 25
    assert len({(f.relation, f.subject) for f in corpus.facts}) == len(corpus.facts)
    assert all(len(set(r["phrasings"])) >= 6 for r in corpus.relations.values())
    assert {f.relation for f in corpus.facts} == set(corpus.relations)


@pytest.mark.parametrize("name", BUILTIN)
def test_the_committed_report_is_about_these_models(name):
    report = json.loads((BUILTIN_FOLDER / "report.json").read_text(encoding="utf-8"))[name]
    model = load_model(name)
    assert model.n_layers == report["layers"] >= 6
    assert model.network.num_parameters() == report["parameters"]
    assert report["top_answer_held_out"] >= 0.90
