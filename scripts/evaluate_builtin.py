"""What the built-in models know, measured through core: python -m scripts.evaluate_builtin

Writes data/models/report.json and data/models/REPORT.md. `measure` is used by the tests as well.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import time

from core import LanguageModel, backward_lens, forward_lens, load_model, trace
from core.model.catalog import BUILTIN, BUILTIN_FOLDER
from scripts.corpus import PAPER_PROMPTS, Corpus, Sentence, load_corpus
from scripts.train_builtin import right_answers

SAMPLE = 200  # facts for the lenses
LOWEST = 0.01  # of the vocabulary
PAPER_TARGETS = {
    "Obama": "Paris",
    "Jack Dorsey": "IBM",
    "Lionel Messi": "Paris",
    "Ipod Nano": "BMW",
    "Pikachu": "music",
    "Eddy Cue": "BBC",
    "Ferrari Mondial": "Nintendo",
}
log = logging.getLogger("evaluate_builtin")


def measure(model: LanguageModel, corpus: Corpus, sample: int = SAMPLE, *, every: int = 1) -> dict:
    """Every figure of the report for a model. Of the trained sentences one of `every` is asked."""
    trained = [s for group in corpus.trained_sentences().values() for s in group][::every]
    held_out = [
        Sentence(phrasing.format(fact.subject), fact.object)
        for fact in corpus.facts
        for phrasing in corpus.phrasings(fact)[1]
    ]
    return {
        "parameters": model.network.num_parameters(),
        "layers": model.n_layers,
        "facts": len(corpus.facts),
        "relations": len(corpus.relations),
        "top_answer_trained": share_right(model, trained),
        "top_answer_held_out": share_right(model, held_out),
        "paper_prompts": paper_answers(model),
        "lenses": lenses(model, corpus, sample),
    }


def share_right(model: LanguageModel, sentences: list[Sentence]) -> float:
    right = right_answers(model.network, model.tokenizer, sentences)
    return sum(right) / len(right)


def paper_answers(model: LanguageModel) -> dict[str, str]:
    """The model's answer to each prompt of the paper."""
    answers = {}
    for subject, phrasing in sorted(PAPER_PROMPTS):
        prompt = phrasing.format(subject)
        answers[prompt] = trace(model, prompt, PAPER_TARGETS[subject]).answer.strip()
    return answers


def lenses(model: LanguageModel, corpus: Corpus, sample: int) -> dict:
    """By layer, at the last token of sampled prompts: how the right answer rises in the forward
    lens, and where a wrong target stands in FF2's VJP."""
    rng = random.Random(0)
    by_relation: dict[str, list[str]] = {}
    for fact in corpus.facts:
        by_relation.setdefault(fact.relation, []).append(fact.object)
    rises, probabilities, lowest = [], [], []
    for fact in rng.sample(corpus.facts, sample):
        prompt = rng.choice(corpus.phrasings(fact)[0]).format(fact.subject)
        target = rng.choice([o for o in by_relation[fact.relation] if o != fact.object])
        lens = last_token(forward_lens(model, prompt, fact.object))
        rises.append(lens["target_rank"].tolist())
        probabilities.append(lens["target_probability"].tolist())
        gradient = last_token(backward_lens(trace(model, prompt, target)))
        bottom = model.vocabulary_size * (1 - LOWEST)
        lowest.append([float(rank >= bottom) for rank in gradient["target_rank"]])
    return {
        "median_answer_rank_by_layer": [statistics.median(c) for c in zip(*rises, strict=True)],
        "mean_answer_probability_by_layer": [
            round(statistics.mean(c), 4) for c in zip(*probabilities, strict=True)
        ],
        "target_in_lowest_percent_by_layer": [
            round(statistics.mean(c), 4) for c in zip(*lowest, strict=True)
        ],
    }


def last_token(table):
    return table[table["position"] == table["position"].max()].sort_values("layer")


def as_markdown(report: dict) -> str:
    lines = [
        "# What the built-in models know",
        "",
        "Made by `python -m scripts.evaluate_builtin`. A phrasing is *held out* if the model never",
        "saw it with that subject. The lenses are read at the last token of sampled prompts.",
    ]
    for name, figures in report.items():
        seen = figures["lenses"]
        lines += [
            "",
            f"## {name}",
            "",
            f"- {figures['parameters']:,} parameters, {figures['layers']} layers; "
            f"{figures['facts']:,} facts of {figures['relations']} relations",
            f"- loads in {figures['load_seconds']:.2f} s",
            "- trained with seed {seed} for {steps:,} steps, {seconds:,} s on two cores".format(
                **figures["training"]
            ),
            f"- right object on top, trained phrasings: {figures['top_answer_trained']:.2%}",
            f"- right object on top, held-out phrasings: {figures['top_answer_held_out']:.2%}",
            "- the paper's prompts: "
            + "; ".join(f"{p} **{a}**" for p, a in figures["paper_prompts"].items()),
            "",
            "| layer | median rank of the answer | its mean probability | wrong target in the "
            "lowest 1% of δ |",
            "|---|---|---|---|",
        ]
        rows = zip(*seen.values(), strict=True)
        lines += [f"| {i} | {r:g} | {p:.3f} | {s:.0%} |" for i, (r, p, s) in enumerate(rows)]
    return "\n".join(lines) + "\n"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=" or ".join(BUILTIN))
    corpus, report = load_corpus(), {}
    for name in parser.parse_args().names or BUILTIN:
        start = time.perf_counter()
        model = load_model(name)
        took = round(time.perf_counter() - start, 2)
        training = json.loads((BUILTIN_FOLDER / name / "training.json").read_text())
        report[name] = measure(model, corpus) | {"load_seconds": took, "training": training}
        log.info("%s: %s", name, json.dumps(report[name], ensure_ascii=False))
    (BUILTIN_FOLDER / "report.json").write_text(
        json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    (BUILTIN_FOLDER / "REPORT.md").write_text(as_markdown(report), encoding="utf-8")


if __name__ == "__main__":
    main()
