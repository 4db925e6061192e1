"""Other people's results, and ours for their programs: one JSON file a case, as memit writes them.

`{n}_edits-case_{id}.json` holds case_id, num_edits, requested_rewrite, time and `post`: for each
prompt both targets' NLLs ("…_prompts_probs") and whether the wanted one is said
("…_prompts_correct"), then ngram_entropy, reference_score and text where they were measured. Read
by memit's experiments/summarize.py, whose `run_…` folders such a folder is one of; written also by
AlphaEdit and others that began as memit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from core.benchmarking.disk import written
from core.benchmarking.means import table_of
from core.benchmarking.measures import COLUMNS
from core.benchmarking.memit_case import case_of, read_case
from core.benchmarking.results import Benchmark
from core.errors import PromptError
from core.studies.counterfact import Record

CASE = re.compile(r"(?:\d{1,9}_edits-)?case_(\d{1,18})\.json")
MOST_CASES = 200_000


def export_memit(benchmark: Benchmark, folder: str | Path, method: str) -> list[Path]:
    """Write a method's rows as memit's case files into an empty or new folder; the files' paths.

    A case's number is its case_id, or its place among the records where they are not all different
    numbers. What memit does not measure stands under "backward_lens". `text` holds one text, what
    the model writes after the prompt; the entropy is of the sampled ones. Records of which nothing
    could be measured are left out. Raises PromptError for a method without rows and a folder that
    holds cases or cannot be written.
    """
    folder = Path(folder)
    rows = benchmark.rows[benchmark.rows["method"] == method]
    if rows.empty:
        known = ", ".join(map(repr, benchmark.rows["method"].unique())) or "none yet"
        raise PromptError(f"The benchmark has no method {method!r}. Its methods: {known}.")
    with written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if any(CASE.fullmatch(path.name) for path in folder.iterdir()):
            raise PromptError(
                f"The folder {folder.name!r} already holds case files, and two runs in one folder "
                "would be read as one. Choose an empty folder."
            )
        numbers = case_numbers(benchmark.records)
        paths = []
        for row in rows[~rows["efficacy_success"].isna()].to_dict("records"):
            place = int(row["record"])
            case = case_of(benchmark.records[place], numbers[place], row)
            paths.append(folder / f"1_edits-case_{numbers[place]}.json")
            paths[-1].write_text(json.dumps(case, indent=1), encoding="utf-8")
    return paths


def case_numbers(records: Sequence[Record]) -> list[int]:
    own = [record.case_id for record in records]
    plain = all(type(number) is int and 0 <= number < 10**18 for number in own)
    return own if plain and len(set(own)) == len(own) else list(range(len(own)))


def read_memit(
    folder: str | Path, name: str, *, records: Sequence[Record] | None = None
) -> pd.DataFrame:
    """The rows of a folder of case files, with the columns of a benchmark's rows and the method
    `name`, to stand in one table with others (`table_with`).

    What memit does not measure is NaN; so are accuracies where the files have none, as ROME's first
    ones. `time` is shared out among the edits that were made together. With `records` only their
    cases are read, by case_id, and a row's record is its place there; else its place among the
    files. Raises PromptError for a folder without cases and for a file that is none, by its name.
    """
    folder = Path(folder)
    paths = case_paths(folder)
    places = None if records is None else {str(r.case_id): i for i, r in enumerate(records)}
    found: dict[str, dict] = {}
    for path in paths:
        row = read_case(path)
        case_id = row["case_id"]
        if places is not None and case_id not in places:
            continue
        if case_id in found:
            raise PromptError(
                f"The folder {folder.name!r} holds case {case_id} twice. Choose the folder of one "
                "run."
            )
        place = len(found) if places is None else places[case_id]
        found[case_id] = row | {"record": place, "method": name}
    if not found:
        wanted = "case files" if places is None else "cases of these records"
        raise PromptError(
            f"The folder {folder.name!r} holds no {wanted}. Choose a run's folder, with files such "
            "as 1_edits-case_0.json."
        )
    return pd.DataFrame(found.values(), columns=list(COLUMNS)).sort_values(
        "record", ignore_index=True
    )


def case_paths(folder: Path) -> list[Path]:
    """A folder's case files by their number; no link, and nothing of another name."""
    try:
        found = [path for path in folder.iterdir() if CASE.fullmatch(path.name)]
    except OSError as error:
        raise PromptError(
            f"The folder {folder.name!r} cannot be read: {error.strerror or error}."
        ) from None
    found = [path for path in found if path.is_file() and not path.is_symlink()]
    if len(found) > MOST_CASES:
        raise PromptError(
            f"The folder {folder.name!r} holds {len(found):,} case files; at most {MOST_CASES:,}."
        )
    return sorted(found, key=lambda path: (int(CASE.fullmatch(path.name)[1]), path.name))


def table_with(benchmark: Benchmark, *others: pd.DataFrame) -> pd.DataFrame:
    """The benchmark's table with one more row a method of other people's rows (`read_memit`), for
    as_csv, as_latex and as_markdown. Their means are over their own records."""
    rows = [table_of(other, tuple(other["method"].unique())) for other in others]
    return pd.concat([benchmark.table, *rows], ignore_index=True)
