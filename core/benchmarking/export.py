"""A benchmark's table to take along: CSV for programs, LaTeX and Markdown for papers and notes.

Each takes a benchmark, or its table (core.benchmarking.means.table_of), and writes the same bytes
for the same numbers.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from core.benchmarking.published import PUBLISHED, SOURCE

PRINTED = (  # the paper's columns, then what such tables hide
    "efficacy_acc",
    "paraphrase_acc",
    "neighbourhood_acc",
    "score",
    "generated",
    "negation",
    "reversed_acc",
    "entropy",
    "perplexity",
)
HEADINGS = {
    "efficacy_acc": "Efficacy",
    "paraphrase_acc": "Paraphrase",
    "neighbourhood_acc": "Neighbourhood",
    "efficacy_success": "Efficacy (success)",
    "paraphrase_success": "Paraphrase (success)",
    "neighbourhood_success": "Neighbourhood (success)",
    "efficacy_diff": "Efficacy (magnitude)",
    "paraphrase_diff": "Paraphrase (magnitude)",
    "neighbourhood_diff": "Neighbourhood (magnitude)",
    "score": "Score",
    "kept": "Answers kept",
    "generated": "Writes it",
    "negation": "Negation",
    "reversed_acc": "Reversed",
    "reversed_success": "Reversed (success)",
    "entropy": "n-gram entropy",
    "reference": "Reference",
    "perplexity": "Perplexity",
    "seconds": "Seconds",
    "bytes": "Kilobytes",
}
FACTORS = dict.fromkeys(HEADINGS, 100.0) | {"perplexity": 1.0, "seconds": 1.0, "bytes": 1e-3}
OWN = "this benchmark"
DAGGER = "†"
NOTE = f"{DAGGER} as published: {SOURCE}. Its model and records are not those of the other rows."
READING = (
    "Means over records with 95% intervals; shares in percent, entropy in hundredths of a bit. "
    "Efficacy, paraphrase and neighbourhood are argmax accuracies; score is the harmonic mean of "
    "the three success rates."
)
FORMULA = tuple("=+-@\t\r＝＋－＠")  # a spreadsheet takes what begins so for a formula


@dataclass(frozen=True)
class Line:
    """One printed row. `cells`: for each measure its mean, low and high as text, "" for none; an
    interval without width is none."""

    title: str
    records: int
    cells: tuple[tuple[str, str, str], ...]


def table_in(benchmark: object) -> pd.DataFrame:
    return benchmark if isinstance(benchmark, pd.DataFrame) else benchmark.table


def lines(benchmark: object, measures: Sequence[str], published: bool) -> list[Line]:
    """The benchmark's rows in their order, after each the published ones that compare with it;
    published ones that compare with none come last."""
    rows = table_in(benchmark).to_dict("records")
    theirs = PUBLISHED.to_dict("records") if published else []
    own = [row["method"] for row in rows]
    beside: dict[str, list[dict]] = {}
    for row in theirs:
        beside.setdefault(row_beside(row["method"], own), []).append(row)
    found = []
    for row in rows:
        found.append(line(row, measures, False))
        found += [line(other, measures, True) for other in beside.pop(row["method"], [])]
    return found + [line(other, measures, True) for other in beside.pop("", [])]


def row_beside(method: str, own: Sequence[str]) -> str:
    """The spec after which a published method's row stands: itself, else the last one of the same
    method with other settings, else none ("")."""
    if method in own:
        return method
    same = [spec for spec in own if spec.partition(":")[0] == method.partition(":")[0]]
    return same[-1] if same else ""


def line(row: Mapping[str, object], measures: Sequence[str], published: bool) -> Line:
    cells = tuple(cell(row, name) for name in measures)
    title = f"{row['title']} {DAGGER}" if published else str(row["title"])
    return Line(title, int(row["records"]), cells)


def cell(row: Mapping[str, object], name: str) -> tuple[str, str, str]:
    mean, low, high = (
        number(row.get(f"{name}{end}", math.nan), name) for end in ("", "_low", "_high")
    )
    return (mean, "", "") if low == high else (mean, low, high)


def number(value: float, measure: str) -> str:
    """One decimal, in percent where it is a share; "" where it was not measured."""
    value = float(value) * FACTORS[measure]
    if math.isnan(value):
        return ""
    half_up = value + math.copysign(1e-9, value)  # 41.55 is 41.6, whatever its last bit
    return f"{half_up:,.1f}" if math.isfinite(value) else "endless"


def as_csv(benchmark: object, *, published: bool = True) -> bytes:
    """All columns of the table, shares from 0 to 1 and entropy in bits; `source` tells whose row
    it is. UTF-8 with its mark, for spreadsheets."""
    table = table_in(benchmark)
    rows = [table.assign(source=OWN)]
    if published:
        rows.append(PUBLISHED)
    whole = pd.concat(rows, ignore_index=True)[[*table.columns, "source"]]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(whole.columns)
    for row in whole.itertuples(index=False):
        writer.writerow([csv_cell(value) for value in row])
    return text.getvalue().encode("utf-8-sig")


def csv_cell(value: object) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    if pd.isna(value):
        return ""
    return str(int(value)) if float(value).is_integer() else f"{float(value):.8g}"


def as_markdown(
    benchmark: object, *, published: bool = True, measures: Sequence[str] = PRINTED
) -> str:
    """A Markdown table, each mean with its interval: "99.4 (98.1 to 99.9)"."""
    head = ["Method", "Records", *(HEADINGS[name] for name in measures)]
    body = [
        [plain_markdown(one.title), f"{one.records:,}", *map(in_markdown, one.cells)]
        for one in lines(benchmark, measures, published)
    ]
    rule = [":---", *["---:"] * (len(head) - 1)]
    table = [f"| {' | '.join(row)} |" for row in (head, rule, *body)]
    notes = [READING, NOTE] if published else [READING]
    return "\n".join([*table, "", *(f"{plain_markdown(note)}  " for note in notes), ""])


def in_markdown(cell: tuple[str, str, str]) -> str:
    mean, low, high = cell
    return f"{mean} ({low} to {high})" if low and high else mean or "–"


def plain_markdown(text: str) -> str:
    """A text on one line, none of whose characters is read as Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&!])", r"\\\1", " ".join(text.split()))


def as_latex(
    benchmark: object, *, published: bool = True, measures: Sequence[str] = PRINTED
) -> str:
    """A LaTeX table for \\usepackage{booktabs}, each mean over its interval in small print."""
    columns = "l" + "r" * (1 + len(measures))
    head = ["Method", "Records", *(HEADINGS[name] for name in measures)]
    body = [
        [plain_latex(one.title), f"{one.records:,}", *map(in_latex, one.cells)]
        for one in lines(benchmark, measures, published)
    ]
    caption = f"{READING} {NOTE}" if published else READING
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering\small",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            latex_row(map(plain_latex, head)),
            r"\midrule",
            *map(latex_row, body),
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{plain_latex(caption)}}}",
            r"\end{table*}",
            "",
        ]
    )


def latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def in_latex(cell: tuple[str, str, str]) -> str:
    mean, low, high = cell
    return rf"{mean} {{\scriptsize [{low}, {high}]}}" if low and high else mean or "--"


LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # which would be an option at the start of a row
    "]": "{]}",
    DAGGER: r"\textsuperscript{\dag}",
} | {mark: rf"\{mark}" for mark in "&%$#_{}"}


def plain_latex(text: str) -> str:
    """A text on one line, none of whose characters LaTeX reads as its own."""
    return "".join(LATEX.get(character, character) for character in " ".join(text.split()))
