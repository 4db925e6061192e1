"""What if only one matrix learned, from only one token? A cell of the backward lens, as a step."""

from __future__ import annotations

from zlib import crc32

import streamlit as st

import core
from app.cells.controls import choice
from app.charts.answer_bars import answer_bars
from app.findings.causal import (
    ladder_sentence,
    no_signal,
    share_text,
    step_finding,
    visible_share,
)
from app.notebook import tables
from app.notebook.cell import Cell, cell, is_dark
from app.notebook.code import code_lines
from app.notebook.fragment import on_its_own
from app.shell import ledger
from app.shell.state import Request
from app.titles import MODULE_TITLES
from app.words import plain, shortened, visible
from core.editing.one_cell import STEP_SHARES
from core.gradients.lens import NEAR_ZERO

TOP_K = 5
KEPT = "one_cell_kept"  # in the session: the id of the edit that was kept last


@on_its_own
def one_cell_cell(number: int, request: Request, layer: int, position: int) -> None:
    """Target and answer before and after the step, predicted and measured; a button to keep it."""
    tokens = request.model.tokenize(request.prompt)
    token = plain(shortened(visible(tokens[position]), 24))
    place = cell(
        number,
        f"What if only layer {layer} learned, from {token} alone?",
        "One matrix takes one step of gradient descent, learned from this token only; everything "
        "else stays. Longer bars are more probable next words.",
        key="one_cell",
    )
    kept_message(place, request)
    titles = {name: title for name, title in MODULE_TITLES.items() if name != "block"}
    matrix = choice(
        place.controls,
        "Matrix that learns",
        titles,
        "one_cell_matrix",
        among=request.model.matrices,
        default="ff2",
        bound=False,
    )
    if not has_signal(request, matrix, layer, position):
        reaches = matrix == "attn_in" or core.reaches_the_answer(
            request.model.n_layers, len(tokens), layer, position
        )
        place.picture.info(
            no_signal(titles[matrix], layer, tokens[position], tokens[-1], reaches=reaches)
        )
        return
    ladder = tables.step_ladder(request, matrix, layer, position)
    share = share_slider(place, request, ladder, (matrix, layer, position))
    new, seen = tables.one_cell(request, matrix, layer, position, share, TOP_K)
    rate = float(new.hyperparameters["step"])
    place.say(step_finding(seen, share, rate, titles[matrix], layer, tokens[position]))
    for column, title, run in zip(
        place.picture.columns(2, gap="large"), ("Before", "After"), ("before", "after"), strict=True
    ):
        column.markdown(f"**{title}**")
        answers = seen.answers[seen.answers["run"] == run]
        label = f"{title}: the most probable next tokens"
        column.html(answer_bars(answers, dark=is_dark(), label=label))
    target = tables.trace(request).target.token
    place.controls.markdown(ladder_sentence(ladder, target))
    if place.controls.button("Keep it as an edit", key="keep_one_cell"):
        keep(new)
    spot = f'matrix="{matrix}", layer={layer}, position={position}, share={share:g}'
    place.finish(
        code_lines(
            request,
            "run = trace(model, prompt, target)",
            f"new = learn_at(run, {spot})",
            "table = compare_before_after(run, new).table",
        ),
        seen.table,
    )


def has_signal(request: Request, matrix: str, layer: int, position: int) -> bool:
    norms = tables.vjp_norms(request)
    norms = norms[norms["module"] == matrix]
    here = norms[(norms["layer"] == layer) & (norms["position"] == position)]
    return bool(here["norm"].iloc[0] > NEAR_ZERO * norms["norm"].max())


def share_slider(place: Cell, request: Request, ladder, spot: tuple[str, int, int]) -> float:
    """The size of the step; at first the one that shows most, for each cell anew."""
    asked = repr((request.model_name, request.prompt, request.target, request.edit_ids, spot))
    return place.controls.select_slider(
        "Size of the step, as a part of the matrix itself",
        STEP_SHARES,
        visible_share(ladder),
        format_func=share_text,
        key=f"one_cell_share_{crc32(asked.encode())}",
        help="How large the change of the matrix is, compared with its own numbers (Frobenius "
        "norm). The learning rate that gives it is in the sentence above.",
    )


def keep(new: core.Edit) -> None:
    """Put the step among the visitor's edits and draw the page with it."""
    try:
        st.session_state[KEPT] = ledger.add(new).id
    except core.EditError as error:
        st.error(plain(str(error)))
    else:
        st.rerun()


def kept_message(place: Cell, request: Request) -> None:
    """Where the step is now that was kept last, as long as it is on."""
    if st.session_state.get(KEPT) not in request.edit_ids:
        return
    place.picture.success(
        "Kept: it is on, and stands under “Your edits” on the left. The pictures of this page are "
        "now of the model with it; a further step would come on top."
    )
    place.picture.page_link("../pages/ask.py", label="Ask the edited model", icon="💬")
