"""Which method edits best, as far as the records can tell.

Rows and tables are those of core's Benchmark: a row a record and method, and a row a method with
its means and their intervals.
"""

from __future__ import annotations

from itertools import combinations

import pandas as pd

from app.words import count, duration, joined, number, plain
from core.benchmarking.apart import order_counts, told_apart
from core.benchmarking.specs import ORIGINAL

WRITES = 0.5  # of the facts that a method must write to be praised for what it leaves alone
PAPERS = {  # the measures that the paper gives, and how the benchmark's table calls them
    "efficacy_acc": "efficacy",
    "paraphrase_acc": "paraphrase",
    "neighbourhood_acc": "neighbourhood",
}


def methods_of(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the methods: all but that of the unedited model."""
    return table[table["method"] != ORIGINAL]


def best_of(
    rows: pd.DataFrame, table: pd.DataFrame, measure: str, *, most: bool = True
) -> tuple[pd.Series | None, list[str]]:
    """The table's row with the most (or least) of a measure, and the titles of the methods that
    cannot be told from it."""
    known = table[table[measure].notna()]
    if known.empty:
        return None, []
    best = known.loc[known[measure].idxmax() if most else known[measure].idxmin()]
    others = known[known["method"] != best["method"]]
    ties = [
        row["title"]
        for _, row in others.iterrows()
        if told_apart(rows, measure, best["method"], row["method"]) == 0
    ]
    return best, ties


def bold(title: str) -> str:
    return f"**{plain(title)}**"


def share(row: pd.Series, measure: str) -> str:
    """ "71% (65 to 77)", with the interval where there is one."""
    low, high = row.get(f"{measure}_low"), row.get(f"{measure}_high")
    between = f", {100 * low:.0f} to {100 * high:.0f}" if pd.notna(low) and pd.notna(high) else ""
    return f"{row[measure]:.0%}{between}"


def tied(ties: list[str]) -> str:
    """The rest of a sentence about those that cannot be told from the best."""
    if not ties:
        return ""
    names = joined([plain(title) for title in ties]) if len(ties) < 4 else f"{len(ties)} others"
    return f"; {names} cannot be told from it"


def nothing(table: pd.DataFrame) -> str:
    return "No method has been measured yet." if methods_of(table).empty else ""


def accuracy_finding(rows: pd.DataFrame, table: pd.DataFrame, kind: str = "acc") -> str:
    """Which method generalises best, and which of those that write the fact disturbs least."""
    methods = methods_of(table)
    paraphrase, neighbourhood = f"paraphrase_{kind}", f"neighbourhood_{kind}"
    best, ties = best_of(rows, methods, paraphrase)
    if best is None:
        return nothing(table) or "These records have no paraphrases: nothing tells who generalises."
    says = "says the new fact" if kind == "acc" else "prefers the new fact to the true one"
    if not best[paraphrase]:
        first = f"No method {says} when asked in other words."
    else:
        first = (
            f"{bold(best['title'])} {says} most often when asked in other words "
            f"({share(best, paraphrase)}){tied(ties)}."
        )
    writing = methods[methods[f"efficacy_{kind}"] >= WRITES]
    least, ties = best_of(rows, writing, neighbourhood)
    if least is None:
        return first
    original = table[(table["method"] == ORIGINAL) & table[neighbourhood].notna()]
    before = "".join(f"; {value:.0%} without an edit" for value in original[neighbourhood])
    return (
        f"{first} Of those that write at least half of the facts, {bold(least['title'])} leaves "
        f"most neighbours right ({share(least, neighbourhood)}{before}){tied(ties)}."
    )


def hidden_finding(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """What asking for the fact does not show: writing freely, denying it, asking back."""
    methods = methods_of(table)
    best, ties = best_of(rows, methods, "generated")
    parts = []
    if best is not None:
        parts.append(
            f"When the model goes on writing by itself, the new fact comes most often with "
            f"{bold(best['title'])} ({share(best, 'generated')}; asked for it, it says it in "
            f"{best['efficacy_acc']:.0%}){tied(ties)}."
        )
    worst, ties = best_of(rows, methods, "negation", most=False)
    if worst is not None and worst["negation"] < 1:
        parts.append(
            f"Told that it is **not** so, the model says the new fact all the same in "
            f"{1 - worst['negation']:.0%} with {bold(worst['title'])}{tied(ties)}."
        )
    back, _ = best_of(rows, methods, "reversed_acc")
    if back is not None:
        most = back["reversed_acc"]
        much = f"at most {most:.0%} are answered" if most else "none is answered, by any method"
        parts.append(f"Asked the other way round, {much}.")
    return " ".join(parts) or nothing(table) or "Nothing of this was measured here."


def writing_finding(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """Which method makes the model's texts worst."""
    original = table[table["method"] == ORIGINAL]
    worst, ties = best_of(rows, methods_of(table), "perplexity")
    if worst is None or original.empty or pd.isna(original["perplexity"].iloc[0]):
        return nothing(table) or "How well the edited models write was not measured here."
    before = float(original["perplexity"].iloc[0])
    if worst["perplexity"] <= 1.01 * before:
        return (
            f"No method makes an everyday text harder for the model: its perplexity was "
            f"{number(before)} and is at most {number(worst['perplexity'])} after an edit."
        )
    return (
        f"{bold(worst['title'])} costs most: after its edits an everyday text has a perplexity of "
        f"{number(worst['perplexity'])}, {number(before)} before{tied(ties)}."
    )


def cost_finding(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """The fastest and the slowest method, and which change takes least."""
    known = methods_of(table)
    known = known[known["seconds"].notna()]
    if known.empty:
        return nothing(table) or "What the edits cost was not measured here."
    fast, slow = (known.loc[i] for i in (known["seconds"].idxmin(), known["seconds"].idxmax()))
    times = slow["seconds"] / max(fast["seconds"], 1e-9)
    said = (
        f"{bold(fast['title'])} is the fastest ({seconds(fast['seconds'])} a fact); "
        f"{bold(slow['title'])} takes {number(times, 2)} times as long."
    )
    small = known[known["bytes"].notna() & (known["bytes"] > 0)]
    if small.empty:
        return said
    least = small.loc[small["bytes"].idxmin()]
    return f"{said} The smallest change is that of {bold(least['title'])} ({size(least['bytes'])})."


def seconds(value: float) -> str:
    return f"{number(value, 2)} s" if value < 90 else duration(value)


def size(value: float) -> str:
    return f"{value / 1e3:,.0f} kB" if value < 1e6 else f"{value / 1e6:,.1f} MB"


def order_finding(rows: pd.DataFrame, table: pd.DataFrame, published: pd.DataFrame) -> str:
    """How far the order of the methods is the paper's."""
    parts = []
    for measure, name in PAPERS.items():
        same, turned, unknown = order_counts(rows, table, published, measure)
        pairs = same + turned + unknown
        rest = [f"{turned} the other way round"] if turned else []
        rest += [f"{unknown} cannot be told apart"] if unknown else []
        if pairs:
            parts.append(", ".join([f"by {name} {same} of {count(pairs, 'pair')}", *rest]))
    if not parts:
        return ""
    return f"Methods that stand here in the paper's order (GPT-2 XL): {'; '.join(parts)}."


def apart_finding(rows: pd.DataFrame, table: pd.DataFrame, kind: str) -> str:
    """How many pairs of methods these records tell apart, by each of the three shares."""
    specs = methods_of(table)["method"].tolist()
    pairs = list(combinations(specs, 2))
    if not pairs:
        return nothing(table) or "There is one method: nothing to compare it with."
    found = [
        f"{sum(told_apart(rows, f'{name}_{kind}', *pair) != 0 for pair in pairs)} by {name}"
        for name in PAPERS.values()
    ]
    return f"Of {count(len(pairs), 'pair')} of methods, these records tell apart {joined(found)}."


def failures_finding(title: str, failures: pd.DataFrame, records: int) -> str:
    """How many of the worst failures are of which kind. failures: kind, a row a record."""
    if failures.empty:
        return f"{bold(title)} has failed nowhere in {count(records, 'record')}."
    kinds = failures["kind"].value_counts()
    said = [f"{n} {KIND_TITLES.get(kind, plain(str(kind)))}" for kind, n in kinds.items()]
    return f"The {count(len(failures), 'worst failure')} of {bold(title)}: {joined(said)}."


KIND_TITLES = {
    "rewrite": "at the fact itself",
    "paraphrase": "in other words",
    "neighbour": "at a neighbour",
    "negation": "with a “not”",
    "reversed": "the other way round",
}


def curve_finding(table: pd.DataFrame, layer: int) -> str:
    """What more strength brings and costs at a layer. table: as core.calibrate makes it."""
    own = table[(table["layer"] == layer) & (table["strength"] != "auto")]
    own = own.dropna(subset=["paraphrase", "neighbourhood"])
    if len(own) < 2:
        return f"Too few strengths were tried at layer {layer} to tell."
    own = own.assign(strength=own["strength"].astype(float)).sort_values("strength")
    weak, strong = own.iloc[0], own.iloc[-1]
    times = number(strong["strength"] / weak["strength"], 2)
    follow, stay = (
        f"{weak[score]:.0%} to {strong[score]:.0%}" for score in ("paraphrase", "neighbourhood")
    )
    gain = strong["paraphrase"] - weak["paraphrase"]
    loss = weak["neighbourhood"] - strong["neighbourhood"]
    return (
        f"At layer {layer}, from the weakest shift to one {times} times as strong, the share that "
        f"follows in other words goes from {follow}, and that of neighbours that keep their answer "
        f"from {stay}: {trade(gain, loss)}."
    )


def trade(gain: float, loss: float) -> str:
    if gain > 0 and loss > 0:
        return "**generalising has its price**"
    if gain > 0:
        return "generalising costs nothing here"
    return "more strength does not generalise more" if loss <= 0 else "more strength only disturbs"
