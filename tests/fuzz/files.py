"""Files of the right form that say hostile things of themselves: edits, studies, records."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import core
from app.notebook.file import as_file
from app.notebook.kept import KeptText
from app.notebook.mine import Pages
from core.benchmarking.header import digest_of
from core.model.edit_files import KEY
from core.studies.shipped import shipped_studies
from tests.app.benchmarks import benchmark
from tests.app.notebook.cells import kept_cell, kept_edit
from tests.fuzz.texts import Hostile


@cache
def model_of(name: str) -> core.LanguageModel:
    return core.load_model(name)


@cache
def edit_file(model: str) -> bytes:
    """An edit of a built-in model, as it is downloaded."""
    made = core.edit(model_of(model), "Obama grew up in", "Paris", method="forward-shift")
    return core.edit_bytes(made)


def header_and_rest(content: bytes) -> tuple[dict, bytes]:
    """The header of a safetensors file and what follows it."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_header(header: dict, rest: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def hostile_edit(model: str, texts: Sequence[Hostile]) -> bytes:
    """An edit that works, named and described by the texts; they may be longer than is allowed."""
    header, rest = header_and_rest(edit_file(model))
    said = json.loads(header["__metadata__"][KEY])
    if texts:
        first, second, third = (text.text for text in texts)
        said |= {"name": first, "method": second, "model_name": third}
        said["facts"] = [[second, third, first], [third, None, second]]
        said["hyperparameters"] = {first: second, "layer": third, "eta": [second]}
    header["__metadata__"][KEY] = json.dumps(said)
    return with_header(header, rest)


def hostile_study(texts: Sequence[Hostile]) -> bytes:
    """A study's archive whose header names the texts."""
    study = next(iter(shipped_studies().values()))
    first, second, third = (text.text for text in texts)
    header = replace(
        study.header,
        model=first,
        records=second,
        fingerprint=third,
        done=study.header.total - 1,
        skipped=((first, second), (third, first)),
        versions={first: second},
    )
    rows = tuple((texts[0].whole, texts[1].whole, *row[2:]) for row in study.exception_rows[:5])
    return replace(study, header=header, exception_rows=rows).as_zip()


def hostile_benchmark(texts: Sequence[Hostile]) -> bytes:
    """A benchmark's archive whose methods, records and answers are the texts."""
    # Parquet takes no halves of characters, so that no such file can come.
    first, second, third = (text.text.encode("utf-8", "replace").decode() for text in texts)
    made = benchmark(count=3, methods=("rome",))
    records = [
        replace(record, prompt=f"{first} {second} is", subject=second, target_new=third)
        for record in made.records
    ]
    said = json.dumps([["rewrite", first, second, third], ["neighbour", third, first, second]])
    rows = made.rows.assign(problem=first, text=second, said=said)
    header = replace(
        made.header,
        model=first[:100],
        records=second[:100],
        methods=(third[:100] or "x",),
        digest=digest_of(records),
    )
    rows = rows.replace({"method": {"rome": header.methods[0]}})
    return core.Benchmark(header, records, rows).as_zip()


def hostile_records(texts: Sequence[Hostile]) -> bytes:
    """CounterFact records, good ones and bad ones, of the texts in each place."""
    first, second, third = (text.text for text in texts)
    records = [
        {
            "case_id": third,
            "prompt": f"{first} {second} is",
            "subject": second,
            "target_new": third,
            "ground_truth": first,
            "rephrase_prompt": second,
            "locality_prompt": [third, 1],
        },
        {
            "case_id": 1,
            "prompt": f"The mother of {first} is",
            "subject": first,
            "target_new": "Paris",
            "ground_truth": second,
        },
        {"case_id": second, "requested_rewrite": {"prompt": first, "subject": third}},
        {"prompt": first},
        [first],
    ]
    return json.dumps(records).encode()


def hostile_table(texts: Sequence[Hostile], separator: str) -> str:
    """Rows of prompts, good ones and bad ones, of the texts in each place, the header's too."""
    first, second, third = (text.text for text in texts)
    rows = [
        ("Prompt", "Target", "Subject", "True answer", "Group", first),
        ("The capital of France is", "Rome", "France", "Paris", third, second),
        (f"The mother of {second} is", third, second, first, second, first),
        (first, second, "", "", third, ""),
        ("The dog is", third, first, "", "", ""),
        (third, "", "", "", "", ""),
    ]
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=separator).writerows(rows)
    return written.getvalue()


def hostile_notebook(texts: Sequence[Hostile]) -> bytes:
    """A notebook of one cell, whose words, findings and edit are the texts, and one text."""
    first, second, third = (text.text for text in texts)
    edit, content = kept_edit()
    cell = replace(
        kept_cell(edits=(edit,)),
        title=first[:900],
        words=second[:9000],
        findings=(third[:9000],),
        code=f"prompt = {second[:900]!r}",
        settings={"colour": third[:900]},
        edits=(replace(edit, name=first[:900]),),
    )
    entries = (KeptText("a", second[:9000]), cell)
    return as_file(Pages(third[:200], entries, {edit.id: content}))
