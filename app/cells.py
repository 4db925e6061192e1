"""The notebook cells: each asks core for a table and draws it. No mathematics here."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import analysis, findings
from app.charts.curves import (
    MATRIX_TITLES,
    rank_by_layer,
    rank_by_length,
    target_rank_by_layer,
)
from app.charts.token_table import NUMBER_WIDTH, Quantity, token_table
from app.notebook import cell, code_lines
from app.state import Request, require_trace
from app.words import code_span, visible

TOP_K = 5
MODULE_TITLES = {
    "ff2": "FF2 (MLP output)",
    "ff1": "FF1 (MLP input)",
    "gate": "FF1's gate",
    "attn_out": "Attention output",
    "attn_in": "Attention input (Q, K, V)",
    "block": "Whole block",
}
COLOURS = {
    "probability": "Probability",
    "entropy": "Entropy",
    "target_rank": "Target's rank",
}


def is_dark() -> bool:
    return st.context.theme.type == "dark"


def forward_cell(number: int, request: Request) -> None:
    """Layer x token table of the most probable tokens."""
    place = cell(
        number,
        "What each layer would say next",
        "Each cell is the word the model would say after this token if it stopped at this layer. "
        "Read a column upwards: the last layer, on top, is the real answer.",
        key="forward",
    )
    colour = place.controls.segmented_control(
        "Colour",
        list(COLOURS),
        format_func=COLOURS.get,
        default="probability",
        required=True,
        key="colour",
        bind="query-params",
    )
    with st.spinner("Reading the prompt …", show_time=True):
        require_trace(request)  # fills the forward pass that the lens reads
        lens = analysis.forward_lens(request, TOP_K)
    vocabulary = request.model.vocabulary_size
    target = request.model.target(request.prompt, request.target).token
    quantity = {
        "probability": Quantity(
            "probability", "probability", "Probability of the word shown", domain=(0.0, 1.0)
        ),
        "entropy": Quantity("entropy", "entropy", "Entropy (nats): how undecided the model is"),
        "target_rank": Quantity(
            "target_rank",
            "rank",
            "Rank of the target + 1: 1 = most probable (log scale)",
            domain=(0, vocabulary - 1),
            log=True,
        ),
    }[colour]
    table = lens.assign(
        probability=lens["top_probabilities"].str[0],
        word=lens["top_tokens"].str[0].map(visible),
        target_rank=lens["target_rank"].astype("int64"),
    )
    named = describe_cells(table) | {
        f"{i + 1}": [
            f"{visible(tokens[i])}   {probabilities[i]:.1%}"
            for tokens, probabilities in zip(
                lens["top_tokens"], lens["top_probabilities"], strict=True
            )
        ]
        for i in range(TOP_K)
    }
    named |= {
        "Entropy (nats)": table["entropy"].map("{:.2f}".format),
        f"Rank of {visible(target)}": table["target_rank"].map("{:,}".format),
    }
    chart = token_table(
        table.assign(**named),
        "word",
        quantity,
        {title: title for title in named},
        dark=is_dark(),
        marked=table["top_tokens"].str[0] == target,
    )
    place.show(
        findings.forward_finding(lens, target, vocabulary),
        chart,
        "Heatmap of the most probable word for each layer and prompt token",
        fit=False,
    )
    place.controls.caption(
        f"Hover a cell for its five best words. A frame marks cells that already say "
        f"{code_span(target)}."
    )
    place.finish(
        code_lines(request, f"table = forward_lens(model, prompt, target, top_k={TOP_K})"), lens
    )


def backward_cell(number: int, request: Request, *, key: str) -> None:
    """FF2's VJPs as a token table."""
    place = cell(
        number,
        "What the update pushes towards",
        "Each cell is the word that the correction would make the MLP's output say more (the "
        "bottom of δ, because the update subtracts δ). The darker, the stronger the signal.",
        key=key,
    )
    both, normalize = place.controls.columns([2, 2])
    shown = both.segmented_control(
        "Words in the cells",
        ["bottom", "both"],
        format_func={"bottom": "Pushed towards", "both": "Away \\ towards"}.get,
        default="bottom",
        required=True,
        key=f"{key}_words",
        bind="query-params",
    )
    normalized = normalize.toggle(
        "Normalised lens",
        key=f"{key}_normalised",
        bind="query-params",
        help="Divides each δ by its norm before reading it, so that weak signals are not drowned "
        "by the final norm's own bias (appendix H).",
    )
    run = require_trace(request)
    lens = analysis.backward_lens(request, "ff2", normalized)
    vocabulary = request.model.vocabulary_size
    table = lens.assign(
        away=[first(tokens) for tokens in lens["top_tokens"]],
        towards=[first(tokens) for tokens in lens["bottom_tokens"]],
    )
    table["word"] = (
        table["towards"] if shown == "bottom" else table["away"] + " \\ " + table["towards"]
    )
    chart = gradient_table(
        table,
        {
            "Pushed towards (bottom of δ)": "bottom_tokens",
            "Pushed away from (top of δ)": "top_tokens",
        },
        run.target.token,
        run.answer,
        "Strength of the signal: ‖δ‖ of FF2, L2",
        marked=[run.target.token in tokens[:1] for tokens in lens["bottom_tokens"]],
        wide=shown == "both",
    )
    place.show(
        findings.backward_finding(lens, run.target.token, vocabulary),
        chart,
        "Heatmap of the words that the update of FF2 pushes towards, by layer and prompt token",
        fit=False,
    )
    place.controls.caption(
        f"A frame marks cells whose first word is your target {code_span(run.target.token)}. "
        "“–” is a signal of zero: it has no words. In the last layer only the last token learns."
    )
    extra = ", normalize=True" if normalized else ""
    place.finish(
        code_lines(request, f'table = backward_lens(trace(model, prompt, target), "ff2"{extra})'),
        lens,
    )


