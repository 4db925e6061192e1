"""The cells on gradient rank."""

from __future__ import annotations

from app.charts.curves import rank_by_layer, rank_by_length
from app.findings.directions import rank_curve_finding, rank_finding
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.state import Request


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
    curve = tables.rank_curve(request)
    if not chosen:
        place.picture.info("No layer is chosen. Choose one or more below.")
    else:
        place.show(
            rank_curve_finding(curve),
            rank_by_length(curve, sorted(chosen), full_rank(request), dark=is_dark()),
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
    ranks = tables.gradient_rank(request)
    place.show(
        rank_finding(ranks, full_rank(request)),
        rank_by_layer(ranks, full_rank(request), dark=is_dark()),
        "Line chart of the gradient's rank in every layer",
        fit=True,
    )
    place.finish(code_lines(request, "table = gradient_rank(trace(model, prompt, target))"), ranks)


def full_rank(request: Request) -> int:
    """The most directions that an MLP matrix has room for."""
    return min(request.model.d_model, request.model.d_mlp)
