"""A record, edited by each method and judged: the rows that the benchmark consists of.

This is what a worker does, on whatever machine; everything it needs is in the Task.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from core.benchmarking.asked import Question, questions_of
from core.benchmarking.branches import Variant
from core.benchmarking.evaluate import (
    TURN_TOKENS,
    Reading,
    perplexities,
    readings,
)
from core.benchmarking.measures import KINDS, MEASURES, magnitude, mean, success
from core.benchmarking.specs import ORIGINAL, parse_spec
from core.benchmarking.templates import generation_prompts
from core.benchmarking.text_metrics import ngram_entropy, writes
from core.benchmarking.writing import Writing, continuations
from core.editing.ask import continuation
from core.editing.edit_strength import text_ids
from core.editing.methods import METHODS, edit, settings_of
from core.editing.shift_search import search_ahead, shared_searches
from core.errors import EditError, ModelError, PromptError
from core.model.edits import Edit, Fact
from core.model.language_model import LanguageModel
from core.studies.counterfact import Record

FREE_TOKENS = 20  # that the model writes by itself after the prompt
TEXT_LENGTH = 100  # tokens of a sampled text, its prompt's included, as memit's
Row = dict[str, object]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One record and what is to be done with it: all that a worker must know."""

    index: int  # its place in the drawn order
    record: Record
    methods: tuple[str, ...]  # specs, without the unedited model
    seed: int
    generate: bool
    turn_tokens: int = TURN_TOKENS


@dataclass(frozen=True)
class Judged:
    """The rows of a record, the unedited model's first, and the texts that each variant wrote."""

    rows: tuple[Row, ...]
    texts: tuple[tuple[str, ...], ...]  # as many as there are rows; for the reference score


@dataclass
class Open:
    """A record that is edited and read, and has not written yet."""

    task: Task
    questions: list[Question]
    made: dict[str, Edit | str]  # each spec's edit, or why there is none
    variants: list[Variant]
    found: list[list[Reading]]  # variant x question
    perplexities: list[float]


def judge(
    model: LanguageModel, tasks: Sequence[Task], on_step: Callable[[int, int], None] | None = None
) -> list[Judged]:
    """Edit records with each method, each apart, and measure all of them in shared passes.

    A method that finds no edit leaves the model as it is, and its row says why; so does every row
    of a record that does not fit the model, with NaN for its measures. `on_step` is called within
    the edits and may raise Cancelled. Raises ModelError for a model whose output is no number.
    """
    with shared_searches():
        searched_ahead(model, tasks, on_step)
        opened: dict[int, Open | Judged] = {
            i: opened_task(model, task, on_step) for i, task in enumerate(tasks)
        }
    whole = {i: one for i, one in opened.items() if isinstance(one, Open)}
    texts = dict(zip(whole, written(model, list(whole.values())), strict=True))
    return [
        judged_from(model, one, *texts[i]) if isinstance(one, Open) else one
        for i, one in opened.items()
    ]


def searched_ahead(
    model: LanguageModel, tasks: Sequence[Task], on_step: Callable[[int, int], None] | None
) -> None:
    """What each method will search first, for all records side by side. A record that a method
    cannot edit is left out: its own turn says why."""
    for spec in dict.fromkeys(spec for task in tasks for spec in task.methods):
        method, given = parse_spec(spec)
        first_search = METHODS[method].first_search
        if first_search is None or len(tasks) < 2:
            continue
        settings, asked = settings_of(method, model, given), []
        for record in (task.record for task in tasks):
            fact = Fact(record.prompt, record.subject, record.target_new)
            try:
                asked.append(first_search(model, fact, settings))
            except (EditError, PromptError, ModelError):
                continue
        found = [one for one in asked if one is not None]
        search_ahead(model, found, edits=(), on_step=on_step or (lambda done, total: None))


def opened_task(
    model: LanguageModel, task: Task, on_step: Callable[[int, int], None] | None
) -> Open | Judged:
    """A record with its edits, and what each variant answers."""
    try:
        questions = questions_of(model, task.record)
    except PromptError as error:
        rows = tuple(unmeasured(task, spec, str(error)) for spec in (ORIGINAL, *task.methods))
        return Judged(rows, ((),) * len(rows))
    made = {spec: edited_by(model, task.record, spec, on_step) for spec in task.methods}
    variants: list[Variant] = [(), *([e] if isinstance(e, Edit) else [] for e in made.values())]
    found = readings(model, questions, variants, turn_tokens=task.turn_tokens)
    if not all(math.isfinite(value) for reading in found[0] for value in reading.nll):
        raise ModelError(
            f"The output of {model.name} is not a number. Its weights are damaged, or too large "
            "for this precision: download the model again, or load it with dtype float32."
        )
    costs = perplexities(model, text_ids(model, None), variants, turn_tokens=task.turn_tokens)
    return Open(task, questions, made, variants, found, costs)


def judged_from(
    model: LanguageModel, one: Open, free: Sequence[str], texts: Sequence[Sequence[str]]
) -> Judged:
    """The rows of a record; `free` and `texts` are what each variant wrote."""
    rows = []
    for i, spec in enumerate((ORIGINAL, *one.task.methods)):
        row = unmeasured(one.task, spec, "") | shares(one.questions, one.found[i], one.found[0])
        row |= {"text": free[i], "perplexity": one.perplexities[i]}
        row["generated"] = float(writes(free[i], target=one.task.record.target_new, prompt=""))
        if texts[i]:
            row["entropy"] = mean([ngram_entropy(text) for text in texts[i]])
        row |= in_words(model, one.questions, one.found[i])
        rows.append(row | cost_of(one.made.get(spec)))
    return Judged(tuple(rows), tuple(map(tuple, texts)))


