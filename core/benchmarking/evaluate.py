"""Many edits judged at once: every variant of the model answers all questions in shared passes
(core.benchmarking.branches)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.benchmarking.asked import Question, Row, rows_of
from core.benchmarking.branches import Variant, branched
from core.model.capture import exclusive
from core.model.forcing import padded
from core.model.language_model import LanguageModel

TURN_TOKENS = 2048  # of a batch, in one turn on the model


@dataclass(frozen=True)
class Reading:
    """What a variant of the model makes of a question."""

    answer: int  # the most probable next token
    nll: tuple[float, ...]  # mean over each target's tokens, in nats
    right: tuple[bool, ...]  # whether every token of the target is the most probable one


def readings(
    model: LanguageModel,
    questions: Sequence[Question],
    variants: Sequence[Variant],
    *,
    turn_tokens: int = TURN_TOKENS,
) -> list[list[Reading]]:
    """What each variant makes of each question: variant x question."""
    found: dict[tuple[int, int, int], tuple[int, float, bool]] = {}
    for rows in in_turns(rows_of(model, questions), len(variants), turn_tokens):
        with exclusive(model, gradients=False):
            hidden = branched(model, padded(model, [row.ids for row in rows]), variants)
            for number, states in enumerate(hidden):
                for key, value in read(model, questions, rows, states).items():
                    found[number, *key] = value
    return [
        [
            reading([found[number, i, which] for which in range(len(asked.targets))])
            for i, asked in enumerate(questions)
        ]
        for number in range(len(variants))
    ]


def in_turns(rows: Sequence[Row], variants: int, turn_tokens: int) -> Iterator[list[Row]]:
    """Rows of like length together, as many as a turn takes for all variants; at least one."""
    group: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if group and (len(group) + 1) * len(row.ids) * variants > turn_tokens:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def read(
    model: LanguageModel, questions: Sequence[Question], rows: Sequence[Row], states: Tensor
) -> dict[tuple[int, int], tuple[int, float, bool]]:
    """(question, target) -> its answer, NLL and whether it is said; of one variant's rows.

    states: (row, token, d_model), after the final norm. NLLs are NaN where an edit broke the model.
    """
    lines, places, wanted, spans = [], [], [], {}
    for line, row in enumerate(rows):
        for number, which in row.places:
            asked = questions[number]
            ids = asked.targets[which].ids
            spans[number, which] = slice(len(wanted), len(wanted) + len(ids))
            lines += [line] * len(ids)
            places += range(len(asked.ids) - 1, len(asked.ids) - 1 + len(ids))
            wanted += ids
    logits = model.unembedding(states[lines, places]).float()  # (target token, vocabulary)
    best = logits.argmax(-1).tolist()
    chosen = logits.gather(1, torch.tensor(wanted, device=logits.device)[:, None])[:, 0]
    losses = (logits.logsumexp(-1) - chosen).tolist()
    return {
        key: (
            best[span.start],
            sum(losses[span]) / (span.stop - span.start),
            best[span] == wanted[span],
        )
        for key, span in spans.items()
    }


def reading(parts: Sequence[tuple[int, float, bool]]) -> Reading:
    answers, losses, right = zip(*parts, strict=True)
    return Reading(answers[0], losses, right)


def perplexities(
    model: LanguageModel,
    ids: tuple[int, ...],
    variants: Sequence[Variant],
    *,
    turn_tokens: int = TURN_TOKENS,
) -> list[float]:
    """`core.perplexity` of each variant on a text's tokens; infinite or NaN where an edit breaks
    the model."""
    totals, width = torch.zeros(len(variants), dtype=torch.float64), model.context_length
    for start in range(0, len(ids) - 1, width - 1):
        window = ids[start : start + width]
        at_once = max(1, turn_tokens // len(window))
        following = torch.tensor(window[1:])
        for first in range(0, len(variants), at_once):
            group = variants[first : first + at_once]
            with exclusive(model, gradients=False):
                for i, states in enumerate(branched(model, model.embed(window), group)):
                    logits = model.unembedding(states[0, :-1]).float()
                    losses = torch.nn.functional.cross_entropy(
                        logits, following.to(logits.device), reduction="none"
                    )
                    totals[first + i] += losses.double().sum().cpu()
    return (totals / (len(ids) - 1)).exp().tolist()