def input_cell(number: int, request: Request) -> None:
    """FF1's gradient, read through its inputs."""
    place = cell(
        number,
        "What the update writes down",
        "FF1's gradient is made of copies of its inputs x: each cell is the most probable word "
        "of x, what the model was reading there. Darker cells are written down more strongly.",
        key="inputs",
    )
    run = require_trace(request)
    choices = [name for name in ("ff1", "gate") if name in run.factors]
    matrix = "ff1"
    if len(choices) > 1:
        matrix = place.controls.segmented_control(
            "Matrix",
            choices,
            format_func=MATRIX_TITLES.get,
            default="ff1",
            required=True,
            key="input_matrix",
            bind="query-params",
        )
    lens = analysis.backward_lens(request, matrix)
    table = lens.assign(word=[first(tokens) for tokens in lens["top_tokens"]])
    chart = gradient_table(
        table,
        {"Most probable in x": "top_tokens", "Least probable in x": "bottom_tokens"},
        run.target.token,
        run.answer,
        f"Strength of the signal: ‖δ‖ of {MATRIX_TITLES[matrix]}, L2",
        marked=[False] * len(lens),
    )
    place.show(
        findings.input_finding(lens),
        chart,
        "Heatmap of the most probable word of FF1's input, by layer and prompt token",
        fit=False,
    )
    place.finish(
        code_lines(request, f'table = backward_lens(trace(model, prompt, target), "{matrix}")'),
        lens,
    )


def gradient_table(
    table: pd.DataFrame,
    lists: dict[str, str],
    target: str,
    answer: str,
    title: str,
    *,
    marked: list[bool],
    wide: bool = False,
):
    """A token table coloured by the norm of delta, with word lists and ranks in the tooltips."""
    named = describe_cells(table) | {
        name: table[column].map(lambda tokens: "  ".join(visible(t) for t in tokens) or "–")
        for name, column in lists.items()
    }
    named |= {
        "‖δ‖, L2": table["norm"].map("{:.4g}".format),
        f"Rank of {visible(target)} (target)": table["target_rank"].map(rank_text),
        f"Rank of {visible(answer)} (answer)": table["answer_rank"].map(rank_text),
    }
    return token_table(
        table.assign(**named),
        "word",
        Quantity("norm", "norm", title),
        {name: name for name in named},
        dark=is_dark(),
        blank="near_zero",
        marked=pd.Series(marked, index=table.index),
        least_width=110 if wide else 66,
    )


