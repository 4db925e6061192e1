"""Targets and token texts, with the built-in tokenizers and, where they are, the real ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from core import PromptError
from core.model.tokens import encode_prompt, encode_target, is_byte_level, piece_text
from tests.conftest import SHARED, tokenizer_of

TOKENIZERS = {name: tokenizer_of(name) for name in ("tiny-gpt2", "tiny-llama2")}
TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)


def text_of(tokenizer, ids) -> str:
    byte_level = is_byte_level(tokenizer)
    return "".join(piece_text(tokenizer.convert_ids_to_tokens(i), byte_level) for i in ids)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_space_is_added_once(name):
    tokenizer = TOKENIZERS[name]
    with_space = encode_target(tokenizer, "Obama grew up in", " Paris")
    assert encode_target(tokenizer, "Obama grew up in", "Paris") == with_space
    assert len(with_space) == 1
    assert text_of(tokenizer, with_space) == " Paris"


def test_llama_targets_have_no_bos_and_no_lone_mark():
    tokenizer = TOKENIZERS["tiny-llama2"]
    prompt = encode_prompt(tokenizer, "Obama grew up in", 80)
    assert prompt[0] == tokenizer.bos_token_id
    target = encode_target(tokenizer, "Obama grew up in", "Paris")
    assert target[0] != tokenizer.bos_token_id
    assert tokenizer.convert_ids_to_tokens(list(target)) == ["▁Paris"]


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(prompt=TEXT, target=TEXT)
def test_any_text_after_any_prompt(name, prompt, target):
    """Whatever is typed: tokens of the target that follow the prompt's, or a sentence."""
    tokenizer = TOKENIZERS[name]
    if not prompt.strip() or not target.strip():
        with pytest.raises(PromptError):
            encode_prompt(tokenizer, prompt, 1000)
            encode_target(tokenizer, prompt, target)
        return
    before = encode_prompt(tokenizer, prompt, 1000)
    ids = encode_target(tokenizer, prompt, target)
    assert ids
    assert before
    whole = tokenizer(prompt + (target if target.startswith(" ") else " " + target)).input_ids
    if tuple(whole[: len(before)]) == before:
        assert (*before, *ids) == tuple(whole)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_token_has_a_text(name):
    tokenizer = TOKENIZERS[name]
    assert all(text_of(tokenizer, [i]) for i in range(len(tokenizer)))


def test_parts_of_a_character_are_shown_as_bytes():
    tokenizer = TOKENIZERS["tiny-gpt2"]
    ids = tokenizer("😀").input_ids
    assert text_of(tokenizer, ids) == r"\xf0\x9f\x98\x80"
    assert text_of(tokenizer, tokenizer(" Pokémon").input_ids) == " Pokémon"
    assert text_of(tokenizer, [tokenizer.eos_token_id]) == "<|endoftext|>"


def test_limits_and_half_characters():
    tokenizer = TOKENIZERS["tiny-gpt2"]
    with pytest.raises(PromptError, match="5 tokens long; this model reads at most 4"):
        encode_prompt(tokenizer, "a a a a a", 4)
    with pytest.raises(PromptError, match="half of a character"):
        encode_prompt(tokenizer, "a\ud800", 4)


@pytest.mark.parametrize("name", ["gpt2", "llama2"])
def test_the_real_tokenizers(name):
    folder = SHARED / "tokenizers" / name
    if not folder.is_dir():
        pytest.skip("the real tokenizers are not on this machine")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = encode_target(tokenizer, "Obama grew up in", "Paris")
    assert ids == {"gpt2": (6342,), "llama2": (3681,)}[name]
    assert text_of(tokenizer, ids) == " Paris"
    prompt = encode_prompt(tokenizer, "Obama grew up in", 80)
    assert text_of(tokenizer, prompt[-1:]) == " in"
    assert len(prompt) == {"gpt2": 4, "llama2": 6}[name]
