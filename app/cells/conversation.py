"""Asking the original and the edited model: a conversation, and a table of prompts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import core
from app.cells.tooltips import is_dark
from app.charts.answer_bars import answer_bars, percent
from app.notebook.cell import cell, literal
from app.shell import ledger
from app.shell.examples import EXAMPLES
from app.shell.ledger import Entry
from app.shell.models import short_name
from app.shell.navigation import PAGES
from app.shell.state import PROMPT, chosen_model, prompt_problem
from app.shell.subjects import known_records
from app.words import code_span, file_name, plain, shortened, visible

# In the session: the conversation, the field and its problem, the table's rows and answers.
TURNS, FIELD, PROBLEM = "ask_turns", "ask_prompt", "ask_problem"
ROWS, BASE, KEPT, RESULT = "ask_rows", "ask_rows_base", "ask_rows_kept", "ask_result"
LENGTH, TEMPERATURE, SEED = "ask_length", "ask_temperature", "ask_seed"
MOST_TURNS = 20
MOST_ROWS = 20
SUGGESTIONS = 4
SHOWN = 5  # next tokens below each text
HEIGHT = 390  # pixels of a longer conversation, so that it and the field fit on a laptop
PICTURE = 0.7  # seconds between two looks at the text; a shorter pause than a run loses looks

log = logging.getLogger(__name__)


@dataclass
class Asked:
    """What was asked of which model; outlives changes of the sidebar and of the ledger."""

    model_name: str
    edit_ids: tuple[str, ...]
    edit_names: tuple[str, ...]

    @staticmethod
    def now(active: Sequence[Entry]) -> Asked:
        return Asked(chosen_model(), tuple(e.id for e in active), tuple(e.name for e in active))

    def same(self, other: Asked) -> bool:
        return (self.model_name, self.edit_ids) == (other.model_name, other.edit_ids)


@dataclass
class Voice:
    """One model's answer; written by its own thread, read by the page."""

    edits: tuple[core.Edit, ...] = field(repr=False)
    text: str = ""
    answers: pd.DataFrame | None = None
    error: str = ""
    stopped: bool = False
    thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()


@dataclass
class Turn:
    """A prompt and its answers: the original's, and the edited model's if edits are active."""

    asked: Asked
    prompt: str
    length: int
    temperature: float
    seed: int
    voices: tuple[Voice, ...]
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> bool:
        return any(voice.running for voice in self.voices)

    def start(self, model: core.LanguageModel) -> None:
        for voice in self.voices:
            voice.thread = threading.Thread(
                target=self.speak, args=(model, voice), daemon=True, name="ask"
            )
            voice.thread.start()

    def speak(self, model: core.LanguageModel, voice: Voice) -> None:
        def take(piece: str) -> None:
            voice.text += piece
            if self.cancelled.is_set():
                raise core.Cancelled

        shown = min(SHOWN, model.vocabulary_size)
        try:
            voice.answers = core.answers(model, self.prompt, edits=voice.edits, top_k=shown)
            take("")
            core.complete(
                model,
                self.prompt,
                edits=voice.edits,
                max_new_tokens=self.length,
                temperature=self.temperature,
                seed=self.seed,
                on_token=take,
            )
        except core.Cancelled:
            voice.stopped = True
        except core.BackwardLensError as error:
            voice.error = str(error)
        except Exception:  # a thread has no page to fail on
            log.exception("an answer failed")
            voice.error = "This failed unexpectedly. Ask again, or choose another model."


@dataclass
class TableAnswers:
    """What “Ask all” found, row by row; `total` rows were asked for."""

    asked: Asked
    total: int
    rows: list[dict[str, object]] = field(default_factory=list)


def turns() -> list[Turn]:
    return st.session_state.setdefault(TURNS, [])


