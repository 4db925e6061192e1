"""“Compare with …” at the head of a page: the view as it stands becomes the left side."""

from __future__ import annotations

import streamlit as st

from app.shell.examples import examples_for
from app.shell.history import Asked, Visited, history, shows_request
from app.shell.history_field import shown
from app.shell.menu import is_open
from app.shell.models import split_key
from app.shell.other_side import NO_EDITS, PATH, OtherSide, compare_button
from app.shell.related import related
from app.shell.state import PAGE, Request
from app.words import plain, shortened

EARLIER = 3  # requests of the history


def compare_field() -> None:
    """A popover with what the request can be compared with; nothing where there is no request, or
    where a workshop has no such page."""
    request = st.session_state.get("request")
    if request is None or not shows_request(st.session_state[PAGE]) or not is_open(PATH):
        return
    with st.popover("Compare with …", key="compare_with"):
        st.caption("What is on the screen stays on the left.")
        for i, (label, side) in enumerate(choices(request)):
            compare_button(label, side, f"compare_with_{i}")


def choices(request: Request) -> list[tuple[str, OtherSide]]:
    """Labels (Markdown) and what each would put on the right."""
    found = [("Another target: the model's own answer", OtherSide())]
    target = other_target(request)
    if target:
        found.append((f"Another target: {plain(target)}", OtherSide(target=target)))
    prompt = other_prompt(request)
    if prompt:
        label = f"Another prompt: {plain(shortened(prompt, 60))}"
        found.append((label, OtherSide(prompt=prompt, target=request.target)))
    if request.entries:
        found.append(("The model without my edits", OtherSide(edits=NO_EDITS)))
    for entry in earlier_requests(request):
        text = shortened(shown(f"{entry.asked.prompt} → {entry.asked.target}"), 60)
        found.append((f"Asked before: {plain(text)}", OtherSide.of(entry.asked)))
    return found


def other_target(request: Request) -> str:
    """The first target of an example that is not the request's own."""
    examples = examples_for(split_key(request.model_name)[0])
    here = [e.target for e in examples if e.prompt == request.prompt]
    targets = [*here, *(e.target for e in examples)]
    return next((t for t in targets if t.strip() != request.target.strip()), "")


def other_prompt(request: Request) -> str:
    """The same about another subject, else the same in other words."""
    around = related(request.prompt, request.subject)
    prompts = (*around.neighbours, *around.paraphrases)
    return next((p for p in prompts if p != request.prompt), "")


def earlier_requests(request: Request) -> list[Visited]:
    """The newest different ones."""
    found: dict[Asked, Visited] = {}
    for entry in reversed(history().entries):
        if entry.asked != Asked.of(request):
            found.setdefault(entry.asked, entry)
    return list(found.values())[:EARLIER]
