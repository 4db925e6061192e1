"""What is measured of a text that an edited model wrote: memit's entropy and reference score, and
whether the new target stands in it."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from core.benchmarking.words import words
from core.errors import PromptError
from core.studies.counterfact import LONGEST_ID, Record, is_whole, opened, read_items

WORD = re.compile(r"\b\w\w+\b")  # of TF-IDF: two characters or more
LONGEST_SNIPPET = 200_000  # characters
MOST_SNIPPETS = 2_000_000
LARGEST_FILE = 1 << 30  # bytes


def memit_text(text: str) -> str:
    """A generated text as memit keeps it: accents apart from their letters (NFKD), an empty line
    made a space, GPT-2's end of text left out."""
    plain = unicodedata.normalize("NFKD", text)
    return plain.replace("\n\n", " ").replace("<|endoftext|>", "")


def ngram_entropy(text: str) -> float:
    """H2/3 + 2 H3/3 in bits, H_n the entropy of a text's word n-grams; 0 for one or two words.

    memit weights them 2/3 and 4/3 and takes their mean, and prints a hundredfold. A model that
    repeats itself has a low one. Words are those of core/benchmarking/words.py.
    """
    found = words(memit_text(text))
    return entropy(found, 2) / 3 + entropy(found, 3) * 2 / 3


def entropy(found: Sequence[str], n: int) -> float:
    """The entropy in bits of how often each n-gram of the words comes; 0 where there is none."""
    counts = Counter(zip(*(found[start:] for start in range(n)), strict=False))
    total = counts.total()
    return sum(-count / total * math.log2(count / total) for count in counts.values())


def writes(text: str, target: str, prompt: str = "") -> bool:
    """Whether the target stands in what was written after the prompt, as whole words.

    A prompt with which the text begins is taken off. Case counts, for "apple" is no "Apple"; only
    the first letter may be a capital where the target's is small, as at the start of a sentence.
    """
    wanted = target.split()
    if not wanted:
        return False
    first = wanted[0]
    either = f"(?:{re.escape(first)}|{re.escape(first[0].upper() + first[1:])})"
    pattern = r"\s+".join([either, *map(re.escape, wanted[1:])])
    return re.search(rf"(?<!\w){pattern}(?!\w)", text.removeprefix(prompt)) is not None


@dataclass(frozen=True)
class Snippets:
    """Texts about the subjects that share an object, by (relation, object): ("P103", "Q1860")."""

    texts: Mapping[tuple[str, str], tuple[str, ...]] = field(repr=False)

    def __len__(self) -> int:
        return sum(map(len, self.texts.values()))


def load_snippets(source: str | Path | BinaryIO) -> Snippets:
    """Read memit's attribute_snippets.json: [{relation_id, target_id, samples: [{name, text}]}].

    Also as JSONL. Raises PromptError for a file that is not there, is too large, or has another
    form; the message says in which entry.
    """
    texts: dict[tuple[str, str], list[str]] = {}
    total = 0
    with opened(source) as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size > LARGEST_FILE:
            raise PromptError(
                f"The snippets' file has {size:,} bytes; at most {LARGEST_FILE:,}. Choose memit's "
                "attribute_snippets.json."
            )
        for index, item in enumerate(read_items(file)):
            key, found = parse_snippets(item, index)
            total += len(found)
            if total > MOST_SNIPPETS:
                raise PromptError(f"The file has more than {MOST_SNIPPETS:,} snippets.")
            texts.setdefault(key, []).extend(found)
    if not total:
        raise PromptError("The file holds no snippet. Choose memit's attribute_snippets.json.")
    return Snippets({key: tuple(found) for key, found in texts.items()})


def parse_snippets(item: object, index: int) -> tuple[tuple[str, str], list[str]]:
    if isinstance(item, ValueError):
        raise PromptError(f"Entry {index} of the snippets: {item}.")
    entry = item if isinstance(item, dict) else {}
    key = (entry.get("relation_id"), entry.get("target_id"))
    if not all(isinstance(name, str) and len(name) <= LONGEST_ID for name in key):
        raise PromptError(
            f"Entry {index} of the snippets has no relation_id and target_id. Choose memit's "
            "attribute_snippets.json."
        )
    samples = entry.get("samples")
    found = [s.get("text") if isinstance(s, dict) else None for s in as_list(samples)]
    if not isinstance(samples, list) or not all(map(is_snippet, found)):
        raise PromptError(
            f"Entry {index} of the snippets has samples that are no texts of at most "
            f"{LONGEST_SNIPPET:,} characters. Choose memit's attribute_snippets.json."
        )
    return key, found


def as_list(value: object) -> list:
    return value if isinstance(value, list) else []


def is_snippet(text: object) -> bool:
    return isinstance(text, str) and len(text) <= LONGEST_SNIPPET and is_whole(text)


class ReferenceScore:
    """How like a record's generated texts are to texts about what it is now said to be.

    The cosine of their TF-IDF vectors as memit's (sklearn's TfidfVectorizer with its settings:
    lower case, words of two characters or more, idf = ln((1 + n) / (1 + df)) + 1 over all snippets,
    unknown words left out).
    """

    def __init__(self, snippets: Snippets) -> None:
        documents: Counter[str] = Counter()
        for texts in snippets.texts.values():
            for text in texts:
                documents.update(set(WORD.findall(text.lower())))
        self.snippets = snippets
        total = 1 + len(snippets)
        self.idf = {word: math.log(total / (1 + n)) + 1 for word, n in documents.items()}
        self.kept: dict[tuple[str, str], dict[str, float]] = {}

    def score(self, record: Record, texts: Sequence[str]) -> float:
        """The cosine, 0 to 1, of the record's texts joined, as memit keeps them, and its snippets
        joined; NaN where no snippet tells of its relation and new target, 0 where no word is known.
        """
        key = (record.relation, record.target_id)
        if not self.snippets.texts.get(key):
            return float("nan")
        if key not in self.kept:
            self.kept[key] = self.vector(" ".join(self.snippets.texts[key]))
        mine, reference = self.vector(" ".join(map(memit_text, texts))), self.kept[key]
        return min(1.0, sum(value * reference.get(word, 0.0) for word, value in mine.items()))

    def vector(self, text: str) -> dict[str, float]:
        """Each known word's count times its idf, the whole of length 1 (or 0 without a word)."""
        counts = Counter(word for word in WORD.findall(text.lower()) if word in self.idf)
        weights = {word: count * self.idf[word] for word, count in counts.items()}
        length = math.sqrt(sum(value * value for value in weights.values()))
        return {word: value / length for word, value in weights.items()}