def ask_cell(model: core.LanguageModel, active: Sequence[Entry]) -> None:
    """The conversation, the field for the next prompt, and its settings."""
    place = cell(
        1,
        "Ask both models",
        "Type the beginning of a sentence and the model writes on: once as it is, once with your "
        "edits. The bars are the five pieces of text it thought most likely to come next.",
        key="ask",
    )
    if not active:
        edit_hint(place.picture)
    known = turns()
    current = known[-1] if known else None
    running = current is not None and current.running
    if known:
        height = HEIGHT if len(known) > 1 else "content"
        with place.picture.container(height=height, border=False, key="ask_history"):
            for turn in known[:-1]:
                draw_turn(turn)
            if running:
                watch(current)
            else:
                draw_turn(current)
    below, row = place.controls.container(), place.controls.container()
    if st.session_state.get(PROBLEM):
        below.error(plain(st.session_state[PROBLEM]))
    with row.container(horizontal=True, vertical_alignment="center", gap="small"):
        if running:
            st.button("Stop", on_click=current.cancelled.set, type="primary", key="ask_stop")
            st.caption("Stop ends the text after the token in hand; what is written stays.")
        else:
            suggest(suggestions(active))
        settings(bool(known) and not running)
    place.controls.chat_input(
        "The beginning of a sentence, for example: The capital of France is",
        key=FIELD,
        on_submit=ask_typed,
    )
    if current is not None and not running:
        finish(place, current)


def edit_hint(place: DeltaGenerator) -> None:
    """No edit is active: only the original answers, and where edits are made."""
    row = place.container(horizontal=True, vertical_alignment="center")
    words = "No edit is active, so only the original model answers."
    if ledger.entries():
        words += " Switch one on at the left, or:"
    row.markdown(words, width="content")
    if any(file == "edit.py" for file, _, _ in PAGES):
        row.page_link("../pages/edit.py", label="Make an edit", icon="✏️", width="content")


def settings(clearable: bool) -> None:
    with st.popover("Settings"):
        st.slider("How many new tokens", 1, 60, 20, key=LENGTH, persist_state="session")
        st.slider(
            "Temperature",
            0.0,
            2.0,
            0.0,
            0.1,
            key=TEMPERATURE,
            persist_state="session",
            help="0 takes the most probable token each time; the higher, the more is left to "
            "chance.",
        )
        st.number_input(
            "Seed",
            0,
            10**6,
            0,
            key=SEED,
            persist_state="session",
            help="Decides what chance picks, the same for both models. Without effect at "
            "temperature 0.",
        )
        if clearable:
            st.button("Clear the answers", on_click=turns().clear, key="ask_clear")


def suggest(prompts: Sequence[str]) -> None:
    """One click each."""
    for index, prompt in enumerate(prompts):
        label = plain(shortened(" ".join(prompt.split()), 24))
        st.button(label, on_click=ask, args=(prompt,), key=f"ask_suggestion_{index}")


def suggestions(active: Sequence[Entry]) -> list[str]:
    """The sidebar's prompt and the edits' ones; those around them that are known; examples."""
    own = [st.session_state.get(PROMPT) or "", *(e.edit.prompt for e in reversed(active))]
    around = [
        text
        for prompt in own
        if (record := known_records().get(prompt.strip())) is not None
        for text in (*record.paraphrases[:2], *record.neighbours[:2])
    ]
    candidates = [*own[:3], *around, *(example.prompt for example in EXAMPLES)]
    return list(dict.fromkeys(text for text in candidates if text.strip()))[:SUGGESTIONS]


def ask_typed() -> None:
    """For callbacks."""
    ask(st.session_state.get(FIELD) or "")


