"""A kept cell: what it showed and asked, as plain values, packed so that a notebook stays small."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from app.charts.plain import Plain, finite
from app.notebook.asked import Asked, asked_in

Columns = dict[str, list]


def written(value: object) -> bytes:
    """A value in JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def compressed(content: bytes | None) -> bytes | None:
    return None if content is None else zlib.compress(content)


def unpacked(content: bytes) -> object:
    """The value of compressed JSON."""
    return json.loads(zlib.decompress(content))


@dataclass(frozen=True)
class KeptEdit:
    """An edit that was on: the id of its content, empty where only its name is known."""

    id: str
    name: str


@dataclass(frozen=True)
class KeptChart:
    """A picture in one theme or both; `fit` stretches it to the page."""

    name: str
    alt: str
    fit: bool
    light: bytes | None = field(default=None, repr=False)  # a Plain, compressed
    dark: bytes | None = field(default=None, repr=False)

    def spec(self, *, dark: bool) -> tuple[Plain, bool]:
        """The specification in this theme, else in the one there is, and whether it is dark."""
        wanted, other = (self.dark, self.light) if dark else (self.light, self.dark)
        return (unpacked(wanted), dark) if wanted is not None else (unpacked(other), not dark)

    @property
    def size(self) -> int:
        return len(self.light or b"") + len(self.dark or b"")


@dataclass(frozen=True)
class KeptText:
    """What the visitor wrote, in Markdown."""

    id: str
    text: str

    @property
    def size(self) -> int:
        return len(self.text) * 2


@dataclass(frozen=True)
class KeptCell:
    """A cell as it was: `title`, `words` and `findings` are Markdown, `made` is a time (ISO)."""

    id: str
    key: str  # of the cell on its page, which names its files
    title: str
    words: str
    findings: tuple[str, ...]
    charts: tuple[KeptChart, ...]
    table: bytes = field(repr=False)  # Columns, compressed
    code: str
    settings: Mapping[str, str]  # the controls in the link: what the page was set to
    edits: tuple[KeptEdit, ...]
    path: str  # of its page in the URL
    made: str

    @cached_property
    def asked(self) -> Asked:
        return asked_in(self.code)

    @property
    def columns(self) -> Columns:
        return unpacked(self.table)

    @property
    def size(self) -> int:
        texts = (self.title, self.words, self.code, *self.findings, *self.settings.values())
        return len(self.table) + sum(c.size for c in self.charts) + 2 * sum(map(len, texts))

    @property
    def shows(self) -> tuple[object, ...]:
        """What two cells have in common that show the same."""
        drawn = tuple((chart.light, chart.dark) for chart in self.charts)
        return self.key, self.findings, self.table, self.code, drawn


Entry = KeptCell | KeptText


def columns_of(table: pd.DataFrame) -> Columns:
    """A table's columns as lists of JSON's values; missing numbers are None."""
    return {str(name): [plain(value) for value in table[name].tolist()] for name in table.columns}


def plain(value: object) -> object:
    if value is None or value is pd.NA:
        return None
    if isinstance(value, str | bool | int | float):
        return finite(value)
    if isinstance(value, Sequence):
        return [plain(part) for part in value]
    if hasattr(value, "item"):
        return plain(value.item())
    return str(value)


def frame(columns: Columns) -> pd.DataFrame:
    """The kept table again."""
    return pd.DataFrame({name: pd.Series(values) for name, values in columns.items()})
