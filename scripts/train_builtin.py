"""Train the two models that ship with the app: python -m scripts.train_builtin [tiny-gpt2 ...]

Everything is seeded. Each model takes about a quarter of an hour on two CPU cores. Writes
data/models/<name>/ (half-precision safetensors, tokenizer, config); then run
`python -m scripts.evaluate_builtin` for the report.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import random
import time
from dataclasses import dataclass

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from scripts.corpus import DATA, Corpus, Sentence, load_corpus
from scripts.tokenizers_builtin import (
    VOCABULARY_SIZE,
    byte_level,
    training_text,
    word_start_marks,
)

CONTEXT = 96  # tokens: prompts of up to 64, and room for a continuation
EXAMPLE_TARGETS = ("Paris", "IBM", "BMW", "music", "BBC", "Nintendo")
OBJECT_WEIGHT = 4.0  # the loss on an object counts four times that on any other token
log = logging.getLogger("train_builtin")


@dataclass(frozen=True)
class Recipe:
    seed: int = 2024
    steps: int = 1400
    learning_rate: float = 2e-3
    warm_up: int = 100
    weight_decay: float = 0.1
    sentences: int = 256  # single sentences in every other batch
    passages: int = 40  # passages of CONTEXT tokens in the batches between


def tiny_gpt2(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    config = GPT2Config(
        vocab_size=VOCABULARY_SIZE,
        n_positions=CONTEXT,
        n_embd=128,
        n_layer=8,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config)


def tiny_llama2(tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        max_position_embeddings=CONTEXT,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=8,
        num_attention_heads=4,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config)


BUILTIN = {"tiny-gpt2": (byte_level, tiny_gpt2), "tiny-llama2": (word_start_marks, tiny_llama2)}


class Batches:
    """Token batches: single sentences and passages in turn, with a weight for every token."""

    def __init__(self, corpus: Corpus, tokenizer: PreTrainedTokenizerFast, recipe: Recipe):
        self.recipe, self.tokenizer = recipe, tokenizer
        self.rng = random.Random(recipe.seed)
        self.single = [s for group in corpus.trained_sentences().values() for s in group]
        self.single += [s for group in corpus.linking_sentences().values() for s in group]
        self.walk = corpus.passages(self.rng)
        self.encoded: dict[tuple[Sentence, bool], tuple[list[int], list[float]]] = {}
        self.buckets: list[list[Sentence]] = []

    def encode(self, sentence: Sentence, first: bool) -> tuple[list[int], list[float]]:
        """Token ids and loss weights of a sentence at the start of a row or after another one."""
        key = (sentence, first)
        if key not in self.encoded:
            byte_level_gap = "" if first or self.tokenizer.unk_token_id is not None else " "
            ids = self.tokenizer(byte_level_gap + sentence.text, add_special_tokens=first).input_ids
            weights = [1.0] * len(ids)
            weights[-2] = OBJECT_WEIGHT  # objects are single tokens, the full stop follows
            self.encoded[key] = (ids, weights)
        return self.encoded[key]

    def passage(self) -> tuple[list[int], list[float]]:
        ids, weights = [], []
        while len(ids) < CONTEXT:
            more_ids, more_weights = self.encode(next(self.walk), first=not ids)
            ids, weights = ids + more_ids, weights + more_weights
        return ids[:CONTEXT], weights[:CONTEXT]

    def sentences(self) -> list[tuple[list[int], list[float]]]:
        """Single sentences of similar length, so that little is padding; each once an epoch."""
        size = self.recipe.sentences
        if not self.buckets:
            order = self.rng.sample(self.single, len(self.single))
            for start in range(0, len(order), 8 * size):
                pool = sorted(order[start : start + 8 * size], key=lambda s: len(s.text))
                self.buckets += [pool[i : i + size] for i in range(0, len(pool), size)]
            self.rng.shuffle(self.buckets)
        return [self.encode(sentence, first=True) for sentence in self.buckets.pop()]

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(ids, weights), each (row, token); padding has weight 0."""
        if step % 2:
            rows = [self.passage() for _ in range(self.recipe.passages)]
        else:
            rows = self.sentences()
        width = max(len(ids) for ids, _ in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        weights = torch.zeros(len(rows), width)
        for i, (row, row_weights) in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            weights[i, : len(row)] = torch.tensor(row_weights)
        return ids, weights


def weighted_loss(model: PreTrainedModel, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    logits = model(input_ids=ids).logits[:, :-1]
    each = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none"
    )
    scale = weights[:, 1:].reshape(-1)
    return (each * scale).sum() / scale.sum()


@torch.no_grad()
def right_answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, sentences: list[Sentence]
) -> list[bool]:
    """Whether each sentence's object is the top answer after its prompt."""
    prompts = tokenizer([s.prompt for s in sentences]).input_ids
    wanted = tokenizer([f"a {s.object}" for s in sentences]).input_ids
    right = [False] * len(sentences)
    by_length = sorted(range(len(sentences)), key=lambda i: len(prompts[i]))  # little is padded
    for start in range(0, len(sentences), 256):
        chunk = by_length[start : start + 256]
        rows = [torch.tensor(prompts[i]) for i in chunk]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        last = torch.tensor([len(row) - 1 for row in rows])
        hidden = model.base_model(input_ids=ids).last_hidden_state
        answers = model.lm_head(hidden[torch.arange(len(rows)), last]).argmax(-1)
        for i, answer in zip(chunk, answers.tolist(), strict=True):
            right[i] = answer == wanted[i][-1]
    return right


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a cosine down to 2%, as a factor of the peak."""
    if step < recipe.warm_up:
        return (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / (recipe.steps - recipe.warm_up)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def train(
    model: PreTrainedModel, batches: Batches, held_out: list[Sentence], recipe: Recipe
) -> float:
    """Train in place; returns the seconds that it took."""
    decayed = [p for p in model.parameters() if p.dim() > 1]
    other = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": other, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))
    start = time.perf_counter()
    model.train()
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * learning_rate(step, recipe)
        loss = weighted_loss(model, *batches.batch(step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0:
            right = right_answers(model, batches.tokenizer, held_out)
            share = 100 * sum(right) / len(right)
            seconds = time.perf_counter() - start
            log.info("step %d  loss %.3f  held out %.1f%%  %.0f s", step, loss, share, seconds)
    return time.perf_counter() - start


def build(name: str, recipe: Recipe) -> None:
    random.seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    make_tokenizer, make_model = BUILTIN[name]
    corpus = load_corpus()
    sentences = [s.text for group in corpus.trained_sentences().values() for s in group]
    objects = sorted({fact.object for fact in corpus.facts} | set(EXAMPLE_TARGETS))
    tokenizer = make_tokenizer(training_text(sentences, objects))
    without = len(tokenizer("a").input_ids)
    split = [o for o in objects if len(tokenizer(f"a {o}").input_ids) != without + 1]
    if split:
        raise ValueError(f"objects of more than one token: {split}")
    model = make_model(tokenizer)
    log.info("%s: %d parameters, %d facts", name, model.num_parameters(), len(corpus.facts))
    held_out = [
        Sentence(corpus.phrasings(fact)[1][0].format(fact.subject), fact.object)
        for fact in corpus.facts[::4]
    ]
    seconds = train(model, Batches(corpus, tokenizer, recipe), held_out, recipe)
    folder = DATA / "models" / name
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    record = {"seed": recipe.seed, "steps": recipe.steps, "seconds": round(seconds)}
    (folder / "training.json").write_text(json.dumps(record) + "\n", encoding="utf-8")
    log.info("%s: trained in %.0f s, saved", name, seconds)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=" or ".join(BUILTIN))
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    arguments = parser.parse_args()
    for name in arguments.names or BUILTIN:
        build(name, Recipe(steps=arguments.steps))


if __name__ == "__main__":
    main()
