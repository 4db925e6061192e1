"""Which part of the prompt a token belongs to, seen from the subject (Figures 5, 6, 16-21).

The names follow the causal-tracing literature. Every token gets exactly one segment.
"""

from __future__ import annotations

import re

import pandas as pd

from core.errors import PromptError
from core.model.language_model import LanguageModel

BEFORE, FIRST, MIDDLE, LAST_OF_SUBJECT, AFTER, FURTHER, LAST = SEGMENTS = (
    "before subject",
    "first subject token",
    "middle subject tokens",
    "last subject token",
    "first token after subject",
    "further tokens",
    "last token",
)

LONGEST_NAMED = 200  # characters of a subject that a message repeats
CAPITALISED = re.compile(r"[^\W\d_][\w'’.-]*|\d[\w'’.-]*")
# Words that may stand inside a name, but neither begin nor end it: "Bank of England".
JOINING = {"of", "the", "de", "la", "le", "von", "van", "der", "and", "al", "bin", "da", "del"}


def segments(model: LanguageModel, prompt: str, subject: str) -> tuple[str, ...]:
    """The segment of each prompt token, BOS included: one of SEGMENTS.

    The last prompt token is "last token", whatever else it is. A subject of one token is the
    "last subject token", where the literature looks for the fact. BOS is "before subject".
    Raises PromptError if the subject is not in the prompt.
    """
    inside = subject_tokens(model, prompt, subject)
    n = len(model.encode(prompt))
    names = [BEFORE if i < inside.start else FURTHER for i in range(n)]
    names[inside.start : inside.stop] = [MIDDLE] * len(inside)
    names[inside.start] = FIRST
    names[inside.stop - 1] = LAST_OF_SUBJECT
    if inside.stop < n:
        names[inside.stop] = AFTER
    names[-1] = LAST
    return tuple(names)


def subject_tokens(model: LanguageModel, prompt: str, subject: str) -> range:
    """The positions of the tokens that hold a character of the subject.

    Raises PromptError if the subject is not in the prompt.
    """
    start, end = find_subject(prompt, subject)
    offsets = model.offsets(prompt)
    inside = [i for i, (left, right) in enumerate(offsets) if max(left, start) < min(right, end)]
    if not inside:
        raise PromptError(f"No token of the prompt stands for the subject {subject!r}.")
    return range(inside[0], inside[-1] + 1)


def find_subject(prompt: str, subject: str) -> tuple[int, int]:
    """Where the subject stands in the prompt: the characters [start, end).

    Its first occurrence as a whole word, else its first. Raises PromptError if there is none.
    """
    wanted = subject.strip()
    if not wanted:
        raise PromptError("The subject is empty. Copy the words that the sentence is about.")
    first = start = prompt.find(wanted)
    while start >= 0 and not stands_alone(prompt, start, start + len(wanted)):
        start = prompt.find(wanted, start + 1)
    start = start if start >= 0 else first
    if start < 0:
        named = wanted if len(wanted) <= LONGEST_NAMED else f"{wanted[:LONGEST_NAMED]}…"
        raise PromptError(f"The subject {named!r} is not in the prompt. Copy it from there.")
    return start, start + len(wanted)


def stands_alone(prompt: str, start: int, end: int) -> bool:
    """Whether no letter, digit or underscore touches the characters [start, end)."""
    around = prompt[max(0, start - 1) : start] + prompt[end : end + 1]
    return not any(character.isalnum() or character == "_" for character in around)


def propose_subject(prompt: str) -> str:
    """A guess at what the prompt is about: its longest span of capitalised words, else its first
    word; empty for a prompt without a letter or digit."""
    spans: list[tuple[int, int]] = []
    joinable = False
    words = list(CAPITALISED.finditer(prompt))
    for i, word in enumerate(words):
        text = word.group()
        adjacent = i > 0 and same_phrase(prompt, words[i - 1], word)
        if text[0].isupper() or (text[0].isdigit() and joinable and adjacent):
            if joinable and adjacent:
                spans[-1] = (spans[-1][0], word.end())
            else:
                spans.append((word.start(), word.end()))
            joinable = True
        else:
            joinable = joinable and adjacent and text in JOINING
    if not spans:
        spans = [(word.start(), word.end()) for word in words[:1]]
    # A sentence's first word is capitalised whatever it is: another name of the same length wins.
    best = max(spans, key=lambda span: (span[1] - span[0], span[0]), default=(0, 0))
    return prompt[slice(*best)].rstrip(".-'’")


def same_phrase(prompt: str, word: re.Match, following: re.Match) -> bool:
    """Whether only spaces stand between two words, and no full stop, but for initials'."""
    between = prompt[word.end() : following.start()]
    return not between.strip() and (not word.group().endswith(".") or "." in word.group()[:2])


def segment_means(table: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """A table of core's with one row a token, averaged over the tokens of each segment.

    `names` is what `segments` returned for the prompt. Keys (layer, module, matrix) stay, numbers
    become means in which missing values do not count; the columns position (the segment's place in
    SEGMENTS), token (its name) and tokens (how many) take the place of the token's.
    """
    keys = [name for name in ("layer", "module", "matrix") if name in table]
    values = [
        name
        for name in table.select_dtypes(include="number").columns
        if name not in (*keys, "position")
    ]
    placed = table[[*keys, *values]].astype(dict.fromkeys(values, "Float64"))
    placed["position"] = [SEGMENTS.index(names[position]) for position in table["position"]]
    grouped = placed.groupby([*keys, "position"], sort=False)
    means = grouped[values].mean().reset_index()
    means["token"] = [SEGMENTS[position] for position in means["position"]]
    means["tokens"] = grouped.size().to_numpy()
    means.attrs = dict(table.attrs)
    return means