def ask(prompt: str) -> None:
    """Begin a turn; a prompt that cannot be asked is put back into the field. For callbacks."""
    model = st.session_state.get("ledger_model")
    known = turns()
    if known and known[-1].running:
        problem = "The last answer is still being written: wait for its end, or press Stop."
    elif model is None:
        problem = "The chosen model cannot be used; the reason is on the left."
    else:
        problem = prompt_problem(model, prompt)
    st.session_state[PROBLEM] = problem
    if problem:
        st.session_state[FIELD] = prompt
        return
    active = ledger.active(model)
    voices = [Voice(())]
    if active:
        voices.append(Voice(tuple(entry.edit for entry in active)))
    turn = Turn(
        Asked.now(active),
        prompt,
        int(st.session_state.get(LENGTH, 20)),
        float(st.session_state.get(TEMPERATURE, 0.0)),
        int(st.session_state.get(SEED) or 0),
        tuple(voices),
    )
    known.append(turn)
    del known[:-MOST_TURNS]
    turn.start(model)


@st.fragment(run_every=PICTURE)
def watch(turn: Turn) -> None:
    """The text as it grows; the page starts anew when it has ended."""
    if not turn.running:
        st.rerun()
    draw_turn(turn)


def draw_turn(turn: Turn) -> None:
    with st.chat_message("user"):
        st.text(turn.prompt)
        if turn.asked.model_name != chosen_model():
            st.caption(plain(f"Asked of {short_name(turn.asked.model_name)}"))
    with st.chat_message("assistant"):
        st.markdown(turn_finding(turn))
        names = turn.asked.edit_names
        titles = ["Original", f"With your edits ({len(names)})"]
        for title, voice, column in zip(titles, turn.voices, st.columns(2), strict=False):
            with column:
                draw_voice(title, names if voice.edits else (), voice)


def draw_voice(title: str, names: Sequence[str], voice: Voice) -> None:
    st.markdown(f"**{title}**")
    listed = "; ".join(shortened(" ".join(name.split()), 40) for name in names)
    st.caption(plain(listed) or "without edits")
    if voice.error:
        st.error(plain(voice.error))
    elif voice.text.strip() or voice.running:
        st.text(voice.text.strip("\n") + ("▌" if voice.running else ""))
    elif not voice.stopped:
        st.caption("The model ends its text here: it writes nothing.")
    if voice.stopped:
        st.caption("Stopped.")
    if voice.answers is not None:
        label = f"{title}: the most probable next tokens"
        st.html(answer_bars(voice.answers, dark=is_dark(), label=label))


def turn_finding(turn: Turn) -> str:
    """What the edits changed in the answer, in one sentence."""
    if any(voice.answers is None for voice in turn.voices):
        return "Asking …" if turn.running else "No answer."
    firsts = [voice.answers.iloc[0] for voice in turn.voices]
    before = said(firsts[0]["token"])
    if len(firsts) == 1:
        share = plain(percent(firsts[0]["probability"]))
        return f"The most probable next token is {before} ({share})."
    shares = [plain(percent(first["probability"])) for first in firsts]
    if firsts[0]["token"] != firsts[1]["token"]:
        return (
            f"**≠ Changed:** with your edits the most probable next token is "
            f"{said(firsts[1]['token'])} ({shares[1]}) instead of {before} ({shares[0]})."
        )
    whole = not any(voice.running or voice.stopped or voice.error for voice in turn.voices)
    differs = whole and turn.voices[0].text != turn.voices[1].text
    return (
        f"**= The same:** {before} stays the most probable next token ({shares[0]}, with your "
        f"edits {shares[1]})" + (", but the text goes on differently." if differs else ".")
    )


def said(token: str) -> str:
    return code_span(shortened(token, 40))


def finish(place: object, turn: Turn) -> None:
    """The code and the numbers of the newest turn, where it has any."""
    if any(voice.answers is None for voice in turn.voices):
        return
    names = ("original", "edited")[: len(turn.voices)]
    tables = [
        voice.answers.assign(model=name, continuation=voice.text)
        for name, voice in zip(names, turn.voices, strict=True)
    ]
    options = f"max_new_tokens={turn.length}, temperature={turn.temperature}, seed={turn.seed}"
    lines = [f"prompt = {literal(turn.prompt)}"]
    for name in names:
        edits = ", edits=edits" if name == "edited" else ""
        lines += [
            f"{name}_text = complete(model, prompt{edits}, {options})",
            f"{name} = answers(model, prompt{edits}, top_k={SHOWN})",
            f'{name} = {name}.assign(model="{name}", continuation={name}_text)',
        ]
    lines.append(f"table = pd.concat([{', '.join(names)}], ignore_index=True)")
    code = ask_code(turn.asked, "answers, complete", lines)
    place.finish(code, pd.concat(tables, ignore_index=True))


