"""A table of a lesson's file, read strictly: what is missing, mistyped or unknown is a sentence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

NO_DEFAULT = object()
MOST_LETTERS = 1200


class LessonError(ValueError):
    """A lesson's file that cannot be used; a whole sentence that names the file and the key."""


class Section:
    """One table; every key must be asked for, or `done` says that it is unknown."""

    def __init__(self, table: Mapping[str, object], where: str) -> None:
        self.table, self.where = table, where
        self.asked: set[str] = set()

    def fail(self, key: str, wrong: str) -> LessonError:
        return LessonError(f"{self.where}, {key}: {wrong}")

    def get(self, key: str, kind: type | tuple[type, ...], named: str, default: object) -> object:
        self.asked.add(key)
        if key not in self.table:
            if default is NO_DEFAULT:
                close = [k for k in get_close_matches(key, self.table, 1) if k not in self.asked]
                hint = f" There is {quoted(close[0])}: is {key} meant?" if close else ""
                raise self.fail(key, f"this is missing; it must be {named}.{hint}")
            return default
        value = self.table[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.fail(key, f"this must be {named}.")
        return value

    def text(self, key: str, default: object = NO_DEFAULT, most: int = MOST_LETTERS) -> str:
        value = self.get(key, str, 'a text in quotes, as in "…"', default)
        text = " ".join(value.split()) if isinstance(value, str) else ""
        if key in self.table and not text:
            raise self.fail(key, "this text is empty. Write it, or leave the line out.")
        if len(text) > most:
            raise self.fail(key, f"this has {len(text):,} letters; at most {most:,} are allowed.")
        return text

    def one_of(self, key: str, names: Collection[str], default: object = NO_DEFAULT) -> str:
        value = self.get(key, str, "one of " + ", ".join(map(shown, names)), default)
        if key in self.table and value not in names:
            close = get_close_matches(value, names, 1)
            hint = f" Is {shown(close[0])} meant?" if close else ""
            known = ", ".join(map(shown, names))
            raise self.fail(key, f"{quoted(value)} is not known; it must be one of {known}.{hint}")
        return value

    def number(self, key: str, default: object = NO_DEFAULT) -> float | None:
        value = self.get(key, (int, float), "a number, as in 3 or 0.5", default)
        if isinstance(value, int | float) and not -1e9 < value < 1e9:  # nan too
            raise self.fail(key, "this number is too large, or none.")
        return value

    def texts(self, key: str, default: object = NO_DEFAULT, most: int = 12) -> tuple[str, ...]:
        named = 'a list of texts, as in ["…", "…"]'
        values = self.get(key, list, named, default)
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise self.fail(key, f"this must be {named}, none of them empty.")
        if key in self.table and not values:
            raise self.fail(key, f"this list is empty; it must be {named}.")
        if len(values) > most:
            raise self.fail(key, f"this list has {len(values)} texts; at most {most} are allowed.")
        long = max(map(len, values), default=0)
        if long > MOST_LETTERS:
            raise self.fail(key, f"a text has {long:,} letters; at most {MOST_LETTERS:,} do.")
        return tuple(values)

    def section(self, key: str) -> Section:
        value = self.get(key, dict, f"a part of its own, beginning with [{key}]", NO_DEFAULT)
        return Section(value, f"{self.where}, [{key}]")

    def sections(self, key: str, *, needed: bool = True, most: int = 30) -> list[Section]:
        named = f"one part or more, each beginning with [[{key}]]"
        values = self.get(key, list, named, NO_DEFAULT if needed else [])
        if not all(isinstance(value, dict) for value in values) or (needed and not values):
            raise self.fail(key, f"this must be {named}.")
        if len(values) > most:
            raise self.fail(key, f"there are {len(values)} of these; at most {most} are allowed.")
        return [Section(v, f"{self.where}, [[{key}]] {i}") for i, v in enumerate(values, 1)]

    def done(self) -> None:
        """Raises LessonError for a key that nobody asked for."""
        for key in self.table:
            if key not in self.asked:
                close = get_close_matches(key, self.asked, 1)
                hint = f" Is {close[0]} meant?" if close else ""
                known = ", ".join(sorted(self.asked))
                raise self.fail(
                    quoted(key), f"this key is not known here.{hint} Known ones: {known}."
                )


def quoted(text: str) -> str:
    return f"“{text if len(text) <= 60 else text[:59] + '…'}”"


def shown(name: str) -> str:
    """A name in a list; Start's path is empty."""
    return name or '""'