def rank_curve_cell(number: int, request: Request) -> None:
    place = cell(
        number,
        "Every token adds one direction",
        "The prompt is read token by token; each dot is the rank of a layer's gradient for the "
        "prompt up to there. On the dashed diagonal, each token adds a direction of its own.",
        key="rank_curve",
    )
    n_layers = request.model.n_layers
    default = sorted({0, n_layers // 2, n_layers - 2, n_layers - 1} & set(range(n_layers)))
    chosen = place.controls.multiselect(
        "Layers",
        range(n_layers),
        default=default,
        key=f"layers_{n_layers}",
        bind="query-params",
        placeholder="Choose at least one layer",
    )
    require_trace(request)
    with st.spinner("Running every beginning of the prompt …", show_time=True):
        curve = analysis.rank_curve(request)
    if not chosen:
        place.picture.info("No layer is chosen. Choose one or more below.")
    else:
        place.show(
            findings.rank_curve_finding(curve),
            rank_by_length(curve, sorted(chosen), dark=is_dark()),
            "Line chart of gradient rank against prompt length, a line for each layer",
            fit=False,
        )
    place.finish(code_lines(request, "table = rank_curve(model, prompt, target)"), curve)


def rank_by_layer_cell(number: int, request: Request) -> None:
    place = cell(
        number,
        "The whole prompt, layer by layer",
        "The same rank for the whole prompt, in every layer. In the last layer only the last "
        "token is corrected, so that one direction is left.",
        key="rank_by_layer",
    )
    require_trace(request)
    ranks = analysis.gradient_rank(request)
    place.show(
        findings.rank_finding(ranks, min(request.model.d_model, request.model.d_mlp)),
        rank_by_layer(ranks, dark=is_dark()),
        "Line chart of the gradient's rank in every layer",
        fit=True,
    )
    place.finish(code_lines(request, "table = gradient_rank(trace(model, prompt, target))"), ranks)


def norms_cell(number: int, request: Request) -> None:
    """Heatmaps of the norm of delta and, beside it, of x."""
    place = cell(
        number,
        "How strong the signal is",
        "Left: how strong the learning signal δ is in each layer at each token. Right: how large "
        "the input x is there. Their product is the size of the correction.",
        key="norms",
    )
    run = require_trace(request)
    module = place.controls.segmented_control(
        "Part of the model",
        [name for name in MODULE_TITLES if name in run.factors],
        format_func=MODULE_TITLES.get,
        default="ff2",
        required=True,
        key="module",
        bind="query-params",
    )
    everything = analysis.vjp_norms(request)
    norms = everything[everything["module"] == module]
    table = norms.assign(
        signal=norms["norm"].map(short_number), size=norms["input_norm"].map(short_number)
    )
    tooltips = describe_cells(table) | {
        "‖δ‖, L2": table["norm"].map("{:.5g}".format),
        "‖x‖, L2": table["input_norm"].map("{:.5g}".format),
    }
    table = table.assign(**tooltips)
    titles = {name: name for name in tooltips}
    place.picture.markdown(findings.norm_finding(norms, MODULE_TITLES[module]))
    pictures = place.picture.columns(2)
    for where, column, text, palette, title in (
        (pictures[0], "norm", "signal", "norm", "Signal: ‖δ‖ of the output, L2"),
        (pictures[1], "input_norm", "size", "input_norm", "Input: ‖x‖, L2"),
    ):
        chart = token_table(
            table,
            text,
            Quantity(column, palette, title),
            titles,
            dark=is_dark(),
            marked=table[column] == table[column].max(),
            page_width=360,
            least_width=NUMBER_WIDTH,
        )
        where.altair_chart(
            chart,
            width="content",
            key=f"norms_{column}",
            alt=f"Heatmap by layer and prompt token. {title}",
        )
    place.finish(code_lines(request, "table = vjp_norms(trace(model, prompt, target))"), everything)


def target_rank_cell(number: int, request: Request) -> None:
    place = cell(
        number,
        "Where the update points to the target",
        "Each line follows one prompt token: how probable δ of FF2 makes your target. The lower "
        "a line runs, the more the update, which subtracts δ, pushes towards the target.",
        key="target_rank",
    )
    run = require_trace(request)
    lens = analysis.backward_lens(request, "ff2")
    vocabulary = request.model.vocabulary_size
    if lens["near_zero"].all():
        place.picture.info(findings.backward_finding(lens, run.target.token, vocabulary))
        return
    place.show(
        findings.target_rank_finding(lens, run.target.token, vocabulary),
        target_rank_by_layer(lens, vocabulary, dark=is_dark()),
        "Line chart of the target's rank in the gradient by layer, a line for each prompt token",
        fit=True,
    )
    place.finish(
        code_lines(request, 'table = backward_lens(trace(model, prompt, target), "ff2")'), lens
    )


def describe_cells(table: pd.DataFrame) -> dict[str, pd.Series]:
    """The first lines of every tooltip."""
    return {
        "Layer": table["layer"].astype(str),
        "Prompt token": [
            f"{position + 1}. {visible(token)}"
            for position, token in zip(table["position"], table["token"], strict=True)
        ],
    }


def first(tokens: list[str]) -> str:
    return visible(tokens[0]) if tokens else ""


def rank_text(rank: object) -> str:
    return "–" if pd.isna(rank) else f"{rank:,}"


def short_number(value: float) -> str:
    return f"{value:.2f}" if 0.01 <= value < 100 else ("0" if value == 0 else f"{value:.0e}")
