"""The backward lens's cells: what FF2 is pushed towards, what FF1 writes down."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd
from streamlit.delta_generator import DeltaGenerator

from app.cells.controls import choice, some_layers
from app.cells.picked import Pick
from app.cells.tooltips import describe_cells, first, rank_text
from app.charts.regions import Region
from app.charts.token_table import PAGE_WIDTH, Quantity, token_table
from app.findings.lenses import backward_finding, input_finding, pieces_note, strongest_cell
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.state import Request
from app.titles import MATRIX_TITLES
from app.words import code_span, number, visible

WITHOUT_BIAS = (
    " This model's final norm has no bias and divides by a vector's size itself: the normalised "
    "lens of appendix H would show the same words."
)


def backward_cell(
    number: int, request: Request, *, key: str, pick: Pick | None = None
) -> DeltaGenerator:
    """FF2's VJPs as a token table; returns the place under the finding, for a mark.

    With a `pick` a click on a cell picks it.
    """
    place = cell(
        number,
        "What the update pushes towards",
        "Each cell is the word that the correction would make the MLP's output say more (the "
        "bottom of δ, because the update subtracts δ). A stronger colour is a stronger signal.",
        key=key,
    )
    row = place.controls.container(horizontal=True, vertical_alignment="bottom", gap="large")
    shown = choice(
        row,
        "Words in the cells",
        {"bottom": "Pushed towards", "both": "Away \\ towards"},
        f"{key}_words",
        default="bottom",
    )
    # Without a bias the final norm divides by the size itself: the switch would change nothing.
    biased = request.model.final_norm_has_bias
    normalized = biased and row.toggle(
        "Normalised lens",
        key=f"{key}_normalised",
        bind="query-params",
        width="content",
        help="Divides each δ by its norm before reading it, so that weak signals are not drowned "
        "by the final norm's own bias (appendix H).",
    )
    run = tables.trace(request)
    lens = tables.backward_lens(request, "ff2", normalized)
    vocabulary = request.model.vocabulary_size
    table = lens.assign(
        away=[first(tokens) for tokens in lens["top_tokens"]],
        towards=[first(tokens) for tokens in lens["bottom_tokens"]],
    )
    pairs = table["away"] + " \\ " + table["towards"]
    table["word"] = table["towards"] if shown == "bottom" else pairs
    strongest, _ = strongest_cell(lens)
    table = some_layers(row, table, int(strongest["layer"]), key)
    if pick is not None:
        pick.fields(place.controls)
    chart = gradient_table(
        table,
        {
            "Pushed towards (bottom of δ)": "bottom_tokens",
            "Pushed away from (top of δ)": "top_tokens",
        },
        run.target.token,
        run.answer,
        "Strength of the signal: ‖δ‖ of FF2, L2",
        marked=[run.target.token in tokens[:1] for tokens in table["bottom_tokens"]],
        wide=shown == "both",
        picked=None if pick is None else own_region(pick.cell),
    )
    place.say(
        backward_finding(lens, run.target.token, vocabulary, run.answer)
        + pieces_note(first_words(lens, "bottom_tokens"), "word", normalised=biased)
    )
    under_finding = place.picture.container(key=f"{key}_under_finding")
    place.draw(
        chart,
        "Heatmap of the words that the update of FF2 pushes towards, by layer and prompt token",
        on_select="ignore" if pick is None else "rerun",
    )
    place.controls.caption(
        f"A frame marks cells whose first word is your target {code_span(run.target.token)}. "
        "“–” is a signal of zero: it has no words. In the last layer only the last token learns."
        + ("" if pick is None else pick_hint(pick))
        + ("" if biased else WITHOUT_BIAS)
    )
    extra = ", normalize=True" if normalized else ""
    place.finish(
        code_lines(request, f'table = backward_lens(trace(model, prompt, target), "ff2"{extra})'),
        lens,
    )
    return under_finding


def input_cell(number: int, request: Request) -> None:
    """FF1's gradient, read through its inputs."""
    place = cell(
        number,
        "What the update writes down",
        "FF1's gradient is made of copies of its inputs x: each cell is the most probable word "
        "of x, what the model was reading there. A stronger colour is written down more strongly.",
        key="inputs",
    )
    run = tables.trace(request)
    matrix = "ff1"
    if "gate" in run.factors:
        matrix = choice(
            place.controls, "Matrix", MATRIX_TITLES, "input_matrix", among=("ff1", "gate")
        )
    lens = tables.backward_lens(request, matrix)
    table = lens.assign(word=[first(tokens) or "–" for tokens in lens["top_tokens"]])
    strongest, _ = strongest_cell(lens)
    table = some_layers(place.controls, table, int(strongest["layer"]), "inputs")
    chart = gradient_table(
        table,
        {"Most probable in x": "top_tokens", "Least probable in x": "bottom_tokens"},
        run.target.token,
        run.answer,
        f"Strength of the signal: ‖δ‖ of {MATRIX_TITLES[matrix]}, L2",
        marked=[False] * len(table),
    )
    place.show(
        input_finding(lens),
        chart,
        "Heatmap of the most probable word of FF1's input, by layer and prompt token",
        fit=False,
    )
    place.finish(
        code_lines(request, f'table = backward_lens(trace(model, prompt, target), "{matrix}")'),
        lens,
    )


def first_words(lens: pd.DataFrame, column: str) -> pd.DataFrame:
    return lens.assign(word=[tokens[0] if tokens else "" for tokens in lens[column]])


def gradient_table(
    table: pd.DataFrame,
    lists: dict[str, str],
    target: str,
    answer: str,
    title: str,
    *,
    marked: list[bool],
    wide: bool = False,
    picked: Sequence[Region] | None = None,
    page_width: int = PAGE_WIDTH,
    domain: tuple[float, float] | None = None,
) -> alt.LayerChart:
    """A token table coloured by the norm of delta, with word lists and ranks in the tooltips."""
    named = describe_cells(table) | {
        name: table[column].map(lambda tokens: " | ".join(visible(t) for t in tokens) or "–")
        for name, column in lists.items()
    }
    named |= {
        "‖δ‖, L2": table["norm"].map(number),
        "Rank of the target": visible(target) + ": " + table["target_rank"].map(rank_text),
        "Rank of the answer": visible(answer) + ": " + table["answer_rank"].map(rank_text),
    }
    return token_table(
        table,
        "word",
        Quantity("norm", "norm", title, domain=domain),
        named,
        dark=is_dark(),
        blank="near_zero",
        marked=pd.Series(marked, index=table.index),
        page_width=page_width,
        least_width=110 if wide else 66,
        picked=picked,
    )


def pick_hint(pick: Pick) -> str:
    hint = " Click a cell to let only that one learn"
    return hint + (": cell 2, below, shows what follows." if pick.cell else ".")


def own_region(chosen: tuple[int, int] | None) -> tuple[Region, ...]:
    """The frame of the picked cell."""
    if chosen is None:
        return ()
    layer, position = chosen
    return (Region("own", layer, layer, position, position),)
