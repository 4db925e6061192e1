"""Does a MEND network beat the gradient step that it transforms? On facts it has never seen.

The plain step is -dL/dW of the same matrices, as long as MEND's whole edit (Frobenius norm over all
of them). Both are scaled up and down; what they write is compared where they disturb a record's
neighbours equally, by the mean KL of the next token.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from core import Change, LanguageModel, Record
from core.editing.gradient_step import scaled
from core.editing.mend_facts import TrainingFact
from core.editing.mend_lessons import Lesson, School, gradient_steps, school_of
from core.editing.mend_network import MendNetwork
from core.editing.mend_start import frobenius
from core.model.edited import changed, turn

FACTORS = {
    "mend": (0.7, 1.0, 1.4),
    "plain": (0.003, 0.006, 0.0125, 0.025, 0.05, 0.1, 0.18, 0.25, 0.35, 0.5, 1.0),
}
MEASURES = ("efficacy", "paraphrase", "kept", "kl")
RESAMPLES = 1000


def fact_of(record: Record) -> TrainingFact:
    """All of a record's own prompts; its neighbours are what must stay."""
    return TrainingFact(record.prompt, record.target_new, record.paraphrases, record.neighbours)


def gate_rows(
    model: LanguageModel, network: MendNetwork, records: Sequence[Record]
) -> pd.DataFrame:
    """One row a record, way (mend, plain) and factor: case_id, way, factor, norm (of the edit),
    efficacy, paraphrase (every token of the new target is the argmax), kept (share of neighbours
    whose next token stays), kl (their mean, nats)."""
    facts = [fact_of(record) for record in records]
    school = school_of(model, facts, network.sites, lambda done, total: None)
    rows = []
    for record, lesson in zip(records, school.lessons, strict=True):
        with turn(model, (), gradients=True):
            step = list(gradient_steps(school, lesson).values())
        edit = network.edit(step)
        size = total_norm(edit)
        plain = scaled(step, size / total_norm(step))
        for way, changes in (("mend", edit), ("plain", plain)):
            for factor in FACTORS[way]:
                found = measured(school, lesson, scaled(changes, factor))
                row = {"case_id": record.case_id, "way": way, "factor": factor}
                rows.append(row | {"norm": factor * size} | found)
    return pd.DataFrame(rows)


def total_norm(changes: Sequence[Change]) -> float:
    return sum(frobenius(change) ** 2 for change in changes) ** 0.5


def measured(school: School, lesson: Lesson, changes: Sequence[Change]) -> dict[str, float]:
    """The MEASURES of one record with these changes."""
    model, rows = school.upper.model, (*lesson.rows, *lesson.unrelated)
    with turn(model, (), gradients=False), changed(model, changes):
        hidden = school.upper.run(rows)
        right = [
            says(model, hidden[i, len(row) - len(goal) : len(row)], goal)
            for i, (row, goal) in enumerate(zip(lesson.rows, lesson.goals, strict=True))
        ]
        ends = [hidden[len(right) + i, len(row) - 1] for i, row in enumerate(lesson.unrelated)]
        after = model.unembedding(torch.stack(ends)).float().log_softmax(-1)
        old = torch.stack([school.before[row][-1] for row in lesson.unrelated])
        before = model.unembedding(old.to(ends[0].device, ends[0].dtype)).float().log_softmax(-1)
    return {
        "efficacy": right[0],
        "paraphrase": float(np.mean(right[1:])) if right[1:] else float("nan"),
        "kept": float((after.argmax(-1) == before.argmax(-1)).float().mean()),
        "kl": float((before.exp() * (before - after)).sum(-1).clamp_min(0).mean()),
    }


def says(model: LanguageModel, hidden: torch.Tensor, goal: tuple[int, ...]) -> float:
    return float(model.unembedding(hidden).argmax(-1).tolist() == list(goal))


def curve(rows: pd.DataFrame, way: str) -> pd.DataFrame:
    """The means of a way's measures, a row a factor."""
    return rows[rows["way"] == way].groupby("factor")[[*MEASURES, "norm"]].mean()


def at_equal_kl(curve: pd.DataFrame, kl: float) -> pd.Series:
    """A way's efficacy, paraphrase and kept where its mean KL is this: between two factors on a
    straight line over log KL; NaN where no factor comes near."""
    order = np.maximum.accumulate(curve["kl"].to_numpy())
    places = np.log(np.maximum(order, 1e-9))
    names = ["efficacy", "paraphrase", "kept"]
    out = {"left": np.nan, "right": np.nan}
    at = np.log(max(kl, 1e-9))
    return pd.Series({name: np.interp(at, places, curve[name], **out) for name in names})


def verdict(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """MEND at its own strength beside the plain step, with equal size and with equal KL.

    One row each: name, efficacy, paraphrase, kept, kl; the last one, "gain at equal KL", is the
    difference, with 95% intervals over records in efficacy_low, efficacy_high, ...
    """
    mend, plain = curve(rows, "mend"), curve(rows, "plain")
    kl = mend.loc[1.0, "kl"]
    same = at_equal_kl(plain, kl)
    table = pd.DataFrame(
        [
            {"name": "MEND", **mend.loc[1.0, list(MEASURES)]},
            {"name": "plain step, equal size", **plain.loc[1.0, list(MEASURES)]},
            {"name": "plain step, equal KL", **same, "kl": kl},
            {"name": "gain at equal KL", **gain(rows)} | intervals(rows, seed),
        ]
    )
    return table


def gain(rows: pd.DataFrame) -> pd.Series:
    mend = curve(rows, "mend").loc[1.0]
    return mend[["efficacy", "paraphrase", "kept"]] - at_equal_kl(curve(rows, "plain"), mend["kl"])


def intervals(rows: pd.DataFrame, seed: int) -> dict[str, float]:
    """95% intervals of the gain, over records drawn again and again."""
    chance = np.random.default_rng(seed)
    groups = {way: cube(rows, way) for way in FACTORS}  # (record, factor, measure)
    n = len(next(iter(groups.values())))
    gains = []
    for _ in range(RESAMPLES):
        drawn = chance.integers(0, n, n)
        means = {
            way: pd.DataFrame(np.nanmean(values[drawn], 0), FACTORS[way], [*MEASURES])
            for way, values in groups.items()
        }
        mend = means["mend"].loc[1.0]
        same = at_equal_kl(means["plain"], mend["kl"])
        gains.append(mend[["efficacy", "paraphrase", "kept"]] - same)
    low, high = pd.DataFrame(gains).quantile(0.025), pd.DataFrame(gains).quantile(0.975)
    return {f"{n}_low": low[n] for n in low.index} | {f"{n}_high": high[n] for n in high.index}


def cube(rows: pd.DataFrame, way: str) -> np.ndarray:
    own = rows[rows["way"] == way]
    n = len(own) // len(FACTORS[way])
    return own[[*MEASURES]].to_numpy().reshape(n, len(FACTORS[way]), len(MEASURES))
