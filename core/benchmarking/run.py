"""The benchmark: CounterFact records, each edited by each method and judged alike (Tables 1, 6, 7).

Records are done a few together, always the same ones with all their methods, so that their numbers
are the same in one process and on many machines. Rows are written as they are made; what is there
is not made again.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from core.benchmarking.evaluate import TURN_TOKENS
from core.benchmarking.header import BenchmarkHeader, digest_of
from core.benchmarking.judged import TEXT_LENGTH, Judged, Task, judge
from core.benchmarking.measures import COLUMNS
from core.benchmarking.results import Benchmark
from core.benchmarking.specs import ORIGINAL, parse_spec
from core.benchmarking.store import Store
from core.benchmarking.text_metrics import ReferenceScore
from core.cluster.pool import Pool
from core.editing.edit_strength import TEXT, perplexity
from core.editing.hyperparameters import check_whole
from core.editing.methods import METHODS, settings_of
from core.editing.second_moments import missing_second_moments, second_moments
from core.errors import PromptError
from core.model.language_model import LanguageModel
from core.studies.counterfact import Record, Records
from core.studies.study import check_weights, weights_name

RECORDS_AT_ONCE = 4  # that are done together, so that their texts are written in shared passes
OnStep = Callable[[int, int], None]


def benchmark(
    model: LanguageModel,
    records: Sequence[Record],
    *,
    methods: Sequence[str] | None = None,
    limit: int = 1000,
    seed: int = 0,
    generate: bool = True,
    save_to: str | Path | None = None,
    on_step: OnStep | None = None,
    snippets: ReferenceScore | None = None,
    pool: Pool | None = None,
    turn_tokens: int = TURN_TOKENS,
) -> Benchmark:
    """Edit `limit` records, drawn with `seed`, with each method alone, and measure what it did.

    `methods` are specs (core.benchmarking.specs), by default all of METHODS; the unedited model is
    always a row, too. `generate` samples texts for the n-gram entropy and, where `snippets` are
    given, the reference score. With `save_to`, a folder, rows are written as they are made, by this
    process alone; called again it goes on, neither repeating nor losing a record, and other methods
    are added to it. `on_step(rows done, all)` may raise Cancelled; what is done stays in the
    folder. A `pool` (core.cluster) shares the records out among its workers. The model is held for
    passes of `turn_tokens` at most.

    Raises PromptError for a limit below 1, records without subject or right answer, and a folder
    that holds another benchmark; EditError for a method or a setting that there is not.
    """
    specs = checked_specs(model, tuple(METHODS) if methods is None else tuple(methods))
    check_whole("limit", limit, 1, 1_000_000)
    drawn = draw(records, limit, seed)
    header = begun(model, records, drawn, specs, seed, limit, generate)
    with ExitStack() as stack:
        folder = save_to or stack.enter_context(TemporaryDirectory())
        store = stack.enter_context(Store.begin(folder, header, drawn))
        missing = store.missing((ORIGINAL, *specs))
        progress = Progress(
            total=len(drawn) * (1 + len(specs)),
            left=sum(len(names) for _, names in missing),
            told=on_step or (lambda done, total: None),
        )
        tasks = [
            Task(i, drawn[i], without_original(names), seed, generate, turn_tokens)
            for i, names in missing
        ]
        prepare(model, tasks, progress.tell)
        for done in results(model, tasks, pool, progress.tell):
            rows = [rows_of(task.record, judged, snippets) for task, judged in done]
            store.append(pd.concat(rows, ignore_index=True))
            progress.count(sum(map(len, rows)))
        store.compact()
        return Benchmark(store.header, Records(header.records, tuple(drawn)), store.rows())


@dataclass
class Progress:
    """Rows that are there, of all that there will be."""

    total: int
    left: int
    told: OnStep

    def tell(self, *_: int) -> None:
        """For work that has steps of its own: a chance to cancel it."""
        self.told(self.total - self.left, self.total)

    def count(self, rows: int) -> None:
        self.left = max(0, self.left - rows)
        self.tell()


def checked_specs(model: LanguageModel, specs: tuple[str, ...]) -> tuple[str, ...]:
    """Specs whose methods and settings there are, each once; raises EditError."""
    for spec in specs:
        method, settings = parse_spec(spec)
        settings_of(method, model, settings)
    return tuple(dict.fromkeys(specs))


def draw(records: Sequence[Record], limit: int, seed: int) -> list[Record]:
    """Records in a drawn order, of those that name a subject and a right answer."""
    usable = [r for r in records if r.subject is not None and r.target_true is not None]
    if not usable:
        raise PromptError(
            "None of the records names both a subject and a right answer, which the benchmark "
            "needs. Choose a CounterFact file."
        )
    return random.Random(seed).sample(usable, min(limit, len(usable)))


def begun(
    model: LanguageModel,
    records: Sequence[Record],
    drawn: Sequence[Record],
    specs: tuple[str, ...],
    seed: int,
    limit: int,
    generate: bool,
) -> BenchmarkHeader:
    return BenchmarkHeader(
        model=model.name,
        fingerprint=weights_name(model),
        n_layers=model.n_layers,
        vocabulary_size=model.vocabulary_size,
        records=getattr(records, "name", "records"),
        digest=digest_of(drawn),
        limit=limit,
        seed=seed,
        total=len(drawn),
        methods=specs,
        generate=generate,
        tokens_generated=min(TEXT_LENGTH, model.context_length) if generate else 0,
        perplexity_text=hashlib.sha256(TEXT.read_bytes()).hexdigest(),
        original_perplexity=perplexity(model),
    )


def without_original(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name != ORIGINAL)


def prepare(model: LanguageModel, tasks: Sequence[Task], tell: Callable[..., None]) -> None:
    """Compute once what many edits need: second moments, which lie in the cache then."""
    layers: set[int] = set()
    for spec in {spec for task in tasks for spec in task.methods}:
        method, given = parse_spec(spec)
        if METHODS[method].needs_moments:
            settings = settings_of(method, model, given)
            layers |= set(settings.get("layers") or (settings["layer"],))
    if layers and missing_second_moments(model, sorted(layers)):
        second_moments(model, sorted(layers), on_step=tell)


def results(
    model: LanguageModel,
    tasks: Sequence[Task],
    pool: Pool | None,
    tell: Callable[..., None],
) -> Iterator[list[tuple[Task, Judged]]]:
    """Tasks as they are finished; without a pool they can be cancelled within a record."""
    groups = grouped(tasks)
    if pool is None:
        found = ((i, judge(model, group, tell)) for i, group in enumerate(groups))
    else:
        found = pool.map(partial(judge_with, weights_name(model)), groups)
    for index, judged in found:
        yield list(zip(groups[index], judged, strict=True))


def judge_with(weights: str, model: LanguageModel, tasks: list[Task]) -> list[Judged]:
    """`judge` by a worker, who must have the driver's weights."""
    check_weights(weights, model)
    return judge(model, tasks)


def grouped(tasks: Sequence[Task]) -> list[list[Task]]:
    """Records that write side by side: always the same ones, whenever a run was ended. Each is
    alone where turns are short, so that others wait little and each record counts at once."""
    by_place: dict[tuple[int, tuple[str, ...]], list[Task]] = {}
    for task in tasks:
        at_once = RECORDS_AT_ONCE if task.turn_tokens >= TURN_TOKENS else 1
        by_place.setdefault((task.index // at_once, task.methods), []).append(task)
    return list(by_place.values())


def rows_of(record: Record, judged: Judged, snippets: ReferenceScore | None) -> pd.DataFrame:
    """A record's rows, with the reference score, which the workers need not know."""
    rows = [dict(row) for row in judged.rows]
    if snippets is not None:
        for row, texts in zip(rows, judged.texts, strict=True):
            if texts:
                row["reference"] = snippets.score(record, texts)
    return pd.DataFrame(rows, columns=list(COLUMNS))
