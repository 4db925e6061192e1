"""Several facts in one edit: a table to type or paste, what it will cost, and the work itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
import streamlit as st

import core
from app.cells.controls import choice
from app.cells.edit_form import describe_cost
from app.cells.own_preview import problems
from app.notebook.code import literal, program
from app.shell import ledger
from app.shell.examples import examples_for
from app.shell.navigation import EDIT
from app.shell.state import Request, chosen_model, prompt_problem, target_problem
from app.shell.subjects import known_records, subject_of
from app.words import count, plain
from app.work.job import Job, OnStep
from app.work.memory import claim
from app.work.own import own
from app.work.sessions import begin
from core.gradients.segments import subject_tokens
from core.model.catalog import BUILTIN
from core.model.forcing import forced_ids
from core.studies.prompt_rows import TITLES

METHOD_TITLES = {n: method.title for n, method in core.METHODS.items() if method.several_facts}
KEPT = "several_facts"  # what the visitor has typed
ROWS, BASE = "fact_rows", "fact_rows_base"  # in the session: as they are typed, and as they began
COLUMNS = [TITLES[name] for name in ("prompt", "subject", "target")]
WIDTHS = {TITLES["prompt"]: 320}  # pixels
MOST_FACTS, EXAMPLES_AT_ONCE = 50, 3
Row = list[str]


@dataclass
class Draft:
    """The rows as they are typed; it survives a reload."""

    rows: list[Row] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(100 + 2 * len(cell) for row in self.rows for cell in row)

    def keep(self, rows: list[Row]) -> None:
        """Raises MemoryFullError, and keeps what was, where there is no room for it."""
        claim(KEPT, Draft(rows).size)
        self.rows = rows


def several_form(request: Request) -> None:
    """The table, what cannot be used of it, and the button; the edit goes into the ledger."""
    draft = own(KEPT, lambda: Draft([[request.prompt, request.subject or "", request.target]]))
    st.caption(
        "One fact a row; cells copied from a spreadsheet can be pasted. The subject, a part of "
        f"the prompt, is proposed where you leave it out. At most {MOST_FACTS} facts."
    )
    rows = typed_rows(draft)
    st.button("Add examples", key="add_facts", on_click=add_examples, args=(draft,))
    facts = usable(request.model, rows)
    if not facts:
        return
    method = choice(st, "Method", METHOD_TITLES, "edit_many_method")
    chosen = core.METHODS[method]
    st.caption(plain(chosen.description))
    describe_cost(request, method, {}, chosen.defaults(request.model), facts=len(facts))
    st.button(
        f"Teach it {count(len(facts), 'fact')}",
        type="primary",
        key="make_edits",
        on_click=start,
        args=(request, method, facts),
    )
    with st.expander("Show code"):
        st.code(code(request, method, facts), language="python")


def typed_rows(draft: Draft) -> list[Row]:
    """The table's rows, empty ones too but for those at its end."""
    if ROWS not in st.session_state or BASE not in st.session_state:
        st.session_state[BASE] = draft.rows or [[""] * len(COLUMNS)]
    edited = st.data_editor(
        pd.DataFrame(st.session_state[BASE], columns=COLUMNS, dtype="str"),
        column_config={
            name: st.column_config.TextColumn(name, width=WIDTHS.get(name, 140)) for name in COLUMNS
        },
        num_rows="dynamic",
        hide_index=True,
        key=ROWS,
        alt="The facts, one a row: prompt, subject and target",
    )
    rows = [
        ["" if pd.isna(cell) else str(cell) for cell in row]
        for row in edited[COLUMNS].itertuples(index=False)
    ]
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    draft.keep(rows)
    return rows


def add_examples(draft: Draft) -> None:
    """More facts of the model's, below those that are there; for callbacks."""
    there = {row[0].strip() for row in draft.rows}
    new = [row for row in examples() if row[0] not in there]
    draft.keep([*draft.rows, *new[:EXAMPLES_AT_ONCE]])
    st.session_state.pop(ROWS, None)
    st.session_state.pop(BASE, None)


