"""What edits have done, and what else they changed."""

from __future__ import annotations

import pandas as pd

from app.words import code_span, count, named_layers
from core import METHODS, Edit


def edit_finding(before: pd.DataFrame, after: pd.DataFrame, target: str) -> str:
    """Whether the edited model says the target, and what it said before."""
    old, new = (
        f"{code_span(table['token'].iloc[0])} ({table['probability'].iloc[0]:.0%})"
        for table in (before, after)
    )
    if after["token"].iloc[0] == before["token"].iloc[0] == target:
        return f"The model said {old} before, which is your target, and says it still: {new}."
    if after["token"].iloc[0] == target:
        return f"The original says {old}; with your edits the model says the target: {new}."
    if after["token"].iloc[0] == before["token"].iloc[0]:
        return (
            f"The original says {old} and so does the model with your edits: {new}. The active "
            f"edits do not make it say {code_span(target)} here."
        )
    return (
        f"The original says {old}; with your edits it is {new}, which is not the target "
        f"{code_span(target)}."
    )


def fallback_finding(edit: Edit) -> str:
    """Says that a method had to leave the subject; empty where the subject worked."""
    used = edit.hyperparameters
    by_key = edit.method in METHODS and METHODS[edit.method].needs_moments
    if not by_key or used.get("token") != "last" or not used.get("adapt"):
        return ""
    title = METHODS[edit.method].title
    if len(edit.facts) > 1:
        return (
            f"For some of the facts {title} changed what the model reads at the prompt's last "
            "token, not at the subject: a change there did not make it say the target."
        )
    return (
        f"{title} changed what the model reads at the prompt's last token, not at the subject "
        f"{code_span(edit.subject or '')}: a change there did not make it say the target."
    )


def facts_finding(table: pd.DataFrame) -> str:
    """How many facts the model says, before and now, and the first that it does not say."""
    said = table["said"].astype(bool)
    before = int((table["answer_before"] == table["target"]).sum())
    now = f"{int(said.sum())} of {count(len(table), 'fact')}"
    start = f"With your edits the model says {now}; the original says {before or 'none'} of them."
    missing = table[~said]
    if missing.empty:
        return start
    first = missing.iloc[0]
    more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    return (
        f"{start} Not said: {code_span(first['target'])} after {code_span(first['prompt'])}{more}."
    )


def lens_change_finding(before: pd.DataFrame, after: pd.DataFrame, target: str) -> str:
    """Where the target's probability rose most, and in which layers words changed."""
    gain = (after["target_probability"] - before["target_probability"]).to_numpy()
    changed = word_changes(before, after).to_numpy()
    if not changed.any() and abs(gain).max() < 1e-6:
        return "Nothing has changed: both models think the same at every layer and token."
    top = before.iloc[int(gain.argmax())]
    cells = count(int(changed.sum()), "cell")
    if gain.max() < 0.005:
        return (
            f"The first word has changed in {cells} of {len(gain)}; the probability of "
            f"{code_span(target)} has risen nowhere by 1%."
        )
    first = int(before.loc[changed, "layer"].min()) if changed.any() else None
    since = f", the first of them in layer {first}" if first is not None else ""
    return (
        f"{code_span(target)} has gained most in layer {top['layer']} at "
        f"{code_span(top['token'])} (+{gain.max():.0%}). The first word has changed in {cells} of "
        f"{len(gain)}{since}."
    )


def word_changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.Series:
    """Which cells have another first word; a vector of zeros has none."""
    return before["top_tokens"].str[0].fillna("") != after["top_tokens"].str[0].fillna("")


def landing_finding(sizes: pd.DataFrame, entries: tuple) -> str:
    """How much of the model the edits touch."""
    top = sizes.loc[sizes["share"].idxmax()]
    memory = sum(entry.edit.size for entry in entries) / 1e3
    edits = count(len(entries), "edit")
    where = named_layers(list(dict.fromkeys(sizes["layer"])))
    if top["norm"] == 0:
        return f"{edits}, of size zero: the model said the target already."
    return (
        f"{edits} in {where}, {memory:,.0f} kB in all. The "
        f"largest change is in layer {top['layer']} ({top['Matrix']}): {top['share']:.1%} of the "
        f"matrix's size, of rank {top['rank']} at most."
    )


def side_effects_finding(around: pd.DataFrame, verdicts: pd.Series) -> str:
    """How many prompts of each kind came out well."""
    parts = []
    for kind, verb in (
        ("paraphrase", "say the target"),
        ("neighbour", "keep their answer"),
        ("unrelated", "keep their answer"),
    ):
        rows = around[around["kind"] == kind]
        if rows.empty:
            continue
        if kind == "paraphrase":
            good = (verdicts[rows.index] == "good").sum()
        else:
            good = (rows["answer_after"] == rows["answer_before"]).sum()
        name = {"paraphrase": "paraphrases", "neighbour": "neighbours"}.get(kind, "unrelated ones")
        parts.append(f"{good} of {len(rows)} {name} {verb}")
    return f"With your edits {'; '.join(parts)}."


def comparison_finding(table: pd.DataFrame, target: str) -> str:
    """Which methods work, and which of them keeps the rest best."""
    works = table[table["works"].astype(bool)]
    if works.empty:
        return f"No method makes the model say {code_span(target)} here."
    best = works.loc[(works["paraphrases"].fillna(0) + works["kept"].fillna(0)).idxmax()]
    fast = works.loc[works["seconds"].idxmin()]
    return (
        f"{len(works)} of {len(table)} methods make the model say {code_span(target)}. "
        f"{best['title']} does best on paraphrases and other prompts together; {fast['title']} is "
        f"the fastest ({fast['seconds']:.2f} s)."
    )
