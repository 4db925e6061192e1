"""The cells on where learning happens: norms, and the target's rank by layer."""

from __future__ import annotations

import core
from app.cells.controls import SEGMENT_WIDTH, by_segment, choice, some_layers
from app.cells.tooltips import describe_cells, exact, short_number
from app.charts.curves import token_rank_by_layer
from app.charts.token_table import NUMBER_WIDTH, PAGE_WIDTH, Quantity, token_table
from app.findings.lenses import backward_finding, target_rank_finding
from app.findings.signal import norm_finding
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.state import Request
from app.titles import MODULE_TITLES, SEGMENT_TITLES


def norms_cell(number: int, request: Request, *, key: str = "norms") -> None:
    """Heatmaps of the norm of delta and, beside it, of x."""
    place = cell(
        number,
        "How strong the signal is",
        "Left: how strong the learning signal δ is in each layer at each token. Right: how large "
        "the input x is there. Their product is the size of the correction.",
        key=key,
    )
    run = tables.trace(request)
    module = choice(
        place.controls,
        "Part of the model",
        MODULE_TITLES,
        "module" if key == "norms" else f"{key}_module",
        among=run.factors,
        default="ff2",
    )
    everything = tables.vjp_norms(request)
    norms = everything[everything["module"] == module]
    segmented = by_segment(place.controls, request, key)
    shown = core.segment_means(norms, tables.segments(request)) if segmented else norms
    strongest = int(norms.loc[norms["norm"].idxmax(), "layer"])
    largest = int(norms.loc[norms["input_norm"].idxmax(), "layer"])
    shown = some_layers(place.controls, shown, (strongest, largest), key)
    table = shown.assign(
        signal=shown["norm"].map(short_number), size=shown["input_norm"].map(short_number)
    )
    tooltips = describe_cells(table) | {
        "‖δ‖, L2": table["norm"].map(exact),
        "‖x‖, L2": table["input_norm"].map(exact),
    }
    if segmented:
        tooltips |= {"Tokens in the segment": table["tokens"].astype(str)}
    place.say(norm_finding(norms, MODULE_TITLES[module]))
    pictures = [place.picture, place.picture] if segmented else place.picture.columns(2)
    for where, column, text, palette, title in (
        (pictures[0], "norm", "signal", "norm", "Signal: ‖δ‖ of the output, L2"),
        (pictures[1], "input_norm", "size", "input_norm", "Input: ‖x‖, L2"),
    ):
        chart = token_table(
            table,
            text,
            Quantity(column, palette, title),
            tooltips,
            dark=is_dark(),
            marked=table[column] == table[column].max(),
            page_width=PAGE_WIDTH if segmented else 360,
            least_width=SEGMENT_WIDTH if segmented else NUMBER_WIDTH,
            x_title="Segment of the prompt" if segmented else "Prompt token",
            names=SEGMENT_TITLES if segmented else None,
        )
        alt_text = f"Heatmap by layer and prompt token. {title}"
        place.draw(chart, alt_text, name=column, where=where)
    lines = ["table = vjp_norms(trace(model, prompt, target))"]
    if segmented:
        lines.append("table = segment_means(table, segments(model, prompt, subject))")
        everything = core.segment_means(everything, tables.segments(request))
    place.finish(code_lines(request, *lines), everything)


def target_rank_cell(number: int, request: Request) -> None:
    place = cell(
        number,
        "Where the update points to the target",
        "A line follows one prompt token: how probable δ of FF2 makes your target. The lower "
        "a line runs, the more the update, which subtracts δ, pushes towards the target.",
        key="target_rank",
    )
    run = tables.trace(request)
    lens = tables.backward_lens(request, "ff2")
    vocabulary = request.model.vocabulary_size
    if lens["near_zero"].all():
        place.picture.info(backward_finding(lens, run.target.token, vocabulary))
        return
    place.show(
        target_rank_finding(lens, run.target.token, vocabulary),
        token_rank_by_layer(
            lens, vocabulary, dark=is_dark(), subject=tables.subject_positions(request)
        ),
        "Line chart of the target's rank in the gradient by layer, a line for each prompt token",
        fit=True,
    )
    place.finish(
        code_lines(request, 'table = backward_lens(trace(model, prompt, target), "ff2")'), lens
    )