def examples() -> list[Row]:
    """Facts that the model knows, with another target; the same ones each time."""
    shown = examples_for(chosen_model())
    rows = [[e.prompt, subject_of(e.prompt), e.target] for e in shown]
    if chosen_model() in BUILTIN:
        known = [[r.prompt, r.subject, r.target_new] for r in known_records().values()]
        rows += random.Random(0).sample(known, len(known))
    return rows


def usable(model: core.LanguageModel, rows: Sequence[Row]) -> list[core.Fact]:
    """The facts of the rows; those that are none are named, with the reason."""
    if len(rows) > MOST_FACTS:
        st.warning(f"The table has {len(rows)} rows; the first {MOST_FACTS} are used.")
    header = (0, COLUMNS)
    numbered = [(i, row) for i, row in enumerate(rows[:MOST_FACTS], 1)]
    try:
        read = core.prompts_from_rows([header, *numbered], name="The table").records
    except core.PromptError as error:  # as while the first row is being written
        st.info(plain(str(error)))
        return []
    facts: dict[int, core.Fact] = {}
    skipped = dict(read.skipped)
    for record in read:
        fact = core.Fact(record.prompt, record.subject, record.target_new)
        problem = clash(fact, facts) or problem_of(model, fact)
        if problem:
            skipped[record.case_id] = problem
        else:
            facts[record.case_id] = fact
    problems(core.Records(read.name, read.records, tuple(sorted(skipped.items()))), "Row")
    return list(facts.values())


def clash(fact: core.Fact, before: dict[int, core.Fact]) -> str:
    """What is wrong with a fact beside those of the rows above it; empty if nothing is."""
    row = next((i for i, other in before.items() if other.prompt == fact.prompt), None)
    if row is None:
        return ""
    if before[row].target == fact.target:
        return f"it is the same fact as row {row}."
    return (
        f"row {row} has the same prompt with another target. A prompt can have one target only: "
        "change one of them."
    )


def problem_of(model: core.LanguageModel, fact: core.Fact) -> str:
    """Why a method cannot learn a fact, as a sentence; empty if it can."""
    problem = prompt_problem(model, fact.prompt) or target_problem(model, fact.prompt, fact.target)
    if problem:
        return problem
    if not fact.subject:
        return "it has no subject. Copy the words there that the sentence is about."
    try:
        subject_tokens(model, fact.prompt, fact.subject)
        model.encode(f"{fact.subject.strip()} is a")
        goal = model.target(fact.prompt, fact.target)
        forced_ids(model, model.encode(fact.prompt), goal)
    except core.PromptError as error:
        return str(error)
    return ""


def start(request: Request, method: str, facts: Sequence[core.Fact]) -> None:
    """For the button's callback."""
    asked = [(fact.prompt, fact.subject, fact.target) for fact in facts]

    def work(on_step: OnStep) -> core.Edit:
        return core.edit_many(
            request.model, asked, method=method, edits=request.edits, on_step=on_step
        )

    title = f"{core.METHODS[method].title}, {count(len(facts), 'fact')}"
    begin(EDIT, Job(title, work, lock=request.model.lock, deliver=ledger.add))


def code(request: Request, method: str, facts: Sequence[core.Fact]) -> str:
    """Python that makes the same edit."""
    rows = [", ".join(map(literal, (f.prompt, f.subject, f.target))) for f in facts]
    active = [entry.name for entry in request.entries]
    on_top = ", edits=edits" if active else ""
    lines = [
        "facts = [  # prompt, subject, target",
        *(f"    ({row})," for row in rows),
        "]",
        f"new = edit_many(model, facts, method={literal(method)}{on_top})",
        f"table = fact_answers(model, [{'*edits, ' if active else ''}new])",
    ]
    return program(request.model_name, lines, edit_names=active)
