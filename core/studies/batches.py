"""A batch of records: traced at once, and reduced to what a study keeps of each.

One forward and one backward pass a batch. A record's tokens are averaged by segment, so that
nothing depends on its length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from core.gradients.lens import NEAR_ZERO, silent
from core.gradients.rank import factor_rank, mlp_matrices
from core.gradients.segments import LAST, SEGMENTS, segments
from core.gradients.similarity import cosine_matrix
from core.gradients.trace import BatchPass, embed_rows, forward_backward
from core.model.architectures import MATRICES
from core.model.capture import exclusive
from core.model.language_model import LanguageModel
from core.model.projection import lens_ranks
from core.studies.counterfact import Record

BATCH_BYTES = 256 * 2**20  # what one pass may keep for its way back
RANK_MATRICES = ("ff1", "ff2")


@dataclass(frozen=True)
class Task:
    """A record as the model reads it."""

    record: Record
    ids: tuple[int, ...]
    target_id: int
    true_id: int | None  # None where nobody said what is right
    segment_of: np.ndarray  # (token,) index into SEGMENTS; -1 for a token without one


def token_budget(model: LanguageModel) -> int:
    width = 8 * model.d_mlp + 16 * model.d_model  # about what autograd saves for a token and layer
    return BATCH_BYTES // (width * model.n_layers * model.activation_dtype.itemsize)


def task_of(model: LanguageModel, record: Record) -> Task:
    """Raises PromptError for a record that does not fit the model."""
    true = record.target_true
    return Task(
        record,
        model.encode(record.prompt),
        model.target(record.prompt, record.target_new).id,
        None if true is None else model.target(record.prompt, true).id,
        places_of(model, record),
    )


def places_of(model: LanguageModel, record: Record) -> np.ndarray:
    """The segment of each token, (token,) as an index into SEGMENTS; without a subject only the
    last token has one, and the others are -1."""
    if record.subject is None:
        places = np.full(len(model.encode(record.prompt)), -1)
        places[-1] = SEGMENTS.index(LAST)
        return places
    names = segments(model, record.prompt, record.subject)
    return np.array([SEGMENTS.index(name) for name in names])


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

    For each record an array (matrix, word, layer, token); NaN for a near-zero delta, and for an x
    of zeros under a final norm without bias. ff2_norms: (layer, row, token) of FF2's VJPs.
    """
    n_layers = model.n_layers
    results, vectors, wanted, places = [], [], [], []
    for row, task in enumerate(tasks):
        n = len(task.ids)
        results.append(np.full((len(RANK_MATRICES), 2, n_layers, n), np.nan))
        own = ff2_norms[:, row, :n]
        near_zero = own <= NEAR_ZERO * own.max()
        for layer in range(n_layers):
            for i, matrix in enumerate(RANK_MATRICES):
                site = run.sites[matrix, layer]
                source = (site.delta if matrix == "ff2" else site.x)[row, :n]
                seen = ~near_zero[layer] if matrix == "ff2" else ~silent(model, source).to_numpy()
                vectors.append(source[torch.from_numpy(seen).to(source.device)].to(model.device))
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
    "correct" is None where it is not known.

    norms and ranks end in a token axis, and come back with a segment axis instead.
    """
    return {
        "correct": None if task.true_id is None else answer_id == task.true_id,
        "norm": by_segment(norms["delta"], task.segment_of),
        "input_norm": by_segment(norms["x"], task.segment_of),
        "target_rank": by_segment(ranks[:, 0], task.segment_of),
        "answer_rank": by_segment(ranks[:, 1], task.segment_of),
        "rank_is_full": (gradient_rank == len(task.ids)).astype(np.float64),
        "gradient_rank": gradient_rank.astype(np.float64),
        "cosine": cosine,
    }


def by_segment(values: np.ndarray, segment_of: np.ndarray) -> np.ndarray:
    """Means over the tokens of each segment: (..., token) -> (..., segment); NaN is left out, and
    so are tokens without a segment."""
    member = (segment_of[:, None] == np.arange(len(SEGMENTS))).astype(np.float64)
    present = ~np.isnan(values)
    counts = present.astype(np.float64) @ member
    sums = np.where(present, values, 0.0) @ member
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def exceptions_of(
    case_id: str, prompt: str, gradient_rank: np.ndarray, prompt_length: int
) -> list[tuple]:
    """(case_id, prompt, layer, matrix index, rank, prompt length) where the rank is not as lemma
    4.1 has it at most: the prompt's length, and 1 in the last layer. gradient_rank: (matrix,
    layer)."""
    last = gradient_rank.shape[1] - 1
    return [
        (case_id, prompt, layer, matrix, int(rank), prompt_length)
        for (matrix, layer), rank in np.ndenumerate(gradient_rank)
        if rank != (1 if layer == last else prompt_length)
    ]
