"""The two sides of a comparison: the fields of the right one, and what tells them apart."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

import core
from app.notebook import tables
from app.shell import ledger
from app.shell.history import Asked, switch_edits, use_asked
from app.shell.models import CARDS, load, refusal, short_name, split_key
from app.shell.other_side import (
    ALL_EDITS,
    AS_LEFT,
    NO_EDITS,
    RIGHT_EDITS,
    RIGHT_MODEL,
    RIGHT_PROMPT,
    RIGHT_SUBJECT,
    RIGHT_TARGET,
    OtherSide,
    edit_ids,
    linked,
    use_other,
    write_link,
)
from app.shell.state import (
    PROMPT,
    SUBJECT,
    TARGET,
    Request,
    chosen_key,
    prompt_problem,
    subject_problem,
    target_problem,
)
from app.shell.subjects import subject_of
from app.words import code_span, count, plain, shortened, visible
from app.workshop.visit import pinned_model
from core.model.catalog import looks_like_folder

MOST_LETTERS = 40  # of a prompt or target in a side's name
FIELDS = "**Right side**: what you leave empty is as on the left, which is the sidebar's."


@dataclass(frozen=True)
class Sides:
    """Both requests; one is None where something is missing. `names` are plain texts that say what
    each has of its own."""

    left: Request | None
    right: Request | None
    names: tuple[str, str] = ("left", "right")

    @property
    def whole(self) -> bool:
        return self.left is not None and self.right is not None

    @property
    def same_model(self) -> bool:
        return self.whole and self.left.model_name == self.right.model_name

    @property
    def same(self) -> bool:
        return self.whole and Asked.of(self.left) == Asked.of(self.right)

    @property
    def segments(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """Of both prompts' tokens, where both have a subject."""
        both = (self.left, self.right)
        if any(side is None or side.subject is None for side in both):
            return None
        return tuple(tables.segments(side) for side in both)


def other_side(left: Request | None) -> Sides:
    """Draw the fields of the right side; both requests, or what is wrong with the right one."""
    with st.container(border=True, key="compare_sides"):
        st.markdown(FIELDS)
        columns = st.columns([3, 2, 2, 2] if not pinned_model() else [3, 2, 2], gap="small")
        model_key = linked(RIGHT_MODEL) or chosen_key()
        if not pinned_model():
            with columns[3]:
                model_key = model_field(left)
        else:
            model_key = chosen_key()
        model = model_of(model_key)
        request = None
        if model is not None:
            entries = edits_field(model)
            request = fields(columns, left, model_key, model, entries)
        sides = Sides(left, request)
        if sides.whole:
            sides = Sides(left, request, side_names(left, request))
        told(sides)
    return sides


def fields(
    columns: list,
    left: Request | None,
    model_key: str,
    model: core.LanguageModel,
    entries: tuple[ledger.Entry, ...],
) -> Request | None:
    """The texts of the right side; None where one of them cannot be used, which it says."""
    left_prompt = st.session_state.get(PROMPT) or ""
    with columns[0]:
        typed = text_field("Other prompt", RIGHT_PROMPT, left_prompt)
        prompt = typed or left_prompt
        problem = prompt_problem(model, prompt)
        if problem and (typed or left is not None):
            st.error(plain(problem))
    same_prompt = prompt == left_prompt
    with columns[2]:
        proposal = (st.session_state.get(SUBJECT) if same_prompt else subject_of(prompt)) or ""
        subject = text_field("Other subject", RIGHT_SUBJECT, proposal) or proposal
        subject_wrong = not problem and subject_problem(prompt, subject)
        if subject_wrong:
            st.warning(plain(subject_wrong))
    with columns[1]:
        twin = left is not None and Asked.of(left) == Asked(
            model_key, prompt, left.target, left.subject, tuple(e.id for e in entries)
        )
        usual = st.session_state.get(TARGET) or ""
        if twin:
            usual = own_answer(left) or usual
        target = text_field("Other target", RIGHT_TARGET, usual, own=twin) or usual
        target_wrong = "" if problem else target_problem(model, prompt, target)
        if target_wrong and (st.session_state[RIGHT_TARGET] or left is not None):
            st.error(plain(target_wrong))
    if problem or target_wrong:
        return None
    return Request(model_key, prompt, target, None if subject_wrong else subject, entries)


def text_field(label: str, key: str, usual: str, own: bool = False) -> str:
    """A field of the right side; `usual` is what it means when it is empty."""
    of = "own answer" if own else "as on the left"
    linked(key)
    placeholder = f"{visible(usual.strip()).replace('·', ' ')} ({of})"
    typed = st.text_input(label, key=key, placeholder=placeholder, persist_state="session") or ""
    write_link(key, typed)
    return typed


def own_answer(request: Request) -> str:
    """The most probable answer that is not the target, as it would be typed."""
    model, prompt = request.model, request.prompt
    target = model.target(prompt, request.target)
    for token in tables.forward_lens(request)["top_tokens"].iloc[-1]:
        typed = token.strip()
        if token != target.token and typed and model.target(prompt, typed).token == token:
            return typed
    return ""


