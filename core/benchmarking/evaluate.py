"""Many edits judged at once: every variant of the model answers all questions in shared passes.

A variant is a list of edits, the empty one being the unedited model. Each variant has its own rows
of the batch, on which alone its edits are (core.model.edited.row_hooks), so that a pass over the
weights serves them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from core.benchmarking.asked import Question, Row, rows_of
from core.editing.ask import end_tokens
from core.model.capture import exclusive
from core.model.edited import Hook, hooked, row_hooks
from core.model.edits import Edit
from core.model.forcing import padded
from core.model.language_model import LanguageModel

TURN_TOKENS = 2048  # of a batch, in one turn on the model
TOP_K = 5  # of sampled text, as in memit's generate_fast
Variant = Sequence[Edit]


@dataclass(frozen=True)
class Reading:
    """What a variant of the model makes of a question."""

    answer: int  # the most probable next token
    nll: tuple[float, ...]  # mean over each target's tokens, in nats
    right: tuple[bool, ...]  # whether every token of the target is the most probable one


def variant_hooks(model: LanguageModel, variants: Sequence[Variant], rows: int) -> list[Hook]:
    """Hooks for a batch in which each variant has `rows` rows, one variant after the other."""
    groups = [(slice(i * rows, (i + 1) * rows), edits) for i, edits in enumerate(variants)]
    return row_hooks(model, [group for group in groups if group[1]])


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
            with hooked(variant_hooks(model, variants, len(rows))):
                batch = padded(model, [row.ids for row in rows])
                hidden = model.read(batch.repeat(len(variants), 1, 1))
            for number, states in enumerate(hidden.split(len(rows))):
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
                with hooked(variant_hooks(model, group, 1)):
                    hidden = model.read(model.embed(window).repeat(len(group), 1, 1))
                for i, states in enumerate(hidden):
                    logits = model.unembedding(states[:-1]).float()
                    losses = torch.nn.functional.cross_entropy(
                        logits, following.to(logits.device), reduction="none"
                    )
                    totals[first + i] += losses.double().sum().cpu()
    return (totals / (len(ids) - 1)).exp().tolist()


def continuations(
    model: LanguageModel,
    prompts: Sequence[tuple[int, ...]],
    variants: Sequence[Variant],
    *,
    length: int,
    chances: Tensor | None,
) -> list[list[tuple[int, ...]]]:
    """What each variant writes after each prompt, prompt included: variant x prompt -> token ids.

    `length` tokens with the prompt's, or up to the end-of-text token. The most probable token each
    time; with `chances` (prompt, length) from 0 to 1, one of the TOP_K by its probability, by the
    same chances for every variant. Rows of all lengths go on side by side: a longer prompt's tokens
    are read where a shorter one's continuation is written.
    """
    if not prompts:
        return [[] for _ in variants]
    length = min(length, model.context_length)
    rows = [list(ids[:length]) for _ in variants for ids in prompts]
    hooks = variant_hooks(model, variants, len(prompts))
    begun = min(len(row) for row in rows)
    new, cache = torch.tensor([row[:begun] for row in rows]), DynamicCache()
    ended, ends = [False] * len(rows), end_tokens(model)
    for place in range(begun, length):
        logits = following_logits(model, new, cache, hooks)
        share = None if chances is None else chances[:, place].repeat(len(variants))
        drawn = chosen_tokens(logits, share)
        for i, (row, token) in enumerate(zip(rows, drawn, strict=True)):
            if len(row) == place:
                ended[i] = ended[i] or token in ends
                row.append(token)
        if all(ended):
            break
        new = torch.tensor([[row[place]] for row in rows])
    texts = [cut(row, len(prompts[i % len(prompts)]), ends) for i, row in enumerate(rows)]
    return [texts[i : i + len(prompts)] for i in range(0, len(texts), len(prompts))]


def following_logits(
    model: LanguageModel, ids: Tensor, cache: DynamicCache, hooks: Sequence[Hook]
) -> Tensor:
    """(row, vocabulary) after the tokens in the cache and these; one turn."""
    with exclusive(model, gradients=False), hooked(hooks):
        output = model.network.base_model(
            input_ids=ids.to(model.device), past_key_values=cache, use_cache=True
        )
        logits = model.unembedding(output.last_hidden_state[:, -1]).float()
    return logits


def chosen_tokens(logits: Tensor, chances: Tensor | None) -> list[int]:
    """A token a row. logits: (row, vocabulary); chances: (row,) from 0 to 1."""
    logits = logits.nan_to_num(nan=float("-inf"))  # of an edit that broke the model
    if chances is None:
        return logits.argmax(-1).tolist()
    best = logits.topk(min(TOP_K, logits.shape[1]))
    sums = best.values.double().softmax(-1).cumsum(-1)
    passed = (sums < chances.to(sums)[:, None]).sum(-1).clamp(max=sums.shape[1] - 1)
    return best.indices.gather(1, passed[:, None])[:, 0].tolist()


def cut(row: Sequence[int], begun: int, ends: set[int]) -> tuple[int, ...]:
    """Without the end-of-text token and what follows it."""
    end = next((i for i in range(begun, len(row)) if row[i] in ends), len(row))
    return tuple(row[:end])
