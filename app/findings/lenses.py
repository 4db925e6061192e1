"""One sentence above each picture: what it says for this prompt, with the sign right.

Tables come from core; text of users and models goes through code_span.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

import core
from app.words import code_span, layer_list, place

LOWEST_SHARE = 0.01  # "the lowest 1%" of the vocabulary


def last_token(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["position"] == table["position"].max()]


def forward_finding(lens: pd.DataFrame, target: str, vocabulary: int) -> str:
    """Where the model's answer appears, and how far the target is from it."""
    end = last_token(lens).sort_values("layer")
    tops = [tokens[0] for tokens in end["top_tokens"]]
    answer, final = tops[-1], end.iloc[-1]
    since = len(tops) - 1
    while since and tops[since - 1] == answer:
        since -= 1
    probability = final["top_probabilities"][0]
    sure = "over 99%" if probability > 0.99 else f"{probability:.0%}"
    says = (
        f"After the last prompt token the model says {code_span(answer)} ({sure} sure); that word "
        f"leads from layer {end['layer'].iloc[since]} on."
    )
    if answer == target:
        return f"{says} It is your target: the model knows it already."
    return f"{says} Your target {code_span(target)} ends {place(final['target_rank'], vocabulary)}."


def backward_finding(lens: pd.DataFrame, target: str, vocabulary: int) -> str:
    """What FF2's update pushes towards, where its signal is strongest, sign included."""
    if lens["near_zero"].all():
        return (
            f"Nothing much here: the model already says {code_span(target)}, so that there is "
            "almost nothing to learn."
        )
    strongest = lens.loc[lens["norm"].idxmax()]
    where = (
        f"The strongest signal is in layer {strongest['layer']} at {code_span(strongest['token'])} "
        f"(‖δ‖ = {strongest['norm']:.3g})."
    )
    rank = int(strongest["target_rank"])
    spot = f"There {code_span(target)} is {place(rank, vocabulary)} in δ"
    share = share_of_layers_at_the_bottom(lens, vocabulary)
    also = (
        f" At the last prompt token it is among the lowest 1% in {share[0]} of {share[1]} layers."
    )
    if rank >= vocabulary * (1 - LOWEST_SHARE):
        meaning = ", and the update subtracts δ: it pushes the output **towards** that word."
    elif rank >= vocabulary / 2:
        meaning = ", in the lower half: the update, which subtracts δ, pushes towards it weakly."
    else:
        meaning = (
            ", in the upper half: right there the update, which subtracts δ, does **not** push "
            "towards it; it changes what later layers read."
        )
    return where + " " + spot + meaning + also


def share_of_layers_at_the_bottom(lens: pd.DataFrame, vocabulary: int) -> tuple[int, int]:
    """In how many layers the last token's delta has the target among the lowest 1%, and of how
    many."""
    end = last_token(lens)
    ranks = end.loc[~end["near_zero"], "target_rank"]
    return int((ranks >= vocabulary * (1 - LOWEST_SHARE)).sum()), len(end)


def input_finding(lens: pd.DataFrame) -> str:
    """What FF1 would write down, at the cell with the strongest signal."""
    if lens["near_zero"].all():
        return "Nothing much here: the learning signal of FF1 is zero everywhere."
    strongest = lens.loc[lens["norm"].idxmax()]
    words = ", ".join(code_span(token) for token in strongest["top_tokens"][:3])
    return (
        f"The strongest signal for FF1 is in layer {strongest['layer']} at "
        f"{code_span(strongest['token'])}: the update adds or subtracts copies of what is read "
        f"there, which looks like {words}."
    )


def rank_curve_finding(curve: pd.DataFrame) -> str:
    """How many (prefix, layer, matrix) cases lie on the diagonal; the last layer apart."""
    last = curve["layer"].max()
    final = curve.loc[curve["layer"] == last, "rank"]
    always = (final == 1).all()
    end = "is always 1" if always else f"is between {final.min()} and {final.max()}"
    body = curve[curve["layer"] < last]
    if body.empty:
        return f"This model has one layer; in it, the last one, the rank {end}."
    on_diagonal = (body["rank"] == body["prompt_length"]).sum()
    why = ""
    if on_diagonal < len(body):
        why = (
            " Where it is less, a token brings nothing new, or its signal is too weak to be told "
            "from the rounding of a 32-bit gradient."
        )
    return (
        f"Below the last layer the rank equals the number of prompt tokens in {on_diagonal} of "
        f"{len(body)} cases ({on_diagonal / len(body):.0%}); it is never more.{why} In the "
        f"last layer it {end}."
    )


