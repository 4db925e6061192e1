"""Small tokenizers in the manner of GPT-2 (byte-level) and Llama 2 (word marks, byte fallback).

Objects and example targets must be single tokens: they enter the training text so often that
byte-pair encoding merges each of them whole before anything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

VOCABULARY_SIZE = 4096
WHOLE_WORD_REPEATS = 3000
MARK = "▁"  # the word-start mark of SentencePiece


def training_text(sentences: Iterable[str], whole_words: Iterable[str]) -> list[str]:
    return [*sentences, *(f"a {word}" for word in whole_words for _ in range(WHOLE_WORD_REPEATS))]


def byte_level(text: list[str]) -> PreTrainedTokenizerFast:
    """Like GPT-2's: byte-level BPE, no BOS in front of a prompt."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text, trainer)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=end, eos_token=end)


def word_start_marks(text: list[str]) -> PreTrainedTokenizerFast:
    """Like Llama 2's: a mark at each word's start, bytes for unknown characters, BOS in front."""
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(MARK), behavior="merged_with_next"),
            pre_tokenizers.Split(Regex(rf"[^\p{{L}}\p{{N}}{MARK}]"), behavior="isolated"),
        ]
    )
    normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    special = ["<unk>", "<s>", "</s>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    draft = Tokenizer(models.BPE(unk_token="<unk>"))
    draft.normalizer, draft.pre_tokenizer = normalizer, split
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(byte_tokens), special_tokens=special, show_progress=False
    )
    draft.train_from_iterator(text, trainer)
    learned = json.loads(draft.to_str())["model"]
    pieces = sorted(learned["vocab"], key=learned["vocab"].get)[len(special) :]
    vocabulary = {piece: i for i, piece in enumerate([*special, *byte_tokens, *pieces])}
    tokenizer = Tokenizer(
        models.BPE(
            vocabulary,
            [tuple(merge) for merge in learned["merges"]],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, split
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(MARK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
