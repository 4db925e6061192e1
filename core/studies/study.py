"""A study: the paper's figures over many prompts, reduced as it goes (Figures 3, 5, 6, 16-23).

One forward and one backward pass a batch of records; what is kept are running means, so that
memory does not grow with the number of records.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from core.errors import Cancelled, PromptError
from core.gradients.lens import NEAR_ZERO
from core.gradients.rank import factor_rank, mlp_matrices
from core.gradients.segments import SEGMENTS, segments
from core.gradients.similarity import cosine_matrix
from core.gradients.trace import BatchPass, embed_rows, forward_backward
from core.model.architectures import MATRICES
from core.model.capture import exclusive
from core.model.edits import fingerprint
from core.model.language_model import LanguageModel
from core.model.projection import lens_ranks
from core.studies.counterfact import Record
from core.studies.tables import Header, Study, Sums

BATCH_BYTES = 256 * 2**20  # what one pass may keep for its way back
TYPICAL_LENGTH = 16  # tokens of a CounterFact prompt, for the size of a batch
LARGEST_BATCH = 32
SECONDS_BETWEEN_SAVES = 1.0
RANK_MATRICES = ("ff1", "ff2")


@dataclass(frozen=True)
class Task:
    """A record as the model reads it."""

    record: Record
    ids: tuple[int, ...]
    target_id: int
    true_id: int
    segment_of: np.ndarray  # (token,) index into SEGMENTS


def study(
    model: LanguageModel,
    records: Sequence[Record],
    *,
    limit: int = 100,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
    save_to: str | Path | None = None,
    batch_size: int | None = None,
) -> Study:
    """Trace `limit` records, drawn with `seed`, towards their new targets, and average.

    `on_step(done, all)` is called after each batch; what it raises, Cancelled for one, ends the
    study. With `save_to`, a folder, the study is saved as it goes and goes on from there when it is
    called again, neither repeating nor losing a record. The model is held for one batch at a time;
    `batch_size` 1 lets other users in after every record. Records that do not fit the model are
    left out and listed in `header.skipped`. Raises PromptError for a limit below 1, no records,
    and a folder that holds another study.
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
    size = state.header.batch_size
    while (done := state.header.done) < len(drawn):
        state = advanced(model, state, drawn[done : done + size])
        state = replace(state, header=replace(state.header, seconds=time.perf_counter() - started))
        finished = state.header.done == len(drawn)
        if folder is not None and (finished or time.monotonic() - saved > SECONDS_BETWEEN_SAVES):
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
        fingerprint=fingerprint(model),
        n_layers=model.n_layers,
        vocabulary_size=model.vocabulary_size,
        modules=modules,
        mlp_matrices=mlp_matrices(model),
        records=getattr(records, "name", "records"),
        digest=hashlib.sha256("\n".join(map(repr, drawn)).encode("utf-8", "replace")).hexdigest(),
        limit=limit,
        seed=seed,
        batch_size=batch_size,
        total=len(drawn),
    )
    return Study(header, Sums.empty(header), ())