def ask_code(asked: Asked, calls: str, lines: Sequence[str]) -> str:
    """Python that asks the same of the same model with the same edits."""
    first = "Edit, " if asked.edit_names else ""
    head = [
        "import pandas as pd",
        f"from core import {first}{calls}, load_model",
        "",
        f"model = load_model({literal(asked.model_name)})",
    ]
    if asked.edit_names:
        files = [literal(f"{file_name(name)}.safetensors") for name in asked.edit_names]
        loads = ", ".join(f"Edit.load({file}, model)" for file in files)
        head.append(f"edits = [{loads}]  # downloaded from “Your edits”")
    return "\n".join([*head, *lines])


def table_cell(model: core.LanguageModel, active: Sequence[Entry]) -> None:
    """Prompts in a table, asked together."""
    place = cell(
        2,
        "Several prompts at once",
        f"Write one prompt a row, at most {MOST_ROWS}, and press “Ask all”. The table below then "
        "shows the most probable next token of each model, and which answers differ.",
        key="ask_table",
    )
    prompts = prompt_rows(place.picture, active)
    if len(prompts) > MOST_ROWS:
        place.picture.warning(
            f"The table has {len(prompts)} rows; the first {MOST_ROWS} are asked. "
            "The others stay here."
        )
    clicked = place.picture.button("Ask all", type="primary", key="ask_all", disabled=not prompts)
    if clicked:
        ask_all(place.picture, model, active, prompts[:MOST_ROWS])
    result: TableAnswers | None = st.session_state.get(RESULT)
    if result is not None and result.rows:
        show_result(place, result, Asked.now(active))


def prompt_rows(place: DeltaGenerator, active: Sequence[Entry]) -> list[str]:
    """The editable table. What was typed outlives a visit to another page, as its new beginning."""
    if ROWS not in st.session_state:
        kept = st.session_state.get(KEPT)
        st.session_state[BASE] = suggestions(active)[:3] if kept is None else kept
    table = place.data_editor(
        pd.DataFrame({"Prompt": pd.Series(st.session_state[BASE], dtype="str")}),
        column_config={"Prompt": st.column_config.TextColumn("Prompt", width="large")},
        num_rows="dynamic",
        hide_index=True,
        key=ROWS,
        alt="The prompts to ask, one a row",
    )
    prompts = ["" if pd.isna(text) else str(text) for text in table["Prompt"]]
    st.session_state[KEPT] = prompts
    return prompts


def ask_all(
    place: DeltaGenerator,
    model: core.LanguageModel,
    active: Sequence[Entry],
    prompts: Sequence[str],
) -> None:
    """Ask row by row; what is found stays even if another click ends this run."""
    result = TableAnswers(Asked.now(active), len(prompts))
    st.session_state[RESULT] = result
    bar = place.progress(0.0, "Asking …")
    for done, prompt in enumerate(prompts):
        bar.progress(done / len(prompts), f"Prompt {done + 1} of {len(prompts)}")
        result.rows.append(ask_row(model, [entry.edit for entry in active], prompt))
    bar.empty()


def ask_row(
    model: core.LanguageModel, edits: Sequence[core.Edit], prompt: str
) -> dict[str, object]:
    """prompt; answer and probability of the original and, if there are edits, of the edited
    model; changed; problem: why it could not be asked, or empty."""
    row: dict[str, object] = {"prompt": prompt}
    problem = prompt_problem(model, prompt)
    try:
        if not problem:
            row |= named("original", core.answers(model, prompt, top_k=1))
        if not problem and edits:
            row |= named("edited", core.answers(model, prompt, edits=edits, top_k=1))
            row["changed"] = row["original_answer"] != row["edited_answer"]
    except core.BackwardLensError as error:
        problem = str(error)
    return row | {"problem": problem}


