"""One fact, every method: what each edit does to the fact itself and to everything around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from core.editing.ask import answers
from core.editing.methods import METHODS, edit, method_of
from core.editing.second_moments import estimate_seconds, missing_second_moments
from core.editing.side_effects import side_effects
from core.errors import BackwardLensError
from core.model.edited import turn
from core.model.edits import Edit, matrix_shape
from core.model.language_model import LanguageModel

# Forward passes that one edit costs, a backward pass counted as two.
PASSES = {"forward-shift": 3.0, "sgd": 30.0, "mend": 6.0}
PASSES_A_STEP = {"adam": 3.0, "rome": 12.0, "memit": 12.0, "emmet": 12.0}
NO_EFFECT = 0.1  # nats of KL below which an unchanged answer counts as undisturbed


@dataclass(frozen=True)
class Preflight:
    """What an edit will cost: seconds and bytes are estimates."""

    seconds: float
    bytes: int
    missing: tuple[int, ...]  # layers whose second moments must be computed first
    missing_seconds: float


def preflight(
    model: LanguageModel, prompt: str, method: str, **hyperparameters: object
) -> Preflight:
    """An estimate from one timed forward pass of the prompt. Raises EditError and PromptError."""
    settings = method_of(method).defaults(model) | hyperparameters
    ids = model.encode(prompt)
    start = time.perf_counter()
    with turn(model, (), gradients=False):
        model.read(model.embed(ids))
    passes = PASSES.get(method) or PASSES_A_STEP[method] * float(settings.get("steps", 25))
    seconds = passes * (time.perf_counter() - start)
    layers = settings.get("layers") or (settings["layer"],)
    missing, extra = (), 0.0
    if METHODS[method].needs_moments:
        missing = missing_second_moments(model, layers)
        extra = estimate_seconds(model, layers) if missing else 0.0
    return Preflight(seconds, estimated_bytes(model, method, settings, len(ids)), missing, extra)


def estimated_bytes(
    model: LanguageModel, method: str, settings: dict[str, object], length: int
) -> int:
    """What the change will take, in float32: factors and keys, or for Adam the whole matrix."""
    matrices = settings.get("matrices") or (settings.get("matrix", "ff2"),)
    layers = settings.get("layers") or (settings["layer"],)
    shapes = [matrix_shape(model, matrix, layer) for matrix in matrices for layer in layers]
    if method == "adam":
        return sum(4 * d_in * d_out for d_in, d_out in shapes)
    rank = length if method in ("sgd", "mend") else 1
    keys = 4 * sum(d_in for d_in, _ in shapes) if METHODS[method].needs_moments else 0
    return keys + sum(4 * rank * (d_in + d_out) for d_in, d_out in shapes)


def compare_methods(
    model: LanguageModel,
    prompt: str,
    target: str,
    *,
    subject: str | None = None,
    methods: Sequence[str] = tuple(METHODS),
    paraphrases: Sequence[str] = (),
    neighbours: Sequence[str] = (),
    unrelated: Sequence[str] = (),
    edits: Sequence[Edit] = (),
    on_step: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, dict[str, Edit]]:
    """Edit the same fact with each method and its defaults, apart from the others.

    One row a method: method, title, answer (after it), target_probability, works (the answer is the
    target's first token), paraphrases (share that now answer the target), kept (share of neighbours
    and unrelated prompts whose answer stays), kl (mean over those, nats), seconds, bytes, rank,
    problem (why there is no edit; empty otherwise). Also the edits, by method. `edits` are active
    all the time. `on_step(methods done, all)` is called within a method as well, and may raise
    Cancelled. Raises PromptError and EditError for what fits no method.
    """
    goal = model.target(prompt, target)
    old = answers(model, prompt, edits=edits, top_k=1)["token"].iloc[0]
    rows, made = [], {}

    def report(*_: int) -> None:
        if on_step is not None:
            on_step(len(rows), len(methods))

    for method in methods:
        row = {"method": method, "title": METHODS[method].title, "problem": ""}
        try:
            new = edit(
                model,
                prompt,
                target,
                method=method,
                subject=subject,
                edits=edits,
                on_step=report,
            )
        except BackwardLensError as error:
            rows.append(row | {"works": False, "problem": str(error)})
        else:
            made[method] = new
            after = (*edits, new)
            says = answers(model, prompt, edits=after, top_k=1).iloc[0]
            around = side_effects(
                model,
                after,
                paraphrases=(prompt, *paraphrases),
                neighbours=neighbours,
                unrelated=unrelated,
                target=target,
                old_answer=old,
            )
            rows.append(row | summary(around, says["token"], goal.token, new))
        report()
    columns = ["method", "title", "answer", "target_probability", "works", "paraphrases"]
    columns += ["kept", "kl", "seconds", "bytes", "rank", "problem"]
    return pd.DataFrame(rows).reindex(columns=columns), made


def summary(around: pd.DataFrame, answer: str, target: str, new: Edit) -> dict[str, object]:
    """A row of `compare_methods`; the first paraphrase is the prompt itself."""
    own, rest = around.iloc[0], around.iloc[1:]
    asked = rest[rest["kind"] == "paraphrase"]
    others = rest[rest["kind"] != "paraphrase"]
    return {
        "answer": answer,
        "target_probability": own["target_after"],
        "works": answer == target,
        "paraphrases": (asked["answer_after"] == target).mean() if len(asked) else float("nan"),
        "kept": (others["answer_after"] == others["answer_before"]).mean(),
        "kl": others["kl"].mean(),
        "seconds": new.seconds,
        "bytes": new.size,
        "rank": new.rank,
    }


def verdicts(around: pd.DataFrame, target: str) -> pd.Series:
    """Whether each row of `side_effects` is as one would wish: "good", "mixed" or "bad".

    A paraphrase is good if it now answers the target's first token, mixed if that has become more
    probable. Another prompt is good if its answer stays and KL is below NO_EFFECT nats, mixed if
    only the answer stays.
    """

    def verdict(row: pd.Series) -> str:
        if row["kind"] == "paraphrase":
            if row["answer_after"] == target:
                return "good"
            return "mixed" if row["target_after"] > row["target_before"] else "bad"
        if row["answer_after"] != row["answer_before"]:
            return "bad"
        return "good" if row["kl"] < NO_EFFECT else "mixed"

    return pd.Series([verdict(row) for _, row in around.iterrows()], index=around.index, dtype=str)


def change_sizes(model: LanguageModel, new: Edit) -> pd.DataFrame:
    """Where an edit landed, and how large it is there.

    One row a change: matrix, layer, rank (an upper bound), norm (Frobenius, of the change),
    weight_norm (of the weight) and share (norm / weight_norm). Factors are never multiplied out.
    """
    rows = []
    for change in new.changes:
        if change.dense is not None:
            norm = float(change.dense.double().norm())
        else:
            u, v = change.u.double(), change.v.double()
            norm = float(((u.mT @ u) * (v.mT @ v)).sum().clamp_min(0).sqrt())
        modules = model.modules(change.matrix, change.layer)
        weight = sum(float(module.weight.float().norm()) ** 2 for module in modules) ** 0.5
        rows.append((change.matrix, change.layer, change.rank, norm, weight, norm / weight))
    columns = ["matrix", "layer", "rank", "norm", "weight_norm", "share"]
    return pd.DataFrame(rows, columns=columns)
