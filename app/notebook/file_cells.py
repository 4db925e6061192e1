"""A kept cell as values of JSON, and back from a file of anybody's: every value of its kind."""

from __future__ import annotations

import math
import re

from app.charts.foreign import is_a_chart_of_ours
from app.notebook.kept import (
    Columns,
    KeptCell,
    KeptChart,
    KeptEdit,
    compressed,
    unpacked,
    written,
)
from app.notebook.mine import new_id

KEY = re.compile(r"[A-Za-z0-9_.-]{1,80}")
PATH = re.compile(r"[a-z_]{0,60}")
EDIT_ID = re.compile(r"[0-9a-f]{16}")
WORDS, LINE, CODE = 20_000, 1_000, 200_000  # characters
MOST_CHARTS, MOST_FINDINGS, MOST_EDITS, MOST_SETTINGS, MOST_COLUMNS = 12, 20, 40, 60, 500
LONGEST_LIST = 10_000


def cell_values(cell: KeptCell) -> dict[str, object]:
    return {
        "key": cell.key,
        "title": cell.title,
        "words": cell.words,
        "findings": list(cell.findings),
        "charts": [chart_values(chart) for chart in cell.charts],
        "table": cell.columns,
        "code": cell.code,
        "asked": {name: value for name, value in vars(cell.asked).items() if value},
        "settings": dict(cell.settings),
        "edits": [{"id": edit.id, "name": edit.name} for edit in cell.edits],
        "path": cell.path,
        "made": cell.made,
    }


def chart_values(chart: KeptChart) -> dict[str, object]:
    return {
        "name": chart.name,
        "alt": chart.alt,
        "fit": chart.fit,
        "light": chart.light and unpacked(chart.light),
        "dark": chart.dark and unpacked(chart.dark),
    }


def cell_from(values: dict) -> KeptCell:
    """Raises ValueError, TypeError, KeyError or AttributeError for what is no cell. What the cell
    asked is read from its code; "asked" is there for other readers."""
    settings = values["settings"].items()
    return KeptCell(
        id=new_id(),
        key=matched(KEY, values["key"]),
        title=text(values["title"], LINE),
        words=text(values["words"], WORDS),
        findings=tuple(text(f, WORDS) for f in some(values["findings"], MOST_FINDINGS)),
        charts=charts_from(some(values["charts"], MOST_CHARTS)),
        table=compressed(written(columns(values["table"]))),
        code=text(values["code"], CODE),
        settings={text(n, LINE): text(v, LINE) for n, v in some(list(settings), MOST_SETTINGS)},
        edits=tuple(
            KeptEdit(matched(EDIT_ID, edit["id"]), text(edit["name"], WORDS))
            for edit in some(values["edits"], MOST_EDITS)
        ),
        path=matched(PATH, values["path"]),
        made=text(values["made"], 60),
    )


def charts_from(charts: list) -> tuple[KeptChart, ...]:
    """A chart that is none of ours keeps its name and description, and is not drawn."""
    if len({chart["name"] for chart in charts}) < len(charts):
        raise ValueError("two charts of one name")
    return tuple(
        KeptChart(
            matched(KEY, chart["name"]),
            text(chart["alt"], WORDS),
            chart["fit"] is True,
            *(spec_from(chart[theme]) for theme in ("light", "dark")),
        )
        for chart in charts
    )


def spec_from(spec: object) -> bytes | None:
    return compressed(written(spec)) if spec is not None and is_a_chart_of_ours(spec) else None


def columns(table: dict) -> Columns:
    """Columns of one length, of plain values and lists of them."""
    if len(table) > MOST_COLUMNS or len({len(values) for values in table.values()}) > 1:
        raise ValueError("no table")
    return {
        text(name, LINE): [plain(v) for v in some(list(values))] for name, values in table.items()
    }


def plain(value: object, within: bool = False) -> object:
    if isinstance(value, list) and not within:
        return [plain(part, True) for part in some(value, LONGEST_LIST)]
    if isinstance(value, str):
        return text(value, WORDS)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("no finite number")
    if isinstance(value, int) and abs(value) > 2**53:
        raise ValueError("a number that no table has")
    if value is not None and not isinstance(value, bool | int | float):
        raise ValueError("no plain value")
    return value


def text(value: object, most: int) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError("no text of a sensible length")
    value.encode("utf-8")  # half of a character is an error
    return value


def matched(pattern: re.Pattern, value: object) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError("no name of its kind")
    return value


def some(values: object, most: int | None = None) -> list:
    if not isinstance(values, list) or (most is not None and len(values) > most):
        raise ValueError("no list of a sensible length")
    return values