def named(name: str, answers: pd.DataFrame) -> dict[str, object]:
    first = answers.iloc[0]
    return {f"{name}_answer": first["token"], f"{name}_probability": float(first["probability"])}


def show_result(place: object, result: TableAnswers, now: Asked) -> None:
    """The finding, the answers beside each other, and the code."""
    edits = bool(result.asked.edit_ids)
    columns = ["prompt", "original_answer", "original_probability"]
    columns += ["edited_answer", "edited_probability", "changed"] if edits else []
    table = pd.DataFrame(result.rows).reindex(columns=[*columns, "problem"])
    place.controls.markdown(table_finding(result))
    if not result.asked.same(now):
        place.controls.caption(
            "The model or its edits have changed since. Press “Ask all” to ask again."
        )
    place.controls.dataframe(
        shown_table(result.rows, edits),
        hide_index=True,
        column_config={"Prompt": st.column_config.TextColumn(width="medium")},
        alt="Each prompt with the answer of the original and of the edited model",
    )
    good = [row["prompt"] for row in result.rows if not row["problem"]]
    place.finish(ask_code(result.asked, "answers", table_lines(good, edits)), table)


def table_finding(result: TableAnswers) -> str:
    good = [row for row in result.rows if not row["problem"]]
    bad = len(result.rows) - len(good)
    words = f"The original model answers {count(len(good), 'prompt')}."
    if result.asked.edit_ids:
        changed = sum(bool(row["changed"]) for row in good)
        words = f"Your edits change the answer to {changed} of {count(len(good), 'prompt')}."
        if good and not changed:
            words = f"Your edits change no answer: {count(len(good), 'prompt')} asked."
    if bad:
        words += f" {count(bad, 'row')} could not be asked; the last column says why."
    if len(result.rows) < result.total:
        words += (
            f" Only {len(result.rows)} of {result.total} were asked, because something else was "
            "clicked meanwhile: press “Ask all” again."
        )
    return words


def count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def shown_table(rows: Sequence[dict[str, object]], edits: bool) -> pd.DataFrame:
    """The answers in words; the last column has a mark besides its words."""
    shown = []
    for row in rows:
        line = {"Prompt": row["prompt"]}
        for name, title in (("original", "Original"), ("edited", "With your edits")):
            if name == "original" or edits:
                known = f"{name}_answer" in row
                line[title] = visible(str(row[f"{name}_answer"])) if known else "–"
                line[f"{title}: how sure"] = percent(row[f"{name}_probability"]) if known else "–"
        line["Result"] = result_words(row)
        shown.append(line)
    return pd.DataFrame(shown)


def result_words(row: dict[str, object]) -> str:
    if row["problem"]:
        return f"⚠ {row['problem']}"
    if "changed" not in row:
        return "asked without edits"
    return "≠ changed" if row["changed"] else "= the same"


def table_lines(prompts: Sequence[str], edits: bool) -> list[str]:
    lines = ["prompts = [", *(f"    {literal(prompt)}," for prompt in prompts), "]"]
    lines += [
        "original = [answers(model, prompt, top_k=1).iloc[0] for prompt in prompts]",
        'table = pd.DataFrame({"prompt": prompts})',
        'table["original_answer"] = [row["token"] for row in original]',
        'table["original_probability"] = [row["probability"] for row in original]',
    ]
    if edits:
        lines += [
            "edited = [answers(model, p, edits=edits, top_k=1).iloc[0] for p in prompts]",
            'table["edited_answer"] = [row["token"] for row in edited]',
            'table["edited_probability"] = [row["probability"] for row in edited]',
            'table["changed"] = table["original_answer"] != table["edited_answer"]',
        ]
    return lines