def usual_batch(model: LanguageModel) -> int:
    """How many records of usual length are traced at once."""
    return min(LARGEST_BATCH, max(1, token_budget(model) // TYPICAL_LENGTH))


def token_budget(model: LanguageModel) -> int:
    width = 8 * model.d_mlp + 16 * model.d_model  # about what autograd saves for a token and layer
    return BATCH_BYTES // (width * model.n_layers * model.dtype.itemsize)


def advanced(model: LanguageModel, state: Study, batch: list[Record]) -> Study:
    """The study with one more batch counted."""
    tasks, skipped = [], list(state.header.skipped)
    for record in batch:
        try:
            tasks.append(task_of(model, record))
        except PromptError as error:
            skipped.append((str(record.case_id), str(error)))
    exceptions = list(state.exception_rows)
    correct = state.header.correct
    for rows in passes(tasks, token_budget(model)):
        for task, result in zip(rows, trace_batch(model, rows), strict=True):
            state.sums.add(result)
            exceptions += exceptions_of(task, result, model.n_layers)
            correct += result["correct"]
    header = replace(
        state.header,
        done=state.header.done + len(batch),
        counted=state.header.counted + len(tasks),
        correct=correct,
        skipped=tuple(skipped),
    )
    return Study(header, state.sums, tuple(exceptions))


def task_of(model: LanguageModel, record: Record) -> Task:
    """Raises PromptError for a record that does not fit the model."""
    names = segments(model, record.prompt, record.subject)
    return Task(
        record,
        model.encode(record.prompt),
        model.target(record.prompt, record.target_new).id,
        model.target(record.prompt, record.target_true).id,
        np.array([SEGMENTS.index(name) for name in names]),
    )


def passes(tasks: list[Task], budget: int) -> list[list[Task]]:
    """Tasks in passes of like length, so that little is padded and each keeps to the budget."""
    groups: list[list[Task]] = []
    for task in sorted(tasks, key=lambda task: len(task.ids)):
        if groups and (len(groups[-1]) + 1) * len(task.ids) <= budget:
            groups[-1].append(task)
        else:
            groups.append([task])
    return groups


def trace_batch(model: LanguageModel, tasks: list[Task]) -> list[dict[str, object]]:
    """What a study needs of each record; see reduce_record for the arrays."""
    names = tuple(m for m in MATRICES if m == "block" or m in model.matrices)
    lengths = [len(task.ids) for task in tasks]
    targets = [task.target_id for task in tasks]
    with exclusive(model, gradients=True):
        embeddings = embed_rows(model, [task.ids for task in tasks])
        run = forward_backward(model, embeddings, lengths, targets, names)
    answers = run.logits.argmax(-1).tolist()
    norms = {part: norms_of(run, names, part, model.n_layers) for part in ("delta", "x")}
    ranks = token_ranks(model, run, tasks, answers, norms["delta"][names.index("ff2")])
    full = [
        [factor_rank(run.sites[m, i].x, run.sites[m, i].delta) for i in range(model.n_layers)]
        for m in mlp_matrices(model)
    ]
    gradient_ranks = np.array([[column.tolist() for column in row] for row in full])
    ends = torch.tensor(lengths) - 1
    rows = torch.arange(len(tasks))
    last = [run.sites["ff2", i].delta[rows, ends].cpu() for i in range(model.n_layers)]
    cosines = cosine_matrix(torch.stack(last, 1).double()).numpy()  # (row, layer, layer)
    return [
        reduce_record(
            task,
            norms={part: values[:, :, row, : lengths[row]] for part, values in norms.items()},
            ranks=ranks[row],
            gradient_rank=gradient_ranks[..., row],
            cosine=cosines[row],
            answer_id=answers[row],
        )
        for row, task in enumerate(tasks)
    ]


def norms_of(run: BatchPass, names: tuple[str, ...], part: str, n_layers: int) -> np.ndarray:
    """L2 norms of x or delta, (module, layer, row, token) in float64."""
    rows = [
        torch.linalg.vector_norm(
            getattr(run.sites[name, layer], part), dim=-1, dtype=torch.float32
        ).cpu()
        for name in names
        for layer in range(n_layers)
    ]
    return torch.stack(rows).unflatten(0, (len(names), n_layers)).double().numpy()


def token_ranks(
    model: LanguageModel,
    run: BatchPass,
    tasks: list[Task],
    answers: list[int],
    ff2_norms: np.ndarray,
) -> list[np.ndarray]:
    """Lens ranks of target and answer in x of FF1 and delta of FF2 (Figures 6, 18-21).

    For each record an array (matrix, word, layer, token); NaN for a near-zero delta. ff2_norms:
    (layer, row, token) of FF2's VJPs.
    """
    n_layers = model.n_layers
    results, vectors, wanted, places = [], [], [], []
    for row, task in enumerate(tasks):
        n = len(task.ids)
        results.append(np.full((len(RANK_MATRICES), 2, n_layers, n), np.nan))
        own = ff2_norms[:, row, :n]
        silent = own <= NEAR_ZERO * own.max()
        for layer in range(n_layers):
            for i, matrix in enumerate(RANK_MATRICES):
                site = run.sites[matrix, layer]
                seen = ~silent[layer] if matrix == "ff2" else np.full(n, True)
                source = site.delta if matrix == "ff2" else site.x
                vectors.append(source[row, :n][torch.from_numpy(seen)].to(model.device))
                wanted += [(task.target_id, answers[row])] * int(seen.sum())
                places.append((row, i, layer, seen))
    ranks = lens_ranks(model, torch.cat(vectors), torch.tensor(wanted)).double().numpy()
    start = 0
    for row, i, layer, seen in places:
        stop = start + int(seen.sum())
        results[row][i, :, layer, seen] = ranks[start:stop]
        start = stop
    return results


def reduce_record(
    task: Task,
    *,
    norms: dict[str, np.ndarray],
    ranks: np.ndarray,
    gradient_rank: np.ndarray,
    cosine: np.ndarray,
    answer_id: int,
) -> dict[str, object]:
    """One record's arrays, its tokens averaged by segment; NaN for a segment that it lacks.

    norms and ranks end in a token axis, and come back with a segment axis instead.
    """
    return {
        "correct": answer_id == task.true_id,
        "norm": by_segment(norms["delta"], task.segment_of),
        "input_norm": by_segment(norms["x"], task.segment_of),
        "target_rank": by_segment(ranks[:, 0], task.segment_of),
        "answer_rank": by_segment(ranks[:, 1], task.segment_of),
        "rank_is_full": (gradient_rank == len(task.ids)).astype(np.float64),
        "gradient_rank": gradient_rank.astype(np.float64),
        "cosine": cosine,
    }


def by_segment(values: np.ndarray, segment_of: np.ndarray) -> np.ndarray:
    """Means over the tokens of each segment: (..., token) -> (..., segment); NaN is left out."""
    member = (segment_of[:, None] == np.arange(len(SEGMENTS))).astype(np.float64)
    present = ~np.isnan(values)
    counts = present.astype(np.float64) @ member
    sums = np.where(present, values, 0.0) @ member
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def exceptions_of(task: Task, result: dict, n_layers: int) -> list[tuple]:
    """(case_id, prompt, layer, matrix index, rank, prompt length) where the rank is not as lemma
    4.1 has it at most: the prompt's length, and 1 in the last layer."""
    n = len(task.ids)
    return [
        (str(task.record.case_id), task.record.prompt, layer, matrix, int(rank), n)
        for (matrix, layer), rank in np.ndenumerate(result["gradient_rank"])
        if rank != (1 if layer == n_layers - 1 else n)
    ]
