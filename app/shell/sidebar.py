"""The sidebar: model, prompt, target and examples, with every problem named where it arises."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import partial

import streamlit as st

import core
from app.shell import ledger
from app.shell.examples import REAL, examples_for
from app.shell.ledger_field import ledger_field
from app.shell.model_offers import found_field, source_field
from app.shell.models import (
    CARDS,
    OTHER,
    downloads,
    expected_size,
    label,
    load,
    refusal,
    short_name,
    start_download,
)
from app.shell.navigation import JOB_PAGES, page_at
from app.shell.pinned_field import pinned_field
from app.shell.precision_field import precision_field
from app.shell.state import (
    MODEL,
    OTHER_MODEL,
    PAGE,
    PROMPT,
    PROPOSED,
    SUBJECT,
    TARGET,
    Request,
    chosen_key,
    chosen_model,
    prompt_problem,
    propose_subject,
    set_defaults,
    subject_problem,
    target_problem,
    use_example,
    use_model,
    use_proposed_subject,
)
from app.words import code_span, plain, visible
from app.work.address import write_fields
from app.work.job import Job
from app.work.panel import draw_bar, follow
from app.work.sessions import collect, session_jobs
from app.workshop.login import sign_out_button
from app.workshop.notice import name_field
from app.workshop.room import look_at
from app.workshop.visit import pinned_model
from core.model.catalog import BUILTIN, looks_like_folder


def sidebar(page: str) -> None:
    """Draw the sidebar and leave the checked request, or the problem, in the session state.

    `page` is the path of the page that is drawn after it.
    """
    set_defaults()
    st.session_state[PAGE] = page
    st.session_state["request"] = None
    st.session_state["problem"] = ""
    with st.sidebar:
        top = st.container()
        model = model_field()
        prompt = st.text_input(
            "Prompt",
            key=PROMPT,
            bind="query-params",
            help="The beginning of a sentence. Press Enter to see what changes.",
        )
        below_prompt = st.container()
        subject = subject_field(prompt or "")
        target = st.text_input(
            "Target: what should come next",
            key=TARGET,
            bind="query-params",
            help="The word that you want the model to say. It need not be true.",
        )
        below_target = st.container()
        write_fields((PROMPT, SUBJECT, TARGET))
        collect()
        st.session_state["ledger_model"] = model
        look_at(short_name(chosen_model()), model and model.lock)
        if model is not None:
            ledger_field(model, chosen_key())
        with top:  # above the fold of a laptop
            jobs_field(page)
        example_field()
        name_field()
        sign_out_button()
    st.session_state["model_is_loaded"] = model is not None
    if model is None:
        return
    prompt, target = prompt or "", target or ""
    problem = prompt_problem(model, prompt)
    if problem:
        below_prompt.error(plain(problem))
    else:
        below_prompt.html(token_chips(model.tokenize(prompt)))
        if prompt[-1].isspace():
            below_prompt.caption(
                "The prompt ends with a space, which the model reads as a token of its own. "
                "Delete it, unless you mean it."
            )
        problem = show_target(below_target, model, prompt, target)
    st.session_state["problem"] = problem
    if not problem:
        st.session_state["request"] = Request(
            chosen_key(), prompt, target, subject, ledger.active(model)
        )


def subject_field(prompt: str) -> str | None:
    """The subject, proposed by the app and changed by the user; None if it is not in the prompt."""
    propose_subject(prompt)
    subject = st.text_input(
        "Subject: what the sentence is about",
        key=SUBJECT,
        bind="query-params",
        help="A part of the prompt. The pages use it to name the tokens' places: before, in and "
        "after the subject. Empty the field for the app's own proposal.",
    )
    problem = subject_problem(prompt, subject or "")
    if not problem:
        return subject
    proposal = st.session_state[PROPOSED]
    if prompt.strip() and proposal:
        st.warning(plain(problem))
        label = f"Use {code_span(proposal)}"
        st.button(label, on_click=use_proposed_subject, key="use_subject")
    return None


def model_field() -> core.LanguageModel | None:
    """The model's picker; the loaded model, or None with the reason on the screen."""
    name = pinned_field() if pinned_model() else picker()
    if not name:
        st.session_state["problem"] = "Type a model's folder or name on the left."
        return None
    problem = refusal(name)
    if not problem and not core.is_on_this_machine(name) and not looks_like_folder(name):
        or_else = "" if pinned_model() else ", or use the built-in model"
        st.session_state["problem"] = (
            f"{short_name(name)} is not on this machine: download it on the left{or_else}."
        )
        offer_download(name)
        return None
    if not problem:
        try:
            with st.spinner(f"Loading {plain(short_name(name))} …", show_time=True):
                model = load(chosen_key())
            source_field(model, name)
            precision_field(model)
            return model
        except core.ModelError as error:
            problem = str(error)
            precision_field(None)
    st.error(plain(problem))
    st.session_state["problem"] = "The chosen model cannot be used; the reason is on the left."
    return None


