"""The pictures of stored findings: the pages' own charts, drawn from stored tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import altair as alt
import pandas as pd

from app.cells.backward import gradient_table
from app.cells.controls import LAYERS_IN_SIGHT, MOST_LAYERS
from app.cells.tooltips import describe_cells, exact, first, first_words, short_number
from app.charts.before_after import before_after
from app.charts.curves import token_rank_by_layer
from app.charts.flow import Panel, flow_chart
from app.charts.rank_length import rank_by_length
from app.charts.token_table import Quantity, token_table
from app.gallery.finding import Finding
from app.gallery.stored import Stored
from app.notebook.code import literal
from app.words import visible


@dataclass(frozen=True)
class Drawn:
    """A chart, what it shows for those who do not see it, how to read it, and Python for its
    table."""

    chart: alt.TopLevelMixin
    alt_text: str
    reading: str
    code: tuple[str, ...]
    fit: bool = False


def drawn(finding: Finding, stored: Stored, *, dark: bool) -> Drawn:
    """A finding's picture."""
    return PICTURES[finding.picture.kind](finding, stored, dark)


def in_sight(table: pd.DataFrame, keep: tuple[int, ...]) -> pd.DataFrame:
    """As the pages show a deep model at first: some layers, and those of which is spoken."""
    layers = int(table["layer"].nunique())
    if layers <= MOST_LAYERS:
        return table
    step = -(-layers // LAYERS_IN_SIGHT)
    last = table["layer"].max()
    return table[((last - table["layer"]) % step == 0) | table["layer"].isin(keep)]


def shown_rows(finding: Finding, stored: Stored) -> pd.DataFrame:
    return in_sight(stored.table, finding.picture.values.get("keep", ()))


def thinned(finding: Finding, stored: Stored) -> str:
    rows = shown_rows(finding, stored)
    return "" if len(rows) == len(stored.table) else " Some layers are left out, to fit the screen."


def forward_picture(finding: Finding, stored: Stored, dark: bool) -> Drawn:
    table = shown_rows(finding, stored)
    table = table.assign(
        probability=table["top_probabilities"].str[0], word=first_words(table["top_tokens"])
    )
    tips = describe_cells(table)
    for i in range(table["top_tokens"].str.len().max()):
        tips[str(i + 1)] = pd.Series(
            [
                f"{visible(tokens[i])}   {shares[i]:.1%}" if tokens else "–"
                for tokens, shares in zip(
                    table["top_tokens"], table["top_probabilities"], strict=True
                )
            ],
            index=table.index,
        )
    chart = token_table(
        table,
        "word",
        Quantity("probability", "probability", "Probability of the word shown", domain=(0.0, 1.0)),
        tips,
        dark=dark,
        marked=table["top_tokens"].str[0] == stored.target,
    )
    return Drawn(
        chart,
        "Heatmap of the most probable word for each layer and prompt token",
        "Each cell is the word the model would say after this token if it stopped at this layer; "
        "the last layer, on top, is the real answer." + thinned(finding, stored),
        ("table = forward_lens(model, prompt, target)",),
    )


def signal_picture(finding: Finding, stored: Stored, dark: bool) -> Drawn:
    table = shown_rows(finding, stored)
    table = table.assign(word=table["bottom_tokens"].map(first))
    chart = gradient_table(
        table,
        {
            "Pushed towards (bottom of δ)": "bottom_tokens",
            "Pushed away from (top of δ)": "top_tokens",
        },
        stored.target,
        stored.answer,
        "Strength of the signal: ‖δ‖ of FF2, L2",
        marked=[stored.target in tokens[:1] for tokens in table["bottom_tokens"]],
    )
    return Drawn(
        chart,
        "Heatmap of the words that the update of FF2 pushes towards, by layer and prompt token",
        "Each cell is the word that the correction pushes towards most: the bottom of δ, because "
        "the update subtracts δ. A frame marks the target." + thinned(finding, stored),
        ('table = backward_lens(trace(model, prompt, target), "ff2")',),
    )


def input_picture(finding: Finding, stored: Stored, dark: bool) -> Drawn:
    table = shown_rows(finding, stored)
    table = table.assign(word=first_words(table["top_tokens"]))
    chart = gradient_table(
        table,
        {"Most probable in x": "top_tokens", "Least probable in x": "bottom_tokens"},
        stored.target,
        stored.answer,
        "Strength of the signal: ‖δ‖ of FF1, L2",
        marked=[False] * len(table),
    )
    return Drawn(
        chart,
        "Heatmap of the most probable word of FF1's input, by layer and prompt token",
        "Each cell is the most probable word of x, what FF1 reads there; FF1's gradient is made of "
        "copies of x. A stronger colour is written down more strongly." + thinned(finding, stored),
        ('table = backward_lens(trace(model, prompt, target), "ff1")',),
    )


NORMS = {  # column, palette, title, how to read it
    "signal": (
        "norm",
        "norm",
        "Signal: ‖δ‖ of FF2's output, L2",
        "Each cell says how strong the learning signal is there. A frame marks the strongest of "
        "each layer.",
    ),
    "input": (
        "input_norm",
        "input_norm",
        "Input: ‖x‖ of FF2, L2",
        "Each cell says how large FF2's input x is there. A frame marks the largest of all.",
    ),
}


def norms_picture(finding: Finding, stored: Stored, dark: bool) -> Drawn:
    column, palette, title, reading = NORMS[finding.picture.values["of"]]
    table = shown_rows(finding, stored)
    table = table.assign(text=table[column].map(short_number))
    tips = describe_cells(table) | {
        "‖δ‖, L2": table["norm"].map(exact),
        "‖x‖, L2": table["input_norm"].map(exact),
    }
    by_layer = table.groupby("layer")[column].transform("max")
    largest = by_layer if column == "norm" else table[column].max()
    chart = token_table(
        table,
        "text",
        Quantity(column, palette, title),
        tips,
        dark=dark,
        marked=table[column] == largest,
    )
    return Drawn(
        chart,
        f"Heatmap by layer and prompt token. {title}",
        reading + thinned(finding, stored),
        ("table = vjp_norms(trace(model, prompt, target))", 'table = table[table.module == "ff2"]'),
    )


def target_rank_picture(finding: Finding, stored: Stored, dark: bool) -> Drawn:
    chart = token_rank_by_layer(stored.table, stored.vocabulary, dark=dark, subject=stored.subject)
    return Drawn(
        chart,
        "Line chart of the target's rank in the gradient by layer, a line for each prompt token",
        "A line follows one prompt token through the layers. The lower it runs, the more the "
        "update, which subtracts δ, pushes towards the target.",
        ('table = backward_lens(trace(model, prompt, target), "ff2")',),
        fit=True,
    )


def rank_picture(finding: Finding, stored: Stored, dark: bool) -> Drawn:
    curve = stored.table
    layers = sorted(set(curve["layer"]))
    return Drawn(
        rank_by_length(curve, layers, stored.full_rank, stored.tokens, dark=dark),
        "Line chart of gradient rank against prompt length, a panel a matrix",
        "The prompt is read token by token, from left to right; a line's height is how many "
        "directions the change has so far. Layers with the same curve are one line.",
        ("table = rank_curve(model, prompt, target)",),
    )


def step_picture(finding: Finding, stored: Stored, dark: bool) -> Drawn:
    rows = stored.table.set_index(["stage", "time"])
    layer, step = (finding.picture.values[name] for name in ("layer", "step"))
    panels = []
    for stage, time, title, subtitle in (
        ("mlp", "before", "FF2 said", f"layer {layer}, before the step"),
        ("mlp", "after", "FF2 says now", f"layer {layer}, after the step"),
        ("answer", "before", "The model said", "its answer before"),
        ("answer", "after", "The model says now", "its answer after"),
    ):
        row = rows.loc[(stage, time)]
        shares = tuple(row["top_probabilities"])
        words = tuple(map(visible, row["top_tokens"]))
        notes = tuple(f"{share:.1%}" for share in shares)
        panels.append(Panel(title, subtitle, words, shares, notes))
    lines = ("run = trace(model, prompt, target)",)
    return Drawn(
        flow_chart(panels, visible(stored.target), dark=dark),
        "What FF2 and the model say before and after one step",
        f"One step of {step:g} on FF2 of layer {layer}, learned from the last token. Bars are "
        "probabilities, FF2's by the logit lens. A frame marks the target.",
        (*lines, f"table = imprint_and_shift(run, {layer}, step={step:g}).table"),
    )


def edited_picture(finding: Finding, stored: Stored, dark: bool) -> Drawn:
    said = finding.picture.values
    settings = "".join(f", {k}={literal(said[k])}" for k in ("method", "eta") if k in said)
    prompts = ", ".join(map(literal, said["prompts"]))
    return Drawn(
        before_after(stored.table, stored.target, dark=dark),
        "Table of the answers to several prompts before and after the edit",
        "Each cell is the model's answer and its probability. A frame marks the target.",
        (
            f"new = edit(model, prompt, target{settings})",
            f"prompts = [{prompts}]",
            "runs = [(p, e) for p in prompts for e in ([], [new])]",
            "tables = [answers(model, p, edits=e, top_k=1).assign(prompt=p) for p, e in runs]",
            "table = pd.concat(tables, ignore_index=True)",
        ),
    )


PICTURES: dict[str, Callable[[Finding, Stored, bool], Drawn]] = {
    "forward_lens": forward_picture,
    "backward_lens": signal_picture,
    "input_lens": input_picture,
    "norms": norms_picture,
    "target_rank": target_rank_picture,
    "rank_curve": rank_picture,
    "step": step_picture,
    "edited_answers": edited_picture,
}
