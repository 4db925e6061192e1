"""From what a user typed to the model's tokens, and back to text that can be shown."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from core.errors import PromptError

WORD_MARK = "▁"
SPACES = " \t\r\n\u00a0"


@dataclass(frozen=True)
class Target:
    """The word that the model should say after a prompt.

    `typed` is the user's text; `ids` and `tokens` are what the tokenizer makes of it after the
    prompt, with one leading space. Every result is about the first token, `id`.
    """

    typed: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]

    @property
    def id(self) -> int:
        return self.ids[0]

    @property
    def token(self) -> str:
        return self.tokens[0]

    @property
    def note(self) -> str:
        """A sentence for a longer target, empty for a target of one token."""
        if len(self.ids) == 1:
            return ""
        return (
            f"{self.typed!r} is {len(self.ids)} tokens for this model; "
            f"every number is about the first one, {self.token!r}."
        )


def byte_characters() -> dict[str, int]:
    """GPT-2's alphabet: the printable character that stands for each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(256 + i): byte for i, byte in enumerate(other)})
    return table


_BYTES = byte_characters()


def is_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    return "ByteLevel" in str(tokenizer.backend_tokenizer.decoder)


def piece_text(piece: str, byte_level: bool) -> str:
    """The text of one vocabulary piece, its leading space kept.

    Bytes that are no text of their own (a part of an emoji) are written as \\xf0.
    """
    if not byte_level:
        return piece.replace(WORD_MARK, " ")
    if not all(character in _BYTES for character in piece):
        return piece  # a special token such as <|endoftext|>
    raw = bytes(_BYTES[character] for character in piece)
    return raw.decode("utf-8", errors="backslashreplace")


def check_text(text: str, what: str) -> None:
    """Refuse empty text and text that cannot be encoded, with a sentence that says so."""
    if not text.strip():
        empty = "empty" if not text else "only spaces"
        raise PromptError(f"The {what} is {empty}. Type at least one word.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PromptError(
            f"Character {error.start + 1} of the {what} is half of a character. Delete it and "
            "type it again."
        ) from None


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str, limit: int) -> tuple[int, ...]:
    """Token ids of the prompt, with BOS where the model has one.

    Raises PromptError for an empty prompt and for one of more than `limit` tokens.
    """
    check_text(prompt, "prompt")
    ids = tuple(tokenizer(prompt, verbose=False).input_ids)
    if len(ids) > limit:
        raise PromptError(
            f"The prompt is {len(ids)} tokens long; this model reads at most {limit}. Shorten it."
        )
    return ids


def encode_target(tokenizer: PreTrainedTokenizerBase, prompt: str, typed: str) -> tuple[int, ...]:
    """Token ids of the target as they follow the prompt: ids(prompt + target) less ids(prompt).

    One leading space is added if there is none. Llama would otherwise put a second BOS, or a lone
    word mark, in front.
    """
    check_text(typed, "target")
    target = typed if typed.startswith(" ") else f" {typed}"
    before = tokenizer(prompt, verbose=False).input_ids
    after = tokenizer(prompt + target, verbose=False).input_ids
    if after[: len(before)] == before and len(after) > len(before):
        return tuple(after[len(before) :])
    # The target melts into the prompt's last token: read it after a plain word instead.
    stem = tokenizer("a", verbose=False).input_ids
    return tuple(tokenizer("a" + target, verbose=False).input_ids[len(stem) :])


def token_offsets(tokenizer: PreTrainedTokenizerBase, prompt: str) -> tuple[tuple[int, int], ...]:
    """The characters [start, end) of the prompt that each token stands for; empty for BOS."""
    encoded = tokenizer(prompt, verbose=False, return_offsets_mapping=True)
    pieces = tokenizer.convert_ids_to_tokens(encoded.input_ids)
    return tuple(
        # A lone word mark in front is no character of the prompt, unless it stands there itself.
        (start, start)
        if piece == WORD_MARK and prompt[start:end].strip(WORD_MARK + SPACES)
        else (start, end)
        for piece, (start, end) in zip(pieces, encoded.offset_mapping, strict=True)
    )
