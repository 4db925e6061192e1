"""Our evaluation beside memit's own, on the same records and the same edited weights.

    python -m benchmarks.benchmark_speed --model tiny-gpt2 --records FILE --memit-checkout DIR

DIR is a checkout of kmeng01/memit, which the reader supplies, with what it imports (nltk,
scikit-learn, scipy, matplotlib) in the environment; its files are used as they are. Without
`--snippets` memit asks its prompts only; with them it writes texts, too. For models of GPT-2's
architecture, whose tokenizer puts nothing before a text.
"""

from __future__ import annotations

import copy
import importlib
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import torch

from benchmarks.analysis import seconds
from core import Edit, EditError, LanguageModel, Record, edit
from core.benchmarking.asked import Question, questions_of
from core.benchmarking.evaluate import Reading, readings
from core.benchmarking.judged import TEXT_LENGTH
from core.benchmarking.memit_case import KINDS, rewrite_of
from core.benchmarking.specs import parse_spec
from core.benchmarking.templates import generation_prompts
from core.benchmarking.text_metrics import ReferenceScore, Snippets, load_snippets, ngram_entropy
from core.benchmarking.writing import Writing, continuations
from core.model.edited import turn

WHERE = "experiments.py.eval_utils_counterfact"
ENTRY = "compute_rewrite_quality_counterfact"
HELP = (
    "Clone https://github.com/kmeng01/memit, install what it imports (nltk, scikit-learn, scipy, "
    "matplotlib, datasets) into an environment of its own beside this project's packages, and give "
    "its folder as --memit-checkout."
)
MEMIT_LENGTH = 100  # tokens of a text that memit's evaluation writes
Evaluation = Callable[..., dict]


def memits_evaluation(checkout: Path) -> Evaluation:
    """memit's function, from its own files; ends with what is missing where there are none."""
    checkout = checkout.resolve()
    if not (checkout / (WHERE.replace(".", "/") + ".py")).is_file():
        raise SystemExit(f"{checkout} is no checkout of memit: it has no {WHERE}. {HELP}")
    here = Path.cwd()
    sys.path.insert(0, str(checkout))
    os.chdir(checkout)  # it reads globals.yml from where it stands
    try:
        return getattr(importlib.import_module(WHERE), ENTRY)
    except ImportError as error:
        raise SystemExit(f"memit's evaluation cannot be imported: {error}. {HELP}") from error
    finally:
        os.chdir(here)


class OnThisDevice:
    """A tokenizer whose tensors come to where the model is: memit sends them to "cuda"."""

    def __init__(self, tokenizer: object, device: torch.device) -> None:
        self.tokenizer, self.device = tokenizer, device

    def __call__(self, *args: object, **options: object) -> object:
        found = self.tokenizer(*args, **options)
        if options.get("return_tensors") == "pt":
            found = found.to(self.device)
            found.to = lambda _: found
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self.tokenizer, name)


def vectorizer_of(snippets: Snippets) -> object:
    """What memit takes from scikit-learn, fitted on the snippets; `.A` as its scipy had it."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    fitted = TfidfVectorizer().fit([text for texts in snippets.texts.values() for text in texts])
    return SimpleNamespace(
        transform=lambda texts: SimpleNamespace(A=fitted.transform(texts).toarray())
    )


def snippets_by_relation(snippets: Snippets) -> dict:
    found: dict = defaultdict(lambda: defaultdict(list))
    for (relation, target), texts in snippets.texts.items():
        found[relation][target] = [{"name": "", "text": text} for text in texts]
    return found


def as_memit_has_it(record: Record) -> dict:
    """CounterFact's own form of a record."""
    return {
        "case_id": record.case_id,
        "requested_rewrite": rewrite_of(record),
        "paraphrase_prompts": list(record.paraphrases),
        "neighborhood_prompts": list(record.neighbours),
        "generation_prompts": list(generation_prompts(record)),
    }


def edits_of(model: LanguageModel, record: Record, methods: Sequence[str]) -> dict[str, Edit]:
    found = {}
    for spec in methods:
        method, settings = parse_spec(spec)
        asked = {"method": method, "subject": record.subject, **settings}
        try:
            found[spec] = edit(model, record.prompt, record.target_new, **asked)
        except EditError as error:
            print(f"    {spec}, case {record.case_id}: {error}")
    return found


