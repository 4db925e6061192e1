"""Imprint and shift: one step of learning on one matrix, as a picture and as numbers."""

from __future__ import annotations

import pandas as pd
from streamlit.delta_generator import DeltaGenerator

import core
from app.cells.controls import layer_slider, mlp_matrix, token_picker
from app.charts.flow import Panel, flow_chart
from app.charts.grid import span_table
from app.charts.scatter import agreement_chart
from app.findings.step import agreement_finding, duality_finding, imprint_finding
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines
from app.shell.state import Request
from app.titles import MATRIX_TITLES
from app.words import code_span, number, shortened, visible

STEPS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SHOWN = 5  # words and neurons a column


def imprint_cells(request: Request) -> None:
    """The picture, the prediction beside the measurement, and the gradient as two spans."""
    place = cell(
        1,
        "One step, seen in one layer",
        "What the MLP reads; how many copies of it one step writes into FF1's neurons; and what "
        "FF2 says before and after the step. The step subtracts δ, which turns FF2 to the target.",
        key="imprint",
    )
    layer, position, matrix, step, everyone = controls(place.controls, request)
    result = tables.imprint_and_shift(request, layer, matrix, position, step, everyone)
    run = tables.trace(request)
    copies = tables.imprint_copies(request, layer, position, step)
    place.show(
        imprint_finding(
            result,
            MATRIX_TITLES[matrix],
            run.tokens[position],
            run.target.token,
            request.model.vocabulary_size,
        ),
        flow_chart(panels(result, copies), visible(run.target.token), dark=is_dark()),
        "What the MLP reads, what FF1's update writes, and what FF2 says before and after one step",
        fit=False,
    )
    place.controls.caption(
        f"A frame marks your target {code_span(run.target.token)}. Bars are probabilities by the "
        "logit lens; of the neurons, the share of the largest change. “FF2 says now” is after the "
        f"step on {MATRIX_TITLES[matrix]} alone."
    )
    options = f'{layer}, matrix="{matrix}", position={position}, step={step}'
    if everyone:
        options += ", all_tokens=True"
    lines = ["run = trace(model, prompt, target)", f"result = imprint_and_shift(run, {options})"]
    place.finish(code_lines(request, *lines, "table = result.table"), result.table)
    agreement_cell(request, result, lines)
    duality_cell(request, layer)


def controls(place: DeltaGenerator, request: Request) -> tuple[int, int, str, float, bool]:
    row = place.columns(3, vertical_alignment="bottom", gap="medium")
    layer = layer_slider(row[0], request, "imprint")
    position = token_picker(row[1], request, "imprint")
    step = row[2].select_slider(
        "Size of the step",
        STEPS,
        0.1,
        key="imprint_step",
        bind="query-params",
        help="The learning rate. The larger it is, the further the output turns.",
    )
    matrix = mlp_matrix(place, request, "imprint_matrix", "Matrix that learns")
    everyone = place.toggle(
        "Learn from all prompt tokens at once",
        key="imprint_all",
        bind="query-params",
        help="Otherwise the matrix learns from the chosen token alone, as the lemma has it.",
    )
    return layer, position, matrix, step, everyone


def panels(result: core.ImprintAndShift, copies: pd.DataFrame) -> list[Panel]:
    stages = result.table.set_index(["stage", "time"])

    def words(title: str, subtitle: str, stage: str, time: str) -> Panel:
        row = stages.loc[(stage, time)]
        if not row["top_tokens"]:
            return Panel(title, subtitle, ("– (zeros: no words)",), (0.0,), ("",))
        shares = tuple(row["top_probabilities"][:SHOWN])
        notes = tuple(f"{share:.1%}" for share in shares)
        tokens = tuple(visible(token) for token in row["top_tokens"][:SHOWN])
        return Panel(title, subtitle, tokens, shares, notes)

    top = copies.head(SHOWN)
    largest = max(float(top["copies"].abs().max()), 1e-30)
    written = Panel(
        "FF1 writes",
        "copies of x into its neurons",
        tuple(f"neuron {neuron}" for neuron in top["neuron"]),
        tuple(abs(float(c)) / largest for c in top["copies"]),
        tuple(f"{'+' if c > 0 else ''}{number(c, 2)} x" for c in top["copies"]),
    )
    return [
        words("The MLP reads", "x of FF1, by the logit lens", "input", "before"),
        written,
        words("FF2 said", "its output before the step", "mlp", "before"),
        words("FF2 says now", "its output after the step", "mlp", "after"),
    ]


def agreement_cell(request: Request, result: core.ImprintAndShift, lines: list[str]) -> None:
    place = cell(
        2,
        "Predicted and measured",
        "Each dot is one number of the matrix's output: left to right, the change that lemma 5.2 "
        "predicts, −step · ‖x‖² · δ; upwards, the change measured after the step.",
        key="agreement",
    )
    place.show(
        agreement_finding(result),
        agreement_chart(result, dark=is_dark()),
        "Scatter plot of the predicted against the measured change of each output number",
        fit=False,
    )
    place.finish(code_lines(request, *lines, "table = result.changes"), result.changes)


def duality_cell(request: Request, layer: int) -> None:
    place = cell(
        3,
        "The same gradient, read in two ways",
        "A gradient is a sum of outer products, one for each prompt token. FF1's neurons are "
        "mixtures of the inputs x; FF2's are mixtures of the signals δ. A row is a token's vector.",
        key="duality",
    )
    run = tables.trace(request)
    place.say(duality_finding(run, layer))
    spans = []
    for matrix, symbol, which in (("ff1", "x", "reads"), ("ff2", "δ", "turns to")):
        span = tables.gradient_span(request, layer, matrix)
        spans.append(span.assign(matrix=matrix))
        labels = [
            f"{shortened(visible(token), 12)}: {symbol} {which} "
            f"{shortened(visible(tokens[0]), 12) if tokens else '–'}"
            for token, tokens in zip(span["token"], span["tokens"], strict=True)
        ]
        place.picture.markdown(f"**{MATRIX_TITLES[matrix]}**, layer {layer}")
        chart = span_table(span.assign(place=span["order"], label=labels), dark=is_dark())
        alt_text = f"How much of each token's {symbol} the largest neurons of {matrix} hold"
        place.draw(chart, alt_text, name=matrix)
    place.finish(
        code_lines(
            request,
            "run = trace(model, prompt, target)",
            f'tables = [gradient_span(run, {layer}, m).assign(matrix=m) for m in ("ff1", "ff2")]',
            "table = pd.concat(tables, ignore_index=True)",
        ),
        pd.concat(spans, ignore_index=True),
    )