def unmeasured(task: Task, spec: str, problem: str) -> Row:
    """A row without measures yet."""
    names = {"record": task.index, "case_id": str(task.record.case_id), "method": spec}
    texts = {"problem": problem, "text": "", "said": "[]", "nlls": "{}"}
    return names | dict.fromkeys(MEASURES, math.nan) | texts


def edited_by(
    model: LanguageModel, record: Record, spec: str, on_step: Callable[[int, int], None] | None
) -> Edit | str:
    """The edit, or why there is none."""
    method, settings = parse_spec(spec)
    try:
        return edit(
            model,
            record.prompt,
            record.target_new,
            method=method,
            subject=record.subject,
            on_step=on_step,
            **settings,
        )
    except (EditError, PromptError, ModelError) as error:
        log.info("%s, case %s: %s", spec, record.case_id, error)
        return str(error)


def cost_of(made: Edit | str | None) -> Row:
    if isinstance(made, Edit):
        return {"seconds": made.seconds, "bytes": float(made.size)}
    return {"problem": made or ""}


def written(
    model: LanguageModel, opened: Sequence[Open]
) -> list[tuple[list[str], list[list[str]]]]:
    """For each record what each variant writes by itself after its prompt; and its sampled texts,
    prompt included, none without `generate`."""
    if not opened:
        return []
    turn_tokens = min(one.task.turn_tokens for one in opened)
    prompts = [model.encode(one.task.record.prompt) for one in opened]
    alone = [Writing([ids], one.variants) for ids, one in zip(prompts, opened, strict=True)]
    longest = max(map(len, prompts)) + FREE_TOKENS
    free = continuations(model, alone, length=longest, turn_tokens=turn_tokens)
    length = min(TEXT_LENGTH, model.context_length)
    sampling = [sampled_writing(model, one, length) for one in opened]
    sampled = continuations(model, sampling, length=length, turn_tokens=turn_tokens)
    return [
        (
            [continuation(model, ids, rows[0][: len(ids) + FREE_TOKENS]) for rows in own],
            [[text_of(model, row) for row in rows] for rows in texts],
        )
        for ids, own, texts in zip(prompts, free, sampled, strict=True)
    ]


def sampled_writing(model: LanguageModel, one: Open, length: int) -> Writing:
    """The texts that the n-gram entropy is of; the same chances for every variant of a record."""
    task = one.task
    prompts = [model.encode(p) for p in generation_prompts(task.record)] if task.generate else []
    generator = torch.Generator().manual_seed(task.seed * 1_000_003 + task.index)
    chances = torch.rand(len(prompts), length, generator=generator, dtype=torch.float64)
    return Writing(prompts, one.variants, chances)


def text_of(model: LanguageModel, ids: Sequence[int]) -> str:
    return model.tokenizer.decode(
        list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def shares(
    questions: Sequence[Question], found: Sequence[Reading], before: Sequence[Reading]
) -> Row:
    """The measures of one variant that its answers give; `before` is the unedited model's."""
    by_kind: dict[str, list[tuple[Reading, Reading, Question]]] = {kind: [] for kind in KINDS}
    for asked, now, then in zip(questions, found, before, strict=True):
        by_kind[asked.kind].append((now, then, asked))
    row: Row = {}
    names = {"rewrite": "efficacy", "paraphrase": "paraphrase", "neighbour": "neighbourhood"}
    for kind, name in names.items():
        own = [now for now, _, _ in by_kind[kind]]
        row[f"{name}_acc"] = mean([float(reading.right[0]) for reading in own])
        row[f"{name}_success"] = mean([success(*reading.nll) for reading in own])
        row[f"{name}_diff"] = mean([magnitude(*reading.nll) for reading in own])
    row["kept"] = mean([float(now.answer == old.answer) for now, old, _ in by_kind["neighbour"]])
    row["negation"] = mean(
        [float(now.answer != asked.wanted.id) for now, _, asked in by_kind["negation"]]
    )
    turned = by_kind["reversed"]
    row["reversed_acc"] = mean([float(now.right[0]) for now, _, _ in turned])
    row["reversed_success"] = mean([success(now.nll[0], old.nll[0]) for now, old, _ in turned])
    return row


def in_words(
    model: LanguageModel, questions: Sequence[Question], found: Sequence[Reading]
) -> Mapping[str, str]:
    """`said` and `nlls` of a row: every question with its answer, and the numbers behind it."""
    said = [
        [asked.kind, asked.prompt, model.token_text(asked.wanted.id), model.token_text(now.answer)]
        for asked, now in zip(questions, found, strict=True)
    ]
    numbers: dict[str, list[list[float]]] = {}
    for asked, now in zip(questions, found, strict=True):
        if asked.other is not None:
            new, true = now.nll if asked.kind != "neighbour" else now.nll[::-1]
            values = [plain(new), plain(true), int(now.right[0])]
            numbers.setdefault(asked.kind, []).append(values)
    return {"said": json.dumps(said, ensure_ascii=False), "nlls": json.dumps(numbers)}


def plain(value: float) -> float | None:
    """As JSON has numbers: rounded, and nothing for what is none."""
    return round(value, 6) if math.isfinite(value) else None
