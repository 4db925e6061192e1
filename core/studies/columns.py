"""Which column of a table of prompts is what: by its header, or by its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from core.studies.workbook import column_letters

FIELDS = ("prompt", "target", "subject", "answer", "group")  # in the order of a table without names
# How people name each column, the plainest name first; a table's own names for them are English,
# German, French and Spanish.
NAMES = {
    "prompt": "prompt|prompts|sentence|sentences|stimulus|stimuli|text|texts|input|context|"
    "beginning|satz|sätze|satzanfang|phrase|phrases|amorce|début|frase|frases|oración|texto",
    "target": "target|targets|target new|new target|target word|should say|it should say|"
    "what it should say|new word|new|next word|completion|continuation|word|ziel|zielwort|"
    "soll sagen|fortsetzung|wort|cible|mot cible|suite|mot|objetivo|palabra",
    "subject": "subject|subjects|entity|entities|about|subjekt|entität|sujet|entité|sujeto|entidad",
    "answer": "true answer|answer|target true|true target|ground truth|correct answer|"
    "right answer|correct|true|right|truth|gold|antwort|richtige antwort|wahre antwort|richtig|"
    "réponse|bonne réponse|vraie réponse|respuesta|respuesta correcta",
    "group": "group|groups|category|categories|condition|conditions|class|type|gruppe|kategorie|"
    "bedingung|groupe|catégorie|condición|grupo|categoría",
}
SYNONYMS = {name: {word: i for i, word in enumerate(NAMES[name].split("|"))} for name in FIELDS}
LONGEST_HEADER = 60  # characters


@dataclass(frozen=True)
class Columns:
    """Where each field stands. `read_as` is (field, what its column is called) for people."""

    places: dict[str, int]
    read_as: tuple[tuple[str, str], ...]
    unused: tuple[str, ...] = ()  # columns of a header that are nothing of a prompt's
    named: bool = True  # whether there is a header
    width: int = field(default=2, compare=False)  # cells of a usual row


def plain_name(cell: str) -> str:
    """A header in any case, with other spaces and marks, as SYNONYMS has it."""
    words = re.sub(r"\(.*?\)|\[.*?\]", " ", cell[: 2 * LONGEST_HEADER])
    return " ".join(re.sub(r"[\W_]+", " ", words).casefold().split())


def header_columns(row: Sequence[str]) -> Columns | None:
    """The columns by their names; None where the row does not name a prompt and a target.

    Where only an answer is named, it is what the model should say.
    """
    names = [plain_name(cell) for cell in row]
    places: dict[str, int] = {}
    for what in FIELDS:
        known = [(SYNONYMS[what][n], i) for i, n in enumerate(names) if n in SYNONYMS[what]]
        if known:
            places[what] = min(known)[1]
    if "target" not in places and "answer" in places:
        places["target"] = places.pop("answer")
    if not {"prompt", "target"} <= places.keys():
        return None
    taken = set(places.values())
    width = max((i + 1 for i, cell in enumerate(row) if cell.strip()), default=0)
    return Columns(
        places,
        tuple((w, row[places[w]].strip()[:LONGEST_HEADER]) for w in FIELDS if w in places),
        tuple(
            cell.strip()[:LONGEST_HEADER]
            for i, cell in enumerate(row)
            if cell.strip() and i not in taken
        ),
        width=width,
    )


def columns_by_place(rows: Iterable[Sequence[str]]) -> Columns:
    """The first columns that hold anything, in the order of FIELDS."""
    lengths: dict[int, int] = {}
    filled: set[int] = set()
    for row in rows:
        here = [i for i, cell in enumerate(row) if cell.strip()]
        filled.update(here)
        if here:
            lengths[here[-1] + 1] = lengths.get(here[-1] + 1, 0) + 1
    width = max(lengths, key=lambda size: (lengths[size], -size), default=2)
    used = sorted(i for i in filled if i < max(width, 2))[: len(FIELDS)]
    places = dict(zip(FIELDS, used, strict=False))
    read_as = tuple((what, f"column {column_letters(i + 1)}") for what, i in places.items())
    return Columns(places, read_as, named=False, width=width)