def picker() -> str:
    """Any model; its name, which stands in the URL as well."""
    st.selectbox("Model", [*CARDS, OTHER], key=MODEL, format_func=label)
    if st.session_state[MODEL] == OTHER:
        st.text_input(
            "Folder, GGUF file, or name on the Hugging Face hub",
            key=OTHER_MODEL,
            persist_state="session",
            placeholder="/home/me/my-gpt2 or EleutherAI/…",
            help="A GPT-2- or Llama-architecture model: safetensors weights, or a .gguf file.",
        )
    found_field()
    if st.query_params.get("model") != chosen_model():
        st.query_params["model"] = chosen_model()
    return chosen_model()


def offer_download(name: str) -> None:
    """One click to fetch a model that is not here, with its size and how far it is."""
    job = downloads().get(name)
    if job and job.running:
        follow([job], partial(draw_download, job), pause=0.5)
        return
    if job and job.error:
        st.error(plain(job.error))
    elif job and job.ended_early:
        st.info("The download was cancelled. What has arrived is kept.")
    else:
        st.info(plain(f"{short_name(name)} is not on this machine."))
    if name in CARDS and CARDS[name].note:
        st.caption(plain(f"{CARDS[name].note} Licence: {CARDS[name].licence}."))
    st.button(
        f"Download ({expected_size(name)})",
        on_click=start_download,
        args=(name,),
        type="primary",
        key="download",
    )
    if not pinned_model():
        st.button(
            "Use the built-in model", on_click=use_model, args=(BUILTIN[0],), key="use_builtin"
        )


def draw_download(job: Job) -> None:
    draw_bar(job)
    st.button("Cancel the download", key="cancel_download", on_click=job.cancelled.set)


def example_field() -> None:
    examples = examples_for(chosen_model())
    st.selectbox(
        "Examples for this model" if chosen_model() == REAL else "Examples from the paper",
        range(len(examples)),
        index=None,
        placeholder="Pick one …",
        format_func=lambda i: examples[i].label,
        key="example",
        on_change=pick_example,
    )


def pick_example() -> None:
    """Put the picked example into the fields, and empty the picker for the next time."""
    picked = st.session_state.get("example")
    if picked is not None:
        use_example(picked)
        st.session_state["example"] = None


def jobs_field(page: str) -> None:
    """What this session has running, on every page but the one that shows it whole."""
    jobs = {
        slot: job
        for slot, job in session_jobs().items()
        if job.running and JOB_PAGES.get(slot, page) != page
    }
    if jobs:
        follow(list(jobs.values()), partial(draw_jobs, jobs))


def draw_jobs(jobs: Mapping[str, Job]) -> None:
    for slot, job in jobs.items():
        draw_bar(job)
        page = page_at(JOB_PAGES[slot])
        st.page_link(page.script, label=f"Go to {page.title}")


def show_target(
    place: st.delta_generator.DeltaGenerator,
    model: core.LanguageModel,
    prompt: str,
    target: str,
) -> str:
    """The target's tokens and which one is used; returns the problem if there is one."""
    problem = target_problem(model, prompt, target)
    if problem:
        place.error(plain(problem))
        return problem
    goal = model.target(prompt, target)
    place.html(token_chips(goal.tokens, used=0))
    if len(goal.ids) > 1:
        place.caption(
            f"{len(goal.ids)} tokens. The first one, {code_span(goal.token)}, is the one that "
            "every page is about."
        )
    return ""


def token_chips(tokens: tuple[str, ...], used: int | None = None) -> str:
    """Tokens as separate chips, spaces shown as ·; the used one is outlined. Escaped HTML."""
    chips = []
    for i, token in enumerate(tokens):
        outline = "2px solid #d9622b" if i == used else "1px solid rgba(128,128,128,.45)"
        style = (
            f"display:inline-block;margin:0 3px 4px 0;padding:0 5px;border:{outline};"
            "border-radius:5px;font:13px/20px ui-monospace,monospace;white-space:pre;"
            "background:rgba(128,128,128,.12)"
        )
        chips.append(f'<span style="{style}">{html.escape(visible(token))}</span>')
    count = "1 token" if len(tokens) == 1 else f"{len(tokens)} tokens"
    chips.append(f'<span style="font-size:12px;opacity:.75">{count}</span>')
    return f'<div style="max-height:136px;overflow-y:auto">{"".join(chips)}</div>'
