"""What went wrong with a method's edits, in words: each record's worst failure."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from core.benchmarking.measures import KINDS
from core.studies.counterfact import Record

FAILURES = (
    "record",
    "case_id",
    "prompt",
    "subject",
    "target_new",
    "target_true",
    "kind",
    "asked",
    "wanted",
    "said",
    "text",
    "problem",
)
# Hardly any edit can be asked the other way round; that is shown where nothing else went wrong.
WEIGHTS = dict.fromkeys(KINDS, 1.0) | {"reversed": 0.01}
MOST_SAID = 2_000  # prompts of a record
Said = tuple[str, str, str, str]  # kind, prompt, wanted, answer


def failures_of(
    rows: pd.DataFrame, before: pd.DataFrame, records: Sequence[Record], count: int
) -> pd.DataFrame:
    """The worst `count` records of a method's rows, one failure each, with the columns of FAILURES.

    `before` are the unedited model's rows. A prompt fails when the model does not say the wanted
    word (a rewrite, a paraphrase, a reversed question: there `wanted` is the subject), when it does
    (a negation), or when it says another word than before (a neighbour: `wanted` is the word from
    before). The kind of which the largest share fails is shown, the first of KINDS among equals;
    the worst records are those with the largest sum of these shares.
    """
    said_before = dict(zip(before["record"], before["said"], strict=True))
    found = []
    for row in rows.itertuples(index=False):
        failed = failed_prompts(said_in(row.said), said_in(said_before.get(row.record, "[]")))
        if failed:
            found.append((badness(failed), row, worst(failed)))
    found.sort(key=lambda item: (-item[0], item[1].record))
    described = [described_failure(row, records[row.record], one) for _, row, one in found[:count]]
    return pd.DataFrame(described, columns=list(FAILURES))


def failed_prompts(
    said: Sequence[Said], before: Sequence[Said]
) -> dict[str, tuple[float, list[Said]]]:
    """Kind -> the share of its prompts that failed, and these; kinds without a failure are left
    out."""
    answers = {(kind, prompt): answer for kind, prompt, _, answer in before}
    asked: dict[str, int] = {}
    failed: dict[str, list[Said]] = {}
    for kind, prompt, wanted, answer in said:
        asked[kind] = asked.get(kind, 0) + 1
        if kind == "neighbour":
            wanted = answers.get((kind, prompt), wanted)
        if (answer == wanted) == (kind == "negation"):
            failed.setdefault(kind, []).append((kind, prompt, wanted, answer))
    return {
        kind: (len(failed[kind]) / asked[kind], failed[kind]) for kind in KINDS if kind in failed
    }


def badness(failed: dict[str, tuple[float, list[Said]]]) -> float:
    return sum(WEIGHTS[kind] * share for kind, (share, _) in failed.items())


def worst(failed: dict[str, tuple[float, list[Said]]]) -> Said:
    kind = max(failed, key=lambda kind: WEIGHTS[kind] * failed[kind][0])  # the first of equals
    return failed[kind][1][0]


def described_failure(row: tuple, record: Record, failure: Said) -> dict[str, object]:
    kind, asked, wanted, said = failure
    about = {name: getattr(record, name) for name in FAILURES[2:6]}
    what = {"kind": kind, "asked": asked, "wanted": wanted, "said": said}
    own = {name: getattr(row, name) for name in ("record", "case_id", "text", "problem")}
    return own | about | what


def said_in(text: str) -> list[Said]:
    """The prompts of a row's `said`, with what was wanted and answered; raises ValueError for what
    is none."""
    said = json.loads(text) if text else []
    if not isinstance(said, list) or len(said) > MOST_SAID:
        raise ValueError("answers that are no list")
    for one in said:
        if not isinstance(one, list) or len(one) != 4 or not all(type(t) is str for t in one):
            raise ValueError("an answer that is none")
        if one[0] not in KINDS:
            raise ValueError("an answer to a question that there is not")
        for part in one:
            part.encode("utf-8")
    return [tuple(one) for one in said]


def check_numbers_in(text: str) -> None:
    """Raises ValueError for an `nlls` that is none: kind -> lists of a few numbers or nothing."""
    found = json.loads(text) if text else {}
    if not isinstance(found, dict) or set(found) - set(KINDS):
        raise ValueError("numbers of no kind")
    for rows in found.values():
        if not isinstance(rows, list) or len(rows) > MOST_SAID:
            raise ValueError("numbers that are no list")
        for row in rows:
            if not isinstance(row, list) or len(row) != 3 or not all(map(is_number, row)):
                raise ValueError("numbers that are none")


def is_number(value: object) -> bool:
    """Or nothing. NaN and the infinite are none: JSON has no word for them."""
    if value is None:
        return True
    return isinstance(value, int | float) and abs(value) <= 1e9
