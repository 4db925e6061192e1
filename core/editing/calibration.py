"""Calibration: the layer and strength of a method that suit a model, found on facts it knows.

The setting that is kept makes the target the answer in at least EFFICACY of the records and has
the best harmonic mean of efficacy, paraphrase and neighbourhood.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from core.editing.calibrated import fixed_settings, read_kept, settings_in, write_kept
from core.editing.forward_shift import read_prompt
from core.editing.hyperparameters import AUTO, check_whole, relative_layer
from core.editing.methods import edit, method_of
from core.editing.scores import (
    SCORES,
    Record,
    answered,
    first_token_scores,
    harmonic_mean,
    next_tokens,
)
from core.errors import EditError, PromptError
from core.model.edits import Edit, Fact
from core.model.fingerprint import fingerprint
from core.model.language_model import LanguageModel

EFFICACY = 0.99
SHARES = (0.15, 0.3, 0.6, 1.0, 1.7, 3.0)  # of the residual stream's norm, for the forward shift
DEPTHS = (0.4, 0.55, 0.65, 0.75, 0.85, 0.95)
EARLY_DEPTHS = (0.0, 0.15, 0.35, 0.5)  # for the methods that need second moments
COLUMNS = ("layer", "strength", *SCORES, "harmonic_mean", "records")


@dataclass(frozen=True, eq=False)
class Calibration:
    """What was tried for a model and a method, and what is kept.

    table: one row a setting; columns layer, strength (a number or "auto"), efficacy, paraphrase,
    neighbourhood (0 to 1), harmonic_mean, records. `settings` is what `defaults(model)` now uses;
    empty if no setting reached EFFICACY. `fixed` is the best with one strength for all prompts, as
    the paper uses it: `edit(..., eta="fixed")`.
    """

    method: str
    asked: int  # records whose prompt was put to the model
    known: int  # of these, answered as the record says
    settings: dict[str, object]
    fixed: dict[str, object]
    table: pd.DataFrame


def calibrate(
    model: LanguageModel,
    method: str,
    records: Iterable[Record],
    *,
    limit: int = 50,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Scan layers and strengths on records that the model answers correctly, and keep the best.

    Records are drawn with `seed` until `limit` of them are answered rightly; `known` says how many
    there were. Scores are argmax accuracies of the target's first token; a neighbour counts if its
    answer stays. The result is kept in the cache folder for these weights and used by
    `defaults(model)`. `on_step(done, total)` may raise Cancelled, which keeps nothing. Raises
    EditError for an unknown method, PromptError if the model answers no record.
    """
    method_of(method)
    check_whole("limit", limit, 1, 10_000)
    report = on_step or (lambda done, total: None)
    drawn, asked = draw_known(model, list(records), limit, seed, lambda: report(0, limit))
    if not drawn:
        raise PromptError(
            f"{model.name} answers none of these {asked} prompts as the records say, so that there "
            "is nothing to calibrate on. Choose other records."
        )
    trials = trials_of(model, method, drawn)
    rows = []
    for i, record in enumerate(drawn):
        before = next_tokens(model, record.neighbours)
        for j, made in enumerate(edits_of(model, method, record, trials)):
            rows.append((*trials[j], *scored(model, record, made, before).values()))
            report(i * len(trials) + j + 1, len(drawn) * len(trials))
    table = summary(rows)
    settings, fixed = chosen(model, method, table), chosen(model, method, table, fixed=True)
    calibration = Calibration(method, asked, len(drawn), settings, fixed, table)
    write_kept(model, method, content_of(calibration, model))
    return calibration


def draw_known(
    model: LanguageModel, records: list[Record], limit: int, seed: int, report: Callable[[], None]
) -> tuple[list[Record], int]:
    """Records that the model answers rightly, in a drawn order; and how many were asked."""
    order, known, asked = random.Random(seed).sample(records, len(records)), [], 0
    for record, right in zip(order, answered(model, order), strict=False):
        asked += 1
        report()
        new = model.target(record.prompt, record.target_new).id
        if right and new != model.target(record.prompt, record.target_true).id:
            known.append(record)
        if len(known) == limit:
            break
    return known, asked


