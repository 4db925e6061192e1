"""Sessions never see each other's edits, jobs, answers and tables, in whatever order they act."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from itertools import count
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from streamlit.testing.v1 import AppTest

import core
from app.cells import turns
from app.notebook import tables
from app.shell import ledger
from app.shell.models import load
from app.shell.navigation import EDIT, STUDY
from app.shell.state import MODEL, Request
from app.work import sessions
from app.work.job import Job
from tests.app.work.visitors import Visitor

NAME = "tiny-gpt2"
PROMPTS = ("Obama grew up in", "Jack Dorsey founded")
TARGET = "Paris"
TARGETS = ("Paris", "IBM", "music")  # of the edits
MAIN = Path(__file__).resolve().parents[3] / "app" / "main.py"
names = count()


@cache
def made(number: int) -> core.Edit:
    """The edits that sessions make; each session may make each of them."""
    return core.edit(load(NAME), PROMPTS[0], TARGETS[number], method="forward-shift")


@cache
def expected(edits: tuple[int, ...], prompt: str) -> dict[str, pd.DataFrame]:
    """What the pages must show for a prompt with these edits on, computed anew by core."""
    model, on = load(NAME), tuple(made(number) for number in edits)
    run = core.trace(model, prompt, TARGET, edits=on)
    return {
        "backward": core.backward_lens(run, "ff2"),
        "forward": core.forward_lens(model, prompt, TARGET, top_k=5, edits=on),
        "norms": core.vjp_norms(run),
        "answers": core.answers(model, prompt, edits=on, top_k=4),
        "original": core.answers(model, prompt, top_k=4),
    }


def request(prompt: str) -> Request:
    return Request(NAME, prompt, TARGET, None, ledger.active(load(NAME)))


def shown(prompt: str) -> dict[str, pd.DataFrame]:
    """What the pages show of a prompt in this session."""
    asked = request(prompt)
    before, after = tables.both_answers(asked, 4)
    return {
        "backward": tables.backward_lens(asked, "ff2"),
        "forward": tables.forward_lens(asked, 5),
        "norms": tables.vjp_norms(asked),
        "answers": after,
        "original": before,
    }


def assert_same(seen: dict[str, pd.DataFrame], wanted: dict[str, pd.DataFrame]) -> None:
    for name, table in wanted.items():
        pd.testing.assert_frame_equal(seen[name], table, obj=name)


class Session:
    """A visitor, and what it must see: its own edits (number -> on), jobs and answers."""

    def __init__(self) -> None:
        self.visitor = Visitor(f"visitor {next(names)}")
        self.edits: dict[int, bool] = {}
        self.renamed: dict[int, str] = {}
        self.jobs: dict[str, Job] = {}
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.held: threading.Event | None = None  # ends its running job
        self.does(self.arrive)

    def does(self, action, *arguments, **options):
        return self.visitor.does(action, *arguments, **options)

    @staticmethod
    def arrive() -> None:
        st.session_state[MODEL] = NAME
        st.session_state["ledger_model"] = load(NAME)
        sessions.attend()

    @property
    def on(self) -> tuple[int, ...]:
        return tuple(number for number, is_on in self.edits.items() if is_on)

    def check(self) -> None:
        entries = self.does(ledger.entries)
        assert [entry.edit.target for entry in entries] == [TARGETS[n] for n in self.edits]
        assert [entry.on for entry in entries] == list(self.edits.values())
        wanted = [self.renamed.get(n, made(n).name) for n in self.edits]
        assert [entry.name for entry in entries] == wanted
        assert self.does(lambda: dict(sessions.session_jobs())) == self.jobs
        for slot in (EDIT, STUDY):
            assert self.does(sessions.current, slot) is self.jobs.get(slot)
        told = self.does(lambda: list(turns.turns()))
        assert [(turn.prompt, len(turn.voices)) for turn in told] == [
            (prompt, 2 if on else 1) for prompt, on in self.asked
        ]
        for turn, (prompt, on) in zip(told, self.asked, strict=True):
            tops = [expected(edits, prompt)["answers"] for edits in ((), on)[: len(turn.voices)]]
            for voice, top in zip(turn.voices, tops, strict=True):
                assert list(voice.answers["token"])[:4] == list(top["token"])

    def leave(self) -> None:
        if self.held is not None:
            self.held.set()
        for job in self.jobs.values():
            job.thread.join(60)


class Interleaving(RuleBasedStateMachine):
    """Three sessions on one server, one action after the other, in any order."""

    @initialize()
    def come(self) -> None:
        self.sessions = [Session() for _ in range(3)]

    who = some.integers(0, 2)
    what = some.integers(0, len(TARGETS) - 1)
    prompts = some.sampled_from(PROMPTS)

    @rule(who=who, number=what)
    def add_an_edit(self, who: int, number: int) -> None:
        session = self.sessions[who]
        session.does(ledger.add, made(number))
        session.edits[number] = True

    @rule(who=who, number=what)
    def take_an_edit_away(self, who: int, number: int) -> None:
        session = self.sessions[who]
        session.does(ledger.remove, ledger.Entry(made(number), "").id)
        session.edits.pop(number, None)
        session.renamed.pop(number, None)

    @rule(who=who)
    def undo(self, who: int) -> None:
        session = self.sessions[who]
        session.does(ledger.undo)
        if session.edits:
            number, _ = session.edits.popitem()
            session.renamed.pop(number, None)

    @rule(who=who, number=what, on=some.booleans())
    def switch(self, who: int, number: int, on: bool) -> None:
        session, entry = self.sessions[who], ledger.Entry(made(number), "").id

        def act() -> None:
            st.session_state["box"] = on
            ledger.switch(entry, "box")

        session.does(act)
        if number in session.edits:
            session.edits[number] = on

    @rule(who=who, number=what)
    def rename(self, who: int, number: int) -> None:
        session, entry = self.sessions[who], ledger.Entry(made(number), "").id
        name = f"{session.visitor.name}'s own"

        def act() -> None:
            st.session_state["field"] = name
            ledger.rename(entry, "field")

        session.does(act)
        if number in session.edits:
            session.renamed[number] = name

    @rule(who=who, prompt=prompts)
    def look(self, who: int, prompt: str) -> None:
        """The same prompt under each session's own edits; the cache is everybody's."""
        session = self.sessions[who]
        assert_same(session.does(shown, prompt), expected(session.on, prompt))

    @rule(who=who, number=what)
    def make_an_edit_as_a_job(self, who: int, number: int) -> None:
        """Its result goes to the ledger of the session that asked, and to no other."""
        session = self.sessions[who]
        if session.held is not None:
            return
        job = Job("Editing", lambda on_step: made(number), deliver=ledger.add)
        assert session.does(sessions.begin, EDIT, job) is job
        job.thread.join(60)
        for other in self.sessions:
            other.does(sessions.collect)
        session.jobs[EDIT] = job
        session.edits[number] = True

    @rule(who=who)
    def begin_long_work(self, who: int) -> None:
        session = self.sessions[who]
        if session.held is not None:
            return
        session.held = held = threading.Event()
        job = Job("Study", lambda on_step: held.wait(60) and None)
        assert session.does(sessions.begin, STUDY, job, quick=0) is job
        session.jobs[STUDY] = job

    @rule(who=who)
    def end_long_work(self, who: int) -> None:
        session = self.sessions[who]
        if session.held is not None:
            session.held.set()
            session.jobs[STUDY].thread.join(60)
            session.held = None

    @rule(who=who, prompt=prompts)
    def ask(self, who: int, prompt: str) -> None:
        session = self.sessions[who]
        if session.held is not None:
            return

        def act() -> list[Job]:
            st.session_state[turns.LENGTH] = 1
            turns.ask(prompt)
            return [voice.job for voice in turns.turns()[-1].voices]

        for number, job in enumerate(session.does(act)):
            job.thread.join(60)
            session.jobs[f"answer_{number}"] = job
        session.asked.append((prompt, session.on))

    @invariant()
    def each_sees_its_own(self) -> None:
        for session in getattr(self, "sessions", ()):
            session.check()

    def teardown(self) -> None:
        for session in getattr(self, "sessions", ()):
            session.leave()


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


def test_sessions_at_the_same_time_get_their_own_tables():
    """Each session in a thread of its own, all with other edits under the same prompts."""
    choices: Sequence[tuple[int, ...]] = [(), (0,), (1,), (2,), (0, 1), (1, 0), (0, 1, 2), (2,)]
    every = [Session() for _ in choices]
    for session, edits in zip(every, choices, strict=True):
        for number in edits:
            session.does(ledger.add, made(number))
    together, seen = threading.Barrier(len(every)), {}

    def visit(place: int) -> None:
        together.wait(60)
        seen[place] = [every[place].does(shown, prompt) for prompt in PROMPTS * 2]

    threads = [threading.Thread(target=visit, args=(place,)) for place in range(len(every))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for place, edits in enumerate(choices):
        for prompt, found in zip(PROMPTS * 2, seen[place], strict=True):
            assert_same(found, expected(edits, prompt))


def test_a_link_shares_a_job_and_nothing_else():
    """Who follows a link to a study finds the study; the edits of who made it stay his own."""
    one, other, third = Session(), Session(), Session()
    one.does(ledger.add, made(0))
    job = Job("Study", lambda on_step: "made")
    one.does(sessions.begin, STUDY, job, link=True)
    job.thread.join(60)

    def follow(token: str) -> Job | None:
        st.query_params[STUDY] = token
        return sessions.current(STUDY)

    assert other.does(follow, job.token) is job
    assert other.does(ledger.entries) == []
    assert third.does(follow, job.token[:-1]) is None
    assert third.does(sessions.current, STUDY) is None


@pytest.mark.parametrize("order", ["one by one", "in turns"])
def test_pages_of_two_sessions(order):
    """The whole app: two sessions edit the same prompt to other targets, and each sees its own."""
    targets = ("IBM", "music")
    pages = [AppTest.from_file(MAIN, default_timeout=60) for _ in targets]
    for at, target in zip(pages, targets, strict=True):
        at.query_params.update({"model": NAME, "prompt": PROMPTS[0], "target": target})
        at.switch_page(str(MAIN.parents[1] / "pages" / "edit.py")).run()
    steps = [
        lambda at: at.button(key="make_edit").click().run(),
        lambda at: at.session_state[sessions.JOBS][EDIT].thread.join(60),
        lambda at: at.run(),
    ]
    if order == "in turns":
        for step in steps:
            for at in pages:
                step(at)
    else:
        for at in pages:
            for step in steps:
                step(at)
    for at, target in zip(pages, targets, strict=True):
        assert not at.exception
        (entry,) = at.session_state[ledger.LEDGER]
        assert entry.edit.target == target
        at.run()
        said = " ".join(part.value for part in (*at.markdown, *at.caption))
        assert f"·{target}" in said
        assert f"·{next(other for other in targets if other != target)}" not in said
