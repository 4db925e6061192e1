"""A kept table as HTML: every number as it is, every text escaped."""

from __future__ import annotations

from app.notebook.csv import LIST_SEPARATOR
from app.notebook.kept import Columns
from app.notebook.markdown import escaped

MOST_ROWS = 1000


def table_html(columns: Columns, most: int = MOST_ROWS) -> str:
    """At most so many rows; it says how many there are."""
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in columns)
    rows = [
        "<tr>" + "".join(f"<td>{escaped(shown(value))}</td>" for value in row) + "</tr>"
        for row in zip(*(values[:most] for values in columns.values()), strict=True)
    ]
    total = len(next(iter(columns.values()), []))
    more = f"<p>The first {most:,} of {total:,} rows.</p>" if total > most else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}"


def shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return LIST_SEPARATOR.join(map(shown, value)) if isinstance(value, list) else str(value)
