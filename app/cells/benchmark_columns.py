"""The columns of the benchmark's table: what each asks, and how its values are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from app.findings.benchmark import seconds, size
from app.words import number
from core.benchmarking.export import row_beside

PAPER = "GPT-2 XL (paper)"


@dataclass(frozen=True)
class Column:
    """A measure: its title, what it asks and which direction is good, how a value is written."""

    measure: str
    title: str
    asks: str
    written: Callable[[float], str]
    end: Callable[[float], str]  # how an end of the interval is written


def share(measure: str, title: str, asks: str, good: str = "Higher is better.") -> Column:
    return Column(
        measure, title, f"{asks} {good}", lambda v: f"{100 * v:.1f}%", lambda v: f"{100 * v:.0f}"
    )


def points(measure: str, title: str, asks: str) -> Column:
    return Column(
        measure,
        title,
        f"{asks} Higher is better.",
        lambda v: f"{100 * v:+.1f}",
        lambda v: f"{100 * v:.0f}",
    )


def amount(measure: str, title: str, asks: str, written: Callable[[float], str] = number) -> Column:
    return Column(measure, title, asks, written, written)


def hundredfold(value: float) -> str:
    return number(100 * value, 4)


ACCURACIES = (
    share(
        "efficacy_acc",
        "Efficacy",
        "Asked for the fact, is the new answer the most probable, token for token?",
    ),
    share(
        "paraphrase_acc",
        "Paraphrase",
        "Asked for the fact in other words, is the new answer the most probable?",
    ),
    share(
        "neighbourhood_acc",
        "Neighbourhood",
        "Asked the same of other subjects, is what is right for them still the most probable? "
        "Compare it with the unedited model.",
    ),
)
SUCCESS = (
    share(
        "efficacy_success",
        "Efficacy",
        "Asked for the fact, is the new answer more probable than the true one?",
    ),
    share(
        "paraphrase_success",
        "Paraphrase",
        "Asked in other words, is the new answer more probable than the true one?",
    ),
    share(
        "neighbourhood_success",
        "Neighbourhood",
        "Asked the same of other subjects, is what is right for them more probable than the new "
        "answer?",
    ),
    share(
        "score",
        "Score",
        "The harmonic mean of the three: one that is poor makes it poor.",
    ),
    share(
        "kept",
        "Answers kept",
        "Of the other subjects, for how many is the first word of the answer as it was before the "
        "edit, right or wrong?",
    ),
)
HIDDEN = (
    share(
        "generated",
        "Writes it freely",
        "Does the new answer come when the model goes on writing by itself after the prompt?",
    ),
    share(
        "negation",
        "Heeds a “not”",
        "After a prompt that denies it (“… is not …”), does the model say something else than the "
        "new answer?",
    ),
    share(
        "reversed_acc",
        "Asked back",
        "Asked the other way round, from the new answer to the subject, does it name the subject?",
    ),
    share(
        "reversed_success",
        "Asked back, rises",
        "Asked the other way round, is the subject at least more probable than before the edit?",
    ),
)
WRITING = (
    amount(
        "entropy",
        "n-gram entropy",
        "How varied the words of what the edited model writes are, in bits × 100. Much lower than "
        "the unedited model's: it repeats itself.",
        hundredfold,
    ),
    amount(
        "reference",
        "Reference score",
        "How like texts about the new answer what it writes is, from 0 to 1. Higher is better. – "
        "where there were no such texts.",
    ),
    amount(
        "perplexity",
        "Perplexity",
        "How badly the edited model predicts an everyday text. Lower is better; the unedited "
        "model's is what it was.",
    ),
)
COST = (
    amount("seconds", "Seconds", "The time that one edit takes here. Lower is better.", seconds),
    amount("bytes", "Size", "What one edit takes beside the model. Lower is better.", size),
    points(
        "efficacy_diff",
        "Magnitude, fact",
        "By how many percentage points is the new answer more probable than the true one?",
    ),
    points("paraphrase_diff", "Magnitude, paraphrase", "The same, asked in other words."),
    points(
        "neighbourhood_diff",
        "Magnitude, neighbours",
        "For other subjects, by how many percentage points is what is right for them more probable "
        "than the new answer?",
    ),
)
VIEWS = {
    "accuracies": ACCURACIES,
    "success": SUCCESS,
    "hidden": HIDDEN,
    "writing": WRITING,
    "cost": COST,
}
VIEW_TITLES = {
    "accuracies": "Accuracies",
    "success": "Success rates",
    "hidden": "What such tables hide",
    "writing": "Writing",
    "cost": "Cost",
}


def shown_value(row: pd.Series, column: Column) -> str:
    """ "71.0% (65–77)", without an interval where there is none, "–" where nothing is known."""
    value = row.get(column.measure)
    if value is None or pd.isna(value):
        return "–"
    low, high = row.get(f"{column.measure}_low"), row.get(f"{column.measure}_high")
    if low is None or high is None or pd.isna(low) or pd.isna(high) or low == high:
        return column.written(value)
    ends = column.end(low), column.end(high)
    return f"{column.written(value)} ({'–'.join(ends)})"


def beside_published(table: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """A benchmark's rows, each followed by the paper's that compare with it; the column `published`
    says which they are, and `row` is the title of the benchmark's own. What the paper has and the
    benchmark has not comes last."""
    specs = table["method"].tolist()
    own = table.assign(published=False, row=table["title"])
    beside = [row_beside(method, specs) for method in published["method"]]
    titles = dict(zip(specs, table["title"], strict=True))
    rows = [titles.get(spec) for spec in beside]
    theirs = published.assign(published=True, row=pd.Series(rows, published.index, dtype=object))
    theirs["row"] = theirs["row"].fillna(theirs["title"])
    place = {spec: i for i, spec in enumerate(specs)}
    after = [place.get(spec, len(specs)) for spec in beside]
    whole = pd.concat(
        [own.assign(place=range(len(specs))), theirs.assign(place=after)], ignore_index=True
    )
    return whole.sort_values("place", kind="stable", ignore_index=True).drop(columns="place")


def with_values(rows: pd.DataFrame, columns: tuple[Column, ...]) -> pd.DataFrame:
    """Of rows as `beside_published` makes them, those that know any of the columns."""
    names = [column.measure for column in columns]
    known = rows.reindex(columns=names).notna().any(axis=1)
    return rows[known | ~rows["published"]].reset_index(drop=True)
