"""What if a cell of the forward lens had read something else? Another prompt's state in it."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app.charts.answer_bars import answer_bars
from app.charts.regions import Region
from app.findings.causal import reach_sentence, swap_finding
from app.notebook import tables
from app.notebook.cell import cell, is_dark
from app.notebook.code import code_lines, literal
from app.notebook.fragment import on_its_own
from app.shell.examples import examples_for
from app.shell.related import other_prompt
from app.shell.state import Request, chosen_model, prompt_problem
from app.words import plain, shortened, visible

TOP_K = 5
SOURCE, PROPOSED = "swap_source", "swap_proposed"


@on_its_own
def swap_cell(number: int, request: Request, layer: int, position: int) -> None:
    """The answers before and after the swap, and the reason why only some cells can change."""
    token = visible(request.model.tokenize(request.prompt)[position])
    place = cell(
        number,
        f"What if layer {layer} at {shown_title(token)} had read something else?",
        "What the model holds there for another prompt is put into the framed cell, and the layers "
        "above run again. If the answer follows, that cell carries it.",
        key="swap",
    )
    source, source_position = source_fields(place.controls, request, position)
    if not source:
        return
    result = tables.swap(request, layer, position, source, source_position, TOP_K)
    place.say(swap_finding(result))
    bars = place.picture.columns(3, gap="medium")
    titles = ("Before", "After the swap", "The other prompt's own answer")
    for column, title, run in zip(bars, titles, ("before", "after", "source"), strict=True):
        column.markdown(f"**{title}**")
        label = f"{title}: the most probable next tokens"
        column.html(answer_bars(result.answers_of(run), dark=is_dark(), label=label))
    place.controls.markdown(reach_sentence(result))
    options = f"layer={layer}, position={position}, source_position={source_position}"
    options += ", target=target" + (", edits=edits" if request.entries else "")
    place.finish(
        code_lines(
            request,
            f"source = {literal(source)}",
            f"result = swap(model, prompt, source_prompt=source, {options})",
            "table = result.answers",
        ),
        result.answers,
    )


def shown_title(token: str) -> str:
    """A token in a title, which is Markdown."""
    return plain(shortened(token, 24))


def source_fields(place: DeltaGenerator, request: Request, position: int) -> tuple[str, int]:
    """The other prompt and its token; empty, and the reason is said, if it cannot be read."""
    propose_source(request)
    row = place.container(horizontal=True, vertical_alignment="bottom", gap="medium")
    source = row.text_input(
        "Take it from this prompt",
        key=SOURCE,
        persist_state="session",
        help="A single word will do: it is then read as a prompt of its own.",
        width=380,
    )
    problem = prompt_problem(request.model, source)
    if problem:
        place.info(plain(problem.replace("The prompt", "The other prompt")))
        return "", 0
    tokens = request.model.tokenize(source)
    usual = matching_position(request, source, position)
    chosen = row.selectbox(
        "at its token",
        range(len(tokens)),
        index=usual,
        format_func=lambda i: f"{i + 1}. {shortened(visible(tokens[i]), 24)}",
        key=f"swap_token_{position}_{usual}_{len(tokens)}",
        width=210,
    )
    return source, usual if chosen is None else chosen


def propose_source(request: Request) -> None:
    """Put another prompt into its field, unless somebody has written one."""
    proposal = other_prompt(request.prompt, request.subject) or next(
        (e.prompt for e in examples_for(chosen_model()) if e.prompt != request.prompt),
        request.prompt,
    )
    current = st.session_state.get(SOURCE)
    if current is None or current == st.session_state.get(PROPOSED):
        st.session_state[SOURCE] = proposal
    st.session_state[PROPOSED] = proposal


def matching_position(request: Request, source: str, position: int) -> int:
    """The token of the other prompt as far from its end; never its BOS for a word."""
    model = request.model
    texts = [i for i, (start, end) in enumerate(model.offsets(source)) if end > start]
    length = len(model.encode(source))
    same = position - len(model.encode(request.prompt)) + length
    begins = model.offsets(request.prompt)[position]
    if begins[0] == begins[1] and position == 0:
        return 0
    return max(same, texts[0] if texts else 0)


def reached_regions(request: Request, chosen: tuple[int, int] | None) -> tuple[Region, ...]:
    """What is framed in the table for a picked cell: what it reaches, and itself."""
    if chosen is None:
        return ()
    (layer, position), last = chosen, len(request.model.encode(request.prompt)) - 1
    return (
        Region("reached", layer + 1, request.model.n_layers - 1, position, last),
        Region("own", layer, layer, position, position),
    )