def trials_of(
    model: LanguageModel, method: str, records: Sequence[Record]
) -> list[tuple[int, object]]:
    """(layer, strength) to try. Strengths of the forward shift are multiples of a layer's natural
    one, at which the shift is as long as the residual stream: the median over records."""
    depths = EARLY_DEPTHS if method_of(method).needs_moments else DEPTHS
    layers = {relative_layer(model, depth) for depth in depths} | {usual_layer(model, method)}
    if method == "mend":  # only where its network edits
        layers = set(method_of(method).defaults(model)["layers"])
    if method != "forward-shift":
        return [(layer, AUTO) for layer in sorted(layers)]
    natural = {layer: [] for layer in sorted(layers)}
    for record in records[:10]:
        fact = Fact(record.prompt, record.subject, record.target_new)
        reading = read_prompt(model, fact, ())
        for layer, values in natural.items():
            residual = reading.residuals[layer][0, -1].float().norm()
            values.append(float(residual / reading.shift(layer)[-1].norm().clamp_min(1e-30)))
    scales = {layer: sorted(values)[len(values) // 2] for layer, values in natural.items()}
    return [
        (layer, strength)
        for layer, scale in scales.items()
        for strength in (AUTO, *(float(f"{share * scale:.3g}") for share in SHARES))
    ]


def edits_of(
    model: LanguageModel, method: str, record: Record, trials: Sequence[tuple[int, object]]
):
    """The edit of each trial, or None where it finds none."""
    for layer, strength in trials:
        try:
            yield edit(
                model,
                record.prompt,
                record.target_new,
                method=method,
                subject=record.subject,
                **given(model, method, layer, strength),
            )
        except EditError:
            yield None


def given(model: LanguageModel, method: str, layer: int, strength: object) -> dict[str, object]:
    """The hyperparameters of a trial: MEMIT's usual number of layers, up to this one; from this
    one to the last for the gradient step, and for MEND to the last that its network edits."""
    if method == "memit":
        width = len(method_of(method).defaults(model)["layers"])
        return {"layers": tuple(range(max(0, layer - width + 1), layer + 1))}
    if method == "sgd":
        return {"layers": tuple(range(layer, model.n_layers))}
    if method == "mend":
        edited = method_of(method).defaults(model)["layers"]
        return {"layers": tuple(n for n in edited if n >= layer)}
    return {"layer": layer} | ({"eta": strength} if method == "forward-shift" else {})


def usual_layer(model: LanguageModel, method: str) -> int:
    """The one of a trial that is what the method does without a calibration."""
    defaults = method_of(method).defaults(model)
    if "layer" in defaults:
        return defaults["layer"]
    return defaults["layers"][-1] if method == "memit" else defaults["layers"][0]


def scored(
    model: LanguageModel, record: Record, made: Edit | None, before: Sequence[int]
) -> dict[str, float]:
    return first_token_scores(model, record, () if made is None else (made,), before=before)


def summary(rows: Sequence[tuple]) -> pd.DataFrame:
    """The mean of each setting over the records, in the order of the trials."""
    table = pd.DataFrame(rows, columns=["layer", "strength", *SCORES])
    groups = table.groupby(["layer", "strength"], sort=False)
    means = groups[[*SCORES]].mean().reset_index()
    means["harmonic_mean"] = [harmonic_mean(row) for row in means[[*SCORES]].to_numpy()]
    means["records"] = groups.size().to_numpy()
    return means


def chosen(
    model: LanguageModel, method: str, table: pd.DataFrame, *, fixed: bool = False
) -> dict[str, object]:
    """The best setting of those that reach EFFICACY, {} if none does; with `fixed`, of those with
    one strength for all prompts."""
    good = table[table["efficacy"] >= EFFICACY]
    good = good[good["strength"] != AUTO] if fixed else good
    if good.empty:
        return {}
    best = good.loc[good["harmonic_mean"].idxmax()]
    settings = given(model, method, int(best["layer"]), best["strength"])
    strength = settings.get("eta", AUTO)
    return settings | ({} if strength == AUTO else {"eta": float(strength)})


def content_of(calibration: Calibration, model: LanguageModel) -> dict[str, object]:
    """What is stored: plain values only."""
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in calibration.settings.items()}
    rows = calibration.table[list(COLUMNS)].round(4).astype(object)
    return {
        "model": model.name,
        "fingerprint": fingerprint(model),
        "method": calibration.method,
        "asked": calibration.asked,
        "known": calibration.known,
        "settings": settings,
        "fixed": calibration.fixed,
        "rows": rows.where(rows.notna(), None).to_numpy().tolist(),
    }


def known_calibration(model: LanguageModel, method: str) -> Calibration | None:
    """The calibration that `defaults(model)` uses: the user's own, or a shipped one."""
    content = read_kept(model, method)
    if content is None:
        return None
    try:
        table = pd.DataFrame(content["rows"], columns=list(COLUMNS))
        numbers = [*SCORES, "harmonic_mean"]
        table[numbers] = table[numbers].astype(float)
        asked, known = int(content["asked"]), int(content["known"])
    except (KeyError, TypeError, ValueError):
        return None
    settings = settings_in(content, model) or {}
    return Calibration(method, asked, known, settings, fixed_settings(model, method), table)