def rank_finding(ranks: pd.DataFrame, full_size: int) -> str:
    """The rank of the whole prompt's gradients, against the most that the matrix could have."""
    n = int(ranks["prompt_length"].iloc[0])
    last = ranks["layer"].max()
    end = f"in the last layer {int(ranks.loc[ranks['layer'] == last, 'rank'].max())}"
    body = ranks[ranks["layer"] < last]
    if body.empty:
        return f"{count(n, 'prompt token')}, and {end}: only the last token is corrected there."
    most = int(body["rank"].max())
    short = sorted(set(body.loc[body["rank"] < most, "layer"]))
    exception = f", but less in {layers(short)}" if short else ""
    return (
        f"{count(n, 'prompt token')} give{'s' if n == 1 else ''} a change with "
        f"{count(most, 'independent direction')}{exception}, of {full_size:,} that the matrix has "
        f"room for; {end}, since only the last token is corrected there."
    )


def count(n: int, thing: str) -> str:
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def norm_finding(norms: pd.DataFrame, module: str) -> str:
    """Where the learning signal is strongest, and how much of it is at the last token."""
    if norms["norm"].max() == 0:
        return "Nothing to see here: the learning signal is zero everywhere."
    strongest = norms.loc[norms["norm"].idxmax()]
    total = norms["norm"].sum()
    share = last_token(norms)["norm"].sum() / total
    return (
        f"For {module}, the signal is strongest in layer {strongest['layer']} at "
        f"{code_span(strongest['token'])} (‖δ‖ = {strongest['norm']:.3g}); the last prompt token "
        f"receives {share:.0%} of it."
    )


def target_rank_finding(lens: pd.DataFrame, target: str, vocabulary: int) -> str:
    """In which layers the last token's update pushes towards the target."""
    end = last_token(lens)
    end = end[~end["near_zero"]]
    bottom = end.loc[end["target_rank"] >= vocabulary * (1 - LOWEST_SHARE), "layer"]
    if bottom.empty:
        return (
            f"At the last prompt token, {code_span(target)} is in no layer among the lowest 1%: "
            "no layer alone is pushed towards it clearly."
        )
    return (
        f"At the last prompt token, {code_span(target)} is among the least probable 1% in "
        f"{layers(list(bottom))}: subtracting δ pushes those layers **towards** it."
    )


def layers(numbers: list[int]) -> str:
    word = "layer" if len(numbers) == 1 else "layers"
    return f"{word} {layer_list(sorted(numbers))}"


def imprint_finding(
    result: core.ImprintAndShift, matrix: str, token: str, target: str, vocabulary: int
) -> str:
    """What one step does to what FF2 says at the token, and to the model's answer."""
    rows = result.table.set_index(["stage", "time"])
    before, after = rows.loc[("mlp", "before")], rows.loc[("mlp", "after")]
    if not result.predicted.any():
        return (
            f"Nothing changes: the learning signal at {code_span(token)} is zero in layer "
            f"{result.layer}, so that a step of any size leaves {matrix} as it is."
        )
    who = "all prompt tokens" if result.all_tokens else f"{code_span(token)} alone"
    if after["target_rank"] < before["target_rank"]:
        move = "moves **towards** the target"
    elif after["target_rank"] > before["target_rank"]:
        move = "moves **away** from the target"
    else:
        move = "keeps the rank of the target"
    answers = [rows.loc[("answer", time)] for time in ("before", "after")]
    old, new = (
        f"{code_span(a['top_tokens'][0])} ({a['top_probabilities'][0]:.0%})" for a in answers
    )
    return (
        f"One step of {result.step:g} on {matrix} in layer {result.layer}, learned from {who}: "
        f"what FF2 says {move} {code_span(target)}, from {place(before['target_rank'], vocabulary)}"
        f" to {place(after['target_rank'], vocabulary)}. The model's answer was {old} and is {new}."
    )


def agreement_finding(result: core.ImprintAndShift) -> str:
    """How well the lemma predicts the change."""
    if not result.predicted.any():
        return "Nothing is predicted and nothing has changed: the signal is zero here."
    gap = f"{result.error:.1e} of its size"
    if not result.all_tokens:
        verdict = "agree" if result.error < 1e-3 else "differ by rounding"
        return f"Prediction and measurement {verdict}: the difference is {gap}."
    alone = float((result.own - result.predicted).norm() / result.predicted.norm())
    return (
        f"The change is the sum of what every prompt token writes; that sum is met to within {gap}."
        f" This token's own term, −step · ‖x‖² · δ, alone is off by {alone:.0%}."
    )


