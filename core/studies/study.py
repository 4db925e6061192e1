"""A study: the paper's figures over many prompts, reduced as it goes (Figures 3, 5, 6, 16-23).

One forward and one backward pass a batch of records; what is kept are running means, so that
memory does not grow with the number of records. Only where they name groups, what was found of
each is kept too.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from core.cluster.pool import OneProcess, Pool
from core.errors import Cancelled, ModelError, PromptError
from core.gradients.rank import mlp_matrices
from core.model.architectures import MATRICES
from core.model.fingerprint import fingerprint
from core.model.language_model import LanguageModel
from core.studies.batches import Task, passes, task_of, token_budget, trace_batch
from core.studies.counterfact import Record
from core.studies.each import check_room
from core.studies.header import Header
from core.studies.sums import Sums
from core.studies.tables import Study

TYPICAL_LENGTH = 16  # tokens of a CounterFact prompt, for the size of a batch
LARGEST_BATCH = 32
SECONDS_BETWEEN_SAVES = 1.0

# A batch's records that fit the model, with what was found of each; the others, with the reason.
Traced = tuple[list[tuple[Task, dict[str, object]]], list[tuple[str, str]]]


def study(
    model: LanguageModel,
    records: Sequence[Record],
    *,
    limit: int = 100,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
    save_to: str | Path | None = None,
    batch_size: int | None = None,
    pool: Pool | None = None,
) -> Study:
    """Trace `limit` records, drawn with `seed`, towards their new targets, and average.

    `on_step(done, all)` is called after each batch; what it raises, Cancelled for one, ends the
    study. With `save_to`, a folder, the study is saved as it goes and goes on from there when it is
    called again, neither repeating nor losing a record. The model is held for one batch at a time;
    `batch_size` 1 lets other users in after every record. Records that do not fit the model are
    left out and listed in `header.skipped`. Where they name two or more groups, the study has its
    tables for each (`of_group`), and `compare_groups` compares them. With a `pool` its workers
    trace the batches, which are counted here in their order: the same study. Raises PromptError for
    a limit below 1, no records, too many groups, and a folder that holds another study.
    """
    if limit < 1 or not len(records):
        what = f"The limit is {limit}" if limit < 1 else "There are no records"
        raise PromptError(f"{what}: a study needs at least one record.")
    chosen = random.Random(seed).sample(range(len(records)), min(limit, len(records)))
    drawn = [records[i] for i in chosen]
    state = begin(model, drawn, records, limit, seed, batch_size or usual_batch(model))
    folder = Path(save_to) if save_to is not None else None
    if folder is not None:
        state = Study.resume(folder, state)
    started, saved = time.perf_counter() - state.header.seconds, time.monotonic()
    size, done = state.header.batch_size, state.header.done
    batches = [drawn[i : i + size] for i in range(done, len(drawn), size)]
    with closing(traced_in_order(pool or OneProcess(model), weights_name(model), batches)) as steps:
        for found in steps:
            state = advanced(state, *found)
            spent = time.perf_counter() - started
            state = replace(state, header=replace(state.header, seconds=spent))
            due = time.monotonic() - saved > SECONDS_BETWEEN_SAVES
            if folder is not None and (state.header.finished or due):
                state.save(folder)
                saved = time.monotonic()
            try:
                if on_step is not None:
                    on_step(state.header.done, len(drawn))
            except Cancelled:
                if folder is not None:
                    state.save(folder)
                raise
    return state


def begin(
    model: LanguageModel,
    drawn: list[Record],
    records: Sequence[Record],
    limit: int,
    seed: int,
    batch_size: int,
) -> Study:
    """A study of nothing yet."""
    modules = tuple(m for m in MATRICES if m == "block" or m in model.matrices)
    header = Header(
        model=model.name,
        fingerprint=weights_name(model),
        n_layers=model.n_layers,
        vocabulary_size=model.vocabulary_size,
        modules=modules,
        mlp_matrices=mlp_matrices(model),
        records=getattr(records, "name", "records"),
        digest=hashlib.sha256("\n".join(map(said, drawn)).encode("utf-8", "replace")).hexdigest(),
        limit=limit,
        seed=seed,
        batch_size=batch_size,
        total=len(drawn),
        groups=groups_of(drawn, records),
    )
    check_room(header)
    return Study(header, Sums.empty(header), ())


def said(record: Record) -> str:
    """All of a record in a line; without a group as it was before there were groups, so that
    studies begun then go on."""
    text = repr(record)
    return text if record.group else text.replace(", group='')", ")")


def groups_of(drawn: list[Record], records: Sequence[Record]) -> tuple[str, ...]:
    """The groups of the drawn records as they follow one another in the file; one is none."""
    drawn_too = {record.group for record in drawn} - {""}
    if len(drawn_too) < 2:
        return ()
    return tuple(dict.fromkeys(r.group for r in records if r.group in drawn_too))


def usual_batch(model: LanguageModel) -> int:
    """How many records of usual length are traced at once."""
    return min(LARGEST_BATCH, max(1, token_budget(model) // TYPICAL_LENGTH))


def traced_in_order(pool: Pool, weights: str, batches: list[list[Record]]) -> Iterator[Traced]:
    """Each batch traced, in the order of the batches, whenever the workers finish them."""
    early: dict[int, Traced] = {}
    following = 0
    with closing(pool.map(partial(traced, weights), batches)) as results:
        for i, found in results:
            early[i] = found
            while following in early:
                yield early.pop(following)
                following += 1


def traced(weights: str, model: LanguageModel, batch: list[Record]) -> Traced:
    """What a study counts of a batch. Raises ModelError where a worker has another model."""
    check_weights(weights, model)
    tasks, skipped = [], []
    for record in batch:
        try:
            tasks.append(task_of(model, record))
        except PromptError as error:
            skipped.append((str(record.case_id), str(error)))
    found = [
        pair
        for rows in passes(tasks, token_budget(model))
        for pair in zip(rows, trace_batch(model, rows), strict=True)
    ]
    return found, skipped


def check_weights(weights: str, model: LanguageModel) -> None:
    """Raise ModelError for a worker that has another model than the driver."""
    if weights_name(model) != weights:
        raise ModelError(
            f"A worker's model, {model.name}, has other weights or another precision "
            f"({weights_name(model)}) than this one ({weights}). Use the same files on each "
            "machine, and name the precision (dtype)."
        )


def advanced(
    state: Study, found: list[tuple[Task, dict[str, object]]], skipped: list[tuple[str, str]]
) -> Study:
    """The study with one more batch counted."""
    answers = [record["correct"] for _, record in found]
    header = replace(
        state.header,
        done=state.header.done + len(found) + len(skipped),
        counted=state.header.counted + len(found),
        asked=state.header.asked + len(answers) - answers.count(None),
        correct=state.header.correct + answers.count(True),
        skipped=(*state.header.skipped, *skipped),
    )
    return state.with_more(found, header)


def weights_name(model: LanguageModel) -> str:
    """The model's fingerprint, with the precision where it is rounded: studies are not mixed."""
    kind = model.precision.name
    rounded = kind in ("int8", "bfloat16", "float16")
    return f"{fingerprint(model)}-{kind}" if rounded else fingerprint(model)