def model_field(left: Request | None) -> str:
    """The right side's model among those that are at hand; its `model_key`."""
    chosen = linked(RIGHT_MODEL)
    here = [name for name in CARDS if core.is_on_this_machine(name)]
    names = list(dict.fromkeys(["", *here, chosen]))
    st.selectbox(
        "Other model",
        names,
        format_func=lambda name: short_name(name) if name else "as on the left",
        key=RIGHT_MODEL,
        persist_state="session",
    )
    write_link(RIGHT_MODEL, st.session_state[RIGHT_MODEL] or "")
    return st.session_state[RIGHT_MODEL] or chosen_key()


def model_of(key: str) -> core.LanguageModel | None:
    """The right side's model, or None with the reason on the screen."""
    name, _ = split_key(key)
    problem = refusal(name) if name else "Choose a model on the left."
    if not problem and not core.is_on_this_machine(name) and not looks_like_folder(name):
        problem = f"{short_name(name)} is not on this machine. Choose it on the left to fetch it."
    if not problem:
        try:
            with st.spinner(f"Loading {plain(short_name(name))} …", show_time=True):
                return load(key)
        except core.ModelError as error:
            problem = str(error)
    st.error(plain(problem))
    return None


def edits_field(model: core.LanguageModel) -> tuple[ledger.Entry, ...]:
    """Which of the session's edits are on on the right."""
    fitting = [entry for entry in ledger.entries() if ledger.fits(entry, model)]
    chosen = linked(RIGHT_EDITS)
    ids = edit_ids(chosen)
    found = tuple(entry for entry in fitting if entry.id in ids)
    if len(found) < len(ids):
        st.warning(
            f"{count(len(ids) - len(found), 'edit')} of the right side can no longer be switched "
            "on: this session does not have it. You see the right side without."
        )
    if fitting:
        titles = {
            AS_LEFT: "As on the left",
            NO_EDITS: "Without my edits",
            ALL_EDITS: "With all my edits",
        }
        if ids:
            titles[chosen] = f"With {count(len(found), 'edit')}"
        st.segmented_control(
            "My edits on the right",
            list(titles),
            format_func=titles.get,
            key=RIGHT_EDITS,
            required=True,
            persist_state="session",
        )
        chosen = st.session_state[RIGHT_EDITS] or ""
    write_link(RIGHT_EDITS, chosen)
    if chosen == AS_LEFT:
        return ledger.active(model)
    return tuple(fitting) if chosen == ALL_EDITS else found if edit_ids(chosen) else ()


def told(sides: Sides) -> None:
    """Both sides in a line each, and the button that swaps them."""
    row = st.container(horizontal=True, vertical_alignment="center")
    left, right = sides.left, sides.right
    row.button(
        "⇄ Swap",
        key="swap_sides",
        disabled=not sides.whole,
        on_click=swap,
        args=(left, right),
        help="The right side becomes the sidebar's, and the left one stands here.",
    )
    lines = [
        f"**{side}**: {described(request) if request else 'nothing to show yet'}"
        for side, request in (("Left", left), ("Right", right))
    ]
    row.markdown("  \n".join(lines))


def described(request: Request) -> str:
    """A request in Markdown."""
    edits = f", with {count(len(request.entries), 'edit')} of yours" if request.entries else ""
    target = code_span(shortened(request.target.strip(), MOST_LETTERS))
    prompt = code_span(shortened(request.prompt, 2 * MOST_LETTERS)).replace("·", " ")
    return f"{prompt} → {target} · {plain(short_name(request.model_name))}{edits}"


def swap(left: Request, right: Request) -> None:
    """For callbacks."""
    use_asked(Asked.of(right))
    switch_edits(Asked.of(right))
    use_other(OtherSide.of(Asked.of(left)))


def side_names(left: Request, right: Request) -> tuple[str, str]:
    """What each side has of its own, in a few plain words."""
    both = (left, right)
    parts = [
        tuple(name(side) for side in both)
        for name in (prompt_name, target_name, model_name, edits_name)
    ]
    own = [pair for pair in parts if pair[0] != pair[1]]
    if not own:
        return ("left", "right")
    return tuple(", ".join(pair[i] for pair in own if pair[i]) for i in (0, 1))


def prompt_name(request: Request) -> str:
    return shortened(visible(request.prompt).replace("·", " "), MOST_LETTERS)


def target_name(request: Request) -> str:
    return shortened(visible(request.target.strip()).replace("·", " "), MOST_LETTERS)


def model_name(request: Request) -> str:
    name, precision = split_key(request.model_name)
    return f"{short_name(name)}, {precision}" if precision else short_name(name)


def edits_name(request: Request) -> str:
    edits = [entry.name for entry in request.entries]
    if not edits:
        return "without edits"
    return "with the edit" if len(edits) == 1 else f"with {len(edits)} edits"


def alignment_of(sides: Sides) -> core.Alignment:
    """How the cells of both sides stand for each other."""
    if not sides.whole:
        return core.Alignment("", "There is only one side: nothing to take a difference of.")
    lenses = [tables.forward_lens(side) for side in (sides.left, sides.right)]
    return core.alignment(*lenses, segments=sides.segments)