def compare_answers(theirs: dict, asked: Sequence[Question], ours: Sequence[Reading]) -> float:
    """The largest difference between NLLs; ends the run where an answer is another one."""
    largest = 0.0
    for kind, name, _ in KINDS:
        own = [r for q, r in zip(asked, ours, strict=True) if q.kind == kind]
        pairs, right = theirs[f"{name}_probs"], theirs[f"{name}_correct"]
        for reading, pair, said in zip(own, pairs, right, strict=True):
            new, true = reading.nll if kind != "neighbour" else reading.nll[::-1]
            largest = max(largest, abs(new - pair["target_new"]), abs(true - pair["target_true"]))
            if bool(said) != reading.right[0]:
                raise SystemExit(f"memit finds another answer to a {kind}: {pair}, {reading}")
    return largest


def compare_texts(theirs: dict, record: Record, score: ReferenceScore) -> tuple[float, float]:
    """How far our entropy and reference score of memit's own texts are from memit's."""
    texts = theirs["text"]
    entropy = statistics.fmean(map(ngram_entropy, texts))
    return (
        abs(entropy - theirs["ngram_entropy"]),
        abs(score.score(record, texts) - theirs["reference_score"]),
    )


def our_texts(model: LanguageModel, record: Record, edits: Sequence[Edit]) -> None:
    """Texts of all edits at once, and their entropies."""
    prompts = [model.encode(prompt) for prompt in generation_prompts(record)]
    length = min(TEXT_LENGTH, model.context_length)
    chances = torch.rand(len(prompts), length, dtype=torch.float64)
    variants = [[change] for change in edits]
    (written,) = continuations(model, [Writing(prompts, variants, chances)], length=length)
    for rows in written:
        statistics.fmean(ngram_entropy(model.tokenizer.decode(row)) for row in rows)


def side_by_side(
    model: LanguageModel,
    records: Sequence[Record],
    methods: Sequence[str],
    checkout: Path,
    snippets_file: Path | None,
) -> None:
    """(g): each record's edits judged by both, in turns; the numbers must be the same."""
    evaluate = memits_evaluation(checkout)
    tokenizer = tokenizer_of(model)
    snippets = load_snippets(snippets_file) if snippets_file else None
    if snippets and model.context_length < MEMIT_LENGTH:
        raise SystemExit(
            f"memit writes texts of {MEMIT_LENGTH} tokens, and {model.name} reads "
            f"{model.context_length}. Leave --snippets out, or take another model."
        )
    tools = (snippets_by_relation(snippets), vectorizer_of(snippets)) if snippets else (None, None)
    score = ReferenceScore(snippets) if snippets else None
    took: dict[str, list[float]] = {"ours": [], "theirs": []}
    largest, off = 0.0, [(0.0, 0.0)]
    for number, record in enumerate(records):
        edits = list(edits_of(model, record, methods).values())
        asked = [q for q in questions_of(model, record) if q.other is not None]
        written, found, theirs = as_memit_has_it(record), [], []

        def our_turn(record=record, edits=edits, asked=asked, found=found) -> None:
            found += readings(model, asked, [[change] for change in edits])
            if snippets:
                our_texts(model, record, edits)

        def their_turn(written=written, edits=edits, theirs=theirs) -> None:
            for change in edits:
                with turn(model, [change], gradients=False):
                    theirs.append(evaluate(model.network, tokenizer, written, *tools))

        for who in ("ours", "theirs") if number % 2 else ("theirs", "ours"):
            took[who].append(seconds(our_turn if who == "ours" else their_turn))
        largest = max(
            [largest, *(compare_answers(t, asked, f) for t, f in zip(theirs, found, strict=True))]
        )
        if score:
            off += [compare_texts(one, record, score) for one in theirs]
    report(took, largest, off if score else [], len(methods))


def tokenizer_of(model: LanguageModel) -> OnThisDevice:
    """memit pads with the end of text, on the right."""
    tokenizer = copy.deepcopy(model.tokenizer)
    if tokenizer(" x")["input_ids"] != tokenizer(" x", add_special_tokens=False)["input_ids"]:
        raise SystemExit(
            f"memit miscounts the tokens of {model.name}, whose tokenizer puts a mark before each "
            "text. Take a model of GPT-2's architecture."
        )
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "right"
    return OnThisDevice(tokenizer, model.device)


def report(
    took: dict[str, list[float]], largest: float, off: Sequence[tuple[float, float]], methods: int
) -> None:
    ratio = statistics.median(b / a for a, b in zip(took["ours"], took["theirs"], strict=True))
    ours, theirs = (sum(took[who]) for who in ("ours", "theirs"))
    print(
        f"(g) {len(took['ours'])} records, {methods} methods each, judged in {ours:.2f} s against "
        f"memit's {theirs:.2f} s: {ratio:.1f} x, median of records; the same answers, NLLs within "
        f"{largest:.0e}"
    )
    if off:
        entropy, reference = (max(values) for values in zip(*off, strict=True))
        print(
            f"    of memit's own texts: entropies within {entropy:.0e} bits, reference scores "
            f"within {reference:.0e}"
        )
