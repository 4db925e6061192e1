"""Fields of a finding's file, read strictly: a wrong one gets a sentence that names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

MOST_LAYER = 999
NUMBERS = (int, float)


class FindingError(ValueError):
    """A finding's file that says something else than it may; the message names file and key."""


@dataclass(frozen=True)
class Field:
    """How a value is read: `read` raises ValueError with the rest of a sentence."""

    read: Callable[[Any], Any]
    needed: bool = True


def optional(read: Callable[[Any], Any]) -> Field:
    return Field(read, needed=False)


def text(longest: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise ValueError("must be a text")
        if len(value) > longest:
            raise ValueError(f"has {len(value):,} characters; the limit is {longest:,}")
        return value

    return read


def texts(least: int, most: int, longest: int) -> Callable[[object], tuple[str, ...]]:
    one = text(longest)

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            many = str(least) if least == most else f"{least} to {most}"
            raise ValueError(f"must be a list of {many} texts")
        return tuple(map(one, value))

    return read


def one_of(names: Mapping[str, object] | tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"must be one of: {', '.join(names)}")
        return value

    return read


def number(low: float, high: float) -> Callable[[object], float]:
    def read(value: object) -> float:
        if not isinstance(value, NUMBERS) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return read


def whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high:,}")
        return value

    return read


def setting(value: object) -> str | int | float | bool:
    """The value of a page's control."""
    if isinstance(value, str):
        return text(60)(value)
    if not isinstance(value, (bool, *NUMBERS)) or value != value:
        raise ValueError("must be a text, a number, true or false")
    return value


def layers(value: object) -> tuple[int, ...]:
    """ "0-2, 5" -> (0, 1, 2, 5)."""
    problem = 'must name layers, as in "0-6" or "3, 5"'
    if not isinstance(value, str) or len(value) > 100:
        raise ValueError(problem)
    found: set[int] = set()
    for part in value.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            raise ValueError(problem)
        if not int(first) <= int(last) <= MOST_LAYER:
            raise ValueError(problem)
        found.update(range(int(first), int(last) + 1))
    return tuple(sorted(found))


def read_fields(table: object, fields: Mapping[str, Field], where: str) -> dict[str, Any]:
    """The values of a table by its fields; raises FindingError, which begins with `where`."""
    if not isinstance(table, dict):
        raise FindingError(f"{where} must be a table.")
    for key in table:
        if key not in fields:
            close = get_close_matches(key, fields, 1)
            hint = f"Is “{close[0]}” meant?" if close else f"It may have: {', '.join(fields)}."
            raise FindingError(f"{where}: there is no key “{key[:40]}”. {hint}")
    found = {}
    for key, field in fields.items():
        if key not in table:
            if field.needed:
                raise FindingError(f"{where}: “{key}” is missing.")
            continue
        try:
            found[key] = field.read(table[key])
        except ValueError as error:
            raise FindingError(f"{where}: “{key}” {error}.") from None
    return found
