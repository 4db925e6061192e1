"""The cells on gradient rank."""

from __future__ import annotations

from app.cells.controls import choice
from app.charts.curves import rank_by_layer
from app.charts.rank_length import rank_by_length
from app.findings.directions import rank_curve_finding, rank_finding
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.state import Request
from app.titles import MATRIX_TITLES


def rank_curve_cell(number: int, request: Request) -> None:
    place = cell(
        number,
        "Every token adds one direction",
        "The prompt is read token by token, from left to right; a line's height is the rank of the "
        "gradient so far. Layers with the same curve are one line, wider for more layers.",
        key="rank_curve",
    )
    n_layers = request.model.n_layers
    row = place.controls.columns([2, 3], vertical_alignment="bottom", gap="medium")
    names = mlp_matrices(request)
    matrix = choice(row[0], "Matrix", names, "rank_matrix", default="all")
    chosen = row[1].multiselect(
        "Layers",
        range(n_layers),
        key=f"layers_{n_layers}",
        bind="query-params",
        placeholder="All layers",
    )
    curve = tables.rank_curve(request)
    shown = curve if matrix == "all" else curve[curve["matrix"] == matrix]
    finding = rank_curve_finding(curve, full_rank(request))
    tokens = request.model.tokenize(request.prompt)
    layers = sorted(chosen) or list(range(n_layers))
    place.show(
        finding,
        rank_by_length(shown, layers, full_rank(request), tokens, dark=is_dark()),
        f"Line chart of gradient rank against prompt length, a panel a matrix. {finding}",
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


def mlp_matrices(request: Request) -> dict[str, str]:
    """What the panels can be narrowed to, by its title."""
    names = {name: title for name, title in MATRIX_TITLES.items() if name in request.model.matrices}
    return {"all": "All", **names}


def full_rank(request: Request) -> int:
    """The most directions that an MLP matrix has room for."""
    return min(request.model.d_model, request.model.d_mlp)