def duality_finding(run: core.Trace, layer: int) -> str:
    """How few vectors the two gradients are made of."""
    n = run.prompt_length
    x, delta = run.matrix("ff1").x.shape[-1], run.matrix("ff1").delta.shape[-1]
    silent = int((run.matrix("ff2").delta[layer] == 0).all(-1).sum())
    verb = "is" if silent == 1 else "are"
    zero = f" {count(silent, 'signal')} of the {n} {verb} zero here." if silent else ""
    made = "token makes" if n == 1 else "tokens make"
    return (
        f"Each gradient has {x:,} × {delta:,} numbers, but {n} prompt {made} all of them: FF1's "
        f"neurons are mixtures of {count(n, 'input')}, FF2's of {count(n, 'signal')}.{zero}"
    )


def neuron_finding(neurons: pd.DataFrame, matrix: str, layer: int, target: str) -> str:
    """How unequal the neurons are, and whether the largest turn towards the target."""
    largest = neurons[neurons["group"] == "largest"]
    median = neurons.loc[neurons["group"] == "median", "norm"].median()
    top = float(largest["norm"].iloc[0])
    if top == 0:
        return f"Nothing to see here: every neuron of {matrix} is zero in layer {layer}."
    times = f"{top / median:,.0f} times the median's" if median > 0 else "while the median is zero"
    towards = sum(target in tokens for tokens in largest["bottom_tokens"])
    away = sum(target in tokens for tokens in largest["top_tokens"])
    return (
        f"The largest neuron of {matrix} in layer {layer} has a norm of {top:.3g}, {times}. Of the "
        f"{len(largest)} largest, {towards} hold {code_span(target)} at the bottom (the update "
        f"turns them **towards** it) and {away} at the top (away from it)."
    )


def overlap_finding(overlap: pd.DataFrame, symbol: str) -> str:
    """Which spanning vector most neurons look like."""
    if not overlap["cosine"].notna().any():
        return "Nothing to compare: every neuron is zero here."
    size = overlap["cosine"].abs().to_numpy().reshape(-1, overlap["position"].nunique())
    size = size[~np.isnan(size).all(1)]  # neurons of zero are alike to nothing
    winners = np.nan_to_num(size).argmax(1)
    best = int(pd.Series(winners).mode().iloc[0])
    share = (winners == best).mean()
    token = overlap.loc[overlap["position"] == best, "token"].iloc[0]
    return (
        f"{share:.0%} of the {len(winners):,} neurons are most alike to the {symbol} of "
        f"{code_span(token)}, as it is or turned round (cosine, without its sign)."
    )


def one_neuron_finding(neuron: pd.Series, width: int) -> str:
    """What the update does to one neuron."""
    if neuron["norm"] == 0:
        return f"Neuron {neuron['neuron']} is zero: the update leaves it as it is."
    bottom, top = (
        ", ".join(code_span(token) for token in neuron[f"{end}_tokens"][:5])
        for end in ("bottom", "top")
    )
    return (
        f"Neuron {neuron['neuron']} is number {neuron['order'] + 1:,} of {width:,} by norm "
        f"({neuron['norm']:.3g}). The update turns it **towards** {bottom} and **away** from {top}."
    )


def similarity_finding(cosines: pd.DataFrame, where: str) -> str:
    """How alike neighbouring layers are, and how alike the first and the last; `where` is
    Markdown."""
    known = cosines.dropna(subset="cosine")
    apart = known[known["layer"] != known["other_layer"]]
    if apart.empty:
        return f"Nothing to compare at {where}: fewer than two layers have a signal there."
    near = apart.loc[(apart["layer"] - apart["other_layer"]).abs() == 1, "cosine"]
    ends = apart[(apart["layer"] == apart["layer"].min())]
    far = ends.loc[ends["other_layer"].idxmax()]
    low = apart.loc[apart["cosine"].idxmin()]
    beside = f"{near.mean():.2f} on average between neighbouring layers, and " if len(near) else ""
    return (
        f"At {where} the cosine is {beside}{far['cosine']:.2f} between layers "
        f"{int(far['layer'])} and {int(far['other_layer'])}, the furthest apart; its lowest is "
        f"{low['cosine']:.2f}, between layers {int(low['layer'])} and {int(low['other_layer'])}."
    )


