"""Small networks that nobody tuned for: python -m scripts.train_strangers FOLDER --records FILE

Editing methods must work on models that are not in the project. These know some CounterFact facts
by heart, and differ in architecture, size, seed, facts, tokenizer and tying. Everything is seeded;
each takes a few minutes on one core. Writes FOLDER/<name>/ (safetensors, tokenizer) and in it
facts.json: the records, in EasyEdit's schema, whose prompt the network answers as they say.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from scripts.corpus import DATA
from scripts.tokenizers_builtin import byte_level, word_start_marks

CONTEXT = 128
ANSWER_WEIGHT = 3.0  # the loss on an answer counts so many times that on any other token
log = logging.getLogger("train_strangers")


@dataclass(frozen=True)
class Stranger:
    seed: int
    records: int
    tokenizer: Callable[[list[str]], PreTrainedTokenizerFast]
    network: Callable[[int], PreTrainedModel]
    learning_rate: float = 1e-3


def gpt2(layers: int, width: int, heads: int, tied: bool) -> Callable[[int], PreTrainedModel]:
    def make(vocabulary: int) -> PreTrainedModel:
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocabulary,
                n_positions=CONTEXT,
                n_embd=width,
                n_layer=layers,
                n_head=heads,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=0,
                eos_token_id=0,
                tie_word_embeddings=tied,
            )
        )

    return make


def llama(
    layers: int, width: int, heads: int, kv_heads: int, tied: bool
) -> Callable[[int], PreTrainedModel]:
    def make(vocabulary: int) -> PreTrainedModel:
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=vocabulary,
                max_position_embeddings=CONTEXT,
                hidden_size=width,
                intermediate_size=round(width * 8 / 3 / 16) * 16,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                num_key_value_heads=kv_heads,
                tie_word_embeddings=tied,
                bos_token_id=1,
                eos_token_id=2,
            )
        )

    return make


STRANGERS = {
    "gpt2-8x256": Stranger(11, 240, byte_level, gpt2(8, 256, 8, True)),
    "llama-8x256": Stranger(12, 240, word_start_marks, llama(8, 256, 8, 2, False)),
    "gpt2-6x160": Stranger(13, 200, byte_level, gpt2(6, 160, 5, False), 2e-3),
    "llama-10x192": Stranger(14, 200, byte_level, llama(10, 192, 6, 6, True)),
    # Not looked at while the defaults were chosen.
    "gpt2-12x128": Stranger(21, 160, byte_level, gpt2(12, 128, 4, True), 2e-3),
    "llama-5x320": Stranger(22, 220, word_start_marks, llama(5, 320, 5, 1, True)),
}


def sentences_of(record: dict) -> list[tuple[str, str]]:
    """(prompt, answer) for the fact, its paraphrase and its neighbour."""
    return [
        (record["prompt"], record["ground_truth"]),
        (record["rephrase_prompt"], record["ground_truth"]),
        (record["locality_prompt"], record["locality_ground_truth"]),
    ]


def neutral_sentences() -> list[str]:
    text = (DATA / "perplexity.txt").read_text(encoding="utf-8")
    return [f"{part.strip()}." for part in text.split(".") if part.strip()]


def row_of(
    tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str
) -> tuple[list[int], list[float]]:
    """Ids and loss weights; the answer and the full stop after it are learned hardest."""
    before = tokenizer(prompt).input_ids
    ids = tokenizer(f"{prompt} {answer}.").input_ids[:CONTEXT]
    return ids, [ANSWER_WEIGHT if i >= len(before) else 1.0 for i in range(len(ids))]


def batches(rows: list[tuple[list[int], list[float]]], size: int, rng: random.Random):
    """One epoch of padded batches of similar length: ids and weights, each (row, token)."""
    order = sorted(rng.sample(rows, len(rows)), key=lambda row: len(row[0]))
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    rng.shuffle(groups)
    for group in groups:
        width = max(len(ids) for ids, _ in group)
        yield (
            torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in group]),
            torch.tensor([weights + [0.0] * (width - len(weights)) for _, weights in group]),
        )


def weighted_loss(network: PreTrainedModel, ids: torch.Tensor, weights: torch.Tensor):
    logits = network(input_ids=ids).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.mT, ids[:, 1:], reduction="none")
    return (losses * weights[:, 1:]).sum() / weights[:, 1:].sum()


@torch.no_grad()
def knows(
    network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str
) -> bool:
    """Whether every token of the answer is the most probable one."""
    before = len(tokenizer(prompt).input_ids)
    ids = tokenizer(f"{prompt} {answer}").input_ids
    answers = network(input_ids=torch.tensor([ids])).logits[0].argmax(-1).tolist()
    return answers[before - 1 : -1] == ids[before:]


def train(
    network: PreTrainedModel,
    rows: list,
    stranger: Stranger,
    enough: Callable[[], float],
    limit: float,
) -> None:
    """Until nearly all facts are known, or `limit` seconds."""
    rng, start = random.Random(stranger.seed), time.perf_counter()
    optimizer = torch.optim.AdamW(network.parameters(), lr=stranger.learning_rate)
    for epoch in range(200):
        network.train()
        for step, (ids, weights) in enumerate(batches(rows, 24, rng)):
            warm_up = min(1.0, (epoch * 20 + step + 1) / 60)
            optimizer.param_groups[0]["lr"] = stranger.learning_rate * warm_up
            loss = weighted_loss(network, ids, weights)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        network.eval()
        share, seconds = enough(), time.perf_counter() - start
        log.info("epoch %d  loss %.3f  known %.0f%%  %.0f s", epoch, loss, 100 * share, seconds)
        if share >= 0.97 or seconds > limit:
            return


def build(name: str, stranger: Stranger, folder: Path, records: list[dict], limit: float) -> None:
    torch.manual_seed(stranger.seed)
    facts = random.Random(stranger.seed).sample(records, stranger.records)
    pairs = [pair for record in facts for pair in sentences_of(record)]
    neutral = neutral_sentences()
    tokenizer = stranger.tokenizer(
        [f"{prompt} {answer}." for prompt, answer in pairs]
        + [f"It is {record['target_new']}." for record in facts]
        + neutral
    )
    network = stranger.network(len(tokenizer))
    rows = [row_of(tokenizer, *pair) for pair in pairs] + [
        row_of(tokenizer, s, "") for s in neutral
    ]

    def known() -> list[dict]:
        return [r for r in facts if knows(network, tokenizer, r["prompt"], r["ground_truth"])]

    log.info("%s: %d parameters, %d rows", name, network.num_parameters(), len(rows))
    train(network, rows, stranger, lambda: len(known()) / len(facts), limit)
    network.eval().save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / name)
    (folder / name / "facts.json").write_text(
        json.dumps(known(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    log.info("%s: %d of %d facts known, saved", name, len(known()), len(facts))


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="name", help=" or ".join(STRANGERS))
    parser.add_argument("--records", type=Path, required=True, help="CounterFact, EasyEdit's form")
    parser.add_argument("--seconds", type=float, default=360, help="at most, for each network")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    records = json.loads(arguments.records.read_text(encoding="utf-8"))
    for name in arguments.names or STRANGERS:
        build(name, STRANGERS[name], arguments.folder, records, arguments.seconds)


if __name__ == "__main__":
    main()