def token_rank_finding(
    lens: pd.DataFrame, column: str, word: str, symbol: str, vocabulary: int
) -> str:
    """Where a word stands at the last token, and what that means for the update."""
    end = last_token(lens)
    ranks = end[column].dropna().astype("int64")
    if ranks.empty:
        return f"At the last prompt token {symbol} is zero: it says nothing."
    low = (ranks >= vocabulary * (1 - LOWEST_SHARE)).sum()
    high = (ranks < vocabulary * LOWEST_SHARE).sum()
    middle = place(int(ranks.median()), vocabulary)
    text = (
        f"At the last prompt token {code_span(word)} is, in the median layer, {middle} in {symbol}:"
        f" among the most probable 1% in {high} of {len(ranks)} layers, among the least probable "
        f"1% in {low}."
    )
    if "δ" not in symbol or not (low or high):
        return text
    if low == high:
        return text
    if low > high:
        return f"{text} Subtracting δ pushes **towards** it."
    return f"{text} Subtracting δ pushes **away** from it."


def full_rank_finding(study: core.Study, matrix: str, answered: str) -> str:
    """In how many cases below the last layer the rank equals the prompt's length."""
    table = study.gradient_ranks
    table = table[(table["answered"] == answered) & (table["matrix"] == matrix)]
    last = study.header.n_layers - 1
    body, end = table[table["layer"] < last], table[table["layer"] == last]
    if not table["n"].any():
        return f"{study.header.model} has no such prompt: choose other prompts or another study."
    rank = float(end["gradient_rank"].iloc[0])
    always = "always 1" if rank == 1 else f"{rank:.2f} on average"
    if body.empty:
        return f"This model has one layer; in it, the last one, the rank is {always}."
    share, worst = body["rank_is_full"].mean(), body.loc[body["rank_is_full"].idxmin()]
    exception = ""
    if worst["rank_is_full"] < 1:
        exception = f" (least often, {worst['rank_is_full']:.1%}, in layer {int(worst['layer'])})"
    prompts = count(int(body["n"].iloc[0]), "prompt")
    return (
        f"Below the last layer the rank equals the number of prompt tokens in {share:.1%} of "
        f"cases{exception}, over {prompts}; in the last layer it is "
        f"{always}."
    )


def study_norm_finding(table: pd.DataFrame, column: str, module: str) -> str:
    """The layer and segment with the largest mean norm."""
    known = table[table["n"] > 0]
    if not known[column].any():
        return f"Nothing to see here: for {module} every mean is zero."
    top = known.loc[known[column].idxmax()]
    what = "the learning signal" if column == "norm" else "the input"
    error = top[f"{column}_error"]
    give = f" ± {error:.2g}" if pd.notna(error) else ""
    prompts = count(int(top["n"]), "prompt")
    note = f"± standard error, {prompts}" if give else prompts
    return (
        f"For {module}, {what} is strongest in layer {int(top['layer'])} at the "
        f"{top['segment']}: {top[column]:.3g}{give} on average ({note})."
    )


def study_rank_finding(table: pd.DataFrame, word: str, symbol: str, vocabulary: int) -> str:
    """Where a word stands at the last token, on average."""
    end = table[(table["segment"] == core.SEGMENTS[-1]) & (table["n"] > 0)]
    share = end[f"{word}_rank"].dropna() / (vocabulary - 1)
    if share.empty:
        return f"At the last prompt token {symbol} is zero: it says nothing."
    low, high = f"{share.min():.1%}", f"{share.max():.1%}"
    text = (
        f"At the last prompt token the {word}'s mean rank in {symbol} lies "
        f"{low if low == high else f'between {low} and {high}'} of the way from the most probable "
        "token to the least probable one."
    )
    if "δ" not in symbol:
        return text
    if share.min() > 1 - LOWEST_SHARE:
        return f"{text} Subtracting δ pushes **towards** it in every layer."
    if share.max() < LOWEST_SHARE:
        return f"{text} Subtracting δ pushes **away** from it in every layer."
    return text


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


def lens_change_finding(before: pd.DataFrame, after: pd.DataFrame, target: str) -> str:
    """Where the target's probability rose most, and in which layers words changed."""
    gain = (after["target_probability"] - before["target_probability"]).to_numpy()
    changed = (before["top_tokens"].str[0] != after["top_tokens"].str[0]).to_numpy()
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


def landing_finding(sizes: pd.DataFrame, entries: tuple) -> str:
    """How much of the model the edits touch."""
    top = sizes.loc[sizes["share"].idxmax()]
    memory = sum(entry.edit.size for entry in entries) / 1e3
    edits = count(len(entries), "edit")
    if top["norm"] == 0:
        return f"{edits}, of size zero: the model said the target already."
    return (
        f"{edits} in {layers(list(dict.fromkeys(sizes['layer'])))}, {memory:,.0f} kB in all. The "
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
