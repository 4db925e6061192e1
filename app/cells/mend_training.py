"""Train for this model: MEND's small network, made once for all who use the model here."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date
from functools import partial

import streamlit as st

import core
from app.shell.models import load, short_name
from app.shell.navigation import MEND
from app.shell.practice import practice_records
from app.shell.state import Request
from app.words import count, duration, plain
from app.work.job import Job, OnStep
from app.work.panel import draw_bar, follow, outcome
from app.work.results import shared
from app.work.sessions import begin, current
from core.editing.mend_network import (
    MendNetwork,
    forget_mend_network,
    keep_mend_network,
    mend_network,
    shipped_file,
)
from core.editing.mend_training import train_mend, training_estimate, training_facts

WHAT = (
    "MEND needs a small second network, which has practised on many facts: it reshapes one "
    "gradient step of this model so that the new fact also holds in other words, and little else "
    "changes. It is trained once for each model, and the model itself stays as it is."
)
AGAIN = "mend_again"  # the popover
# In what a network says of itself: the day, the facts' file; what scripts.import_mend wrote.
TRAINED, FACTS = "trained", "facts_file"
IMPORTED, SWAPPED = "imported", "published_order"


class Trainings:
    """The server's trainings by the model's fingerprint: one at a time for each model."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._guard = threading.Lock()

    def running(self, about: str) -> Job | None:
        job = self.jobs.get(about)
        return job if job is not None and job.running else None

    def start(self, about: str, job: Job) -> None:
        """Begin a job for this session, unless the model is being trained by anyone."""
        with self._guard:
            # What is over goes: it would hold its model in memory.
            self.jobs = {name: other for name, other in self.jobs.items() if other.running}
            if about not in self.jobs and begin(MEND, job, quick=0) is job:
                self.jobs[about] = job

    def end(self, about: str) -> None:
        """For a training's own thread, when all is done."""
        with self._guard:
            self.jobs.pop(about, None)


@st.cache_resource(show_spinner=False)
def trainings() -> Trainings:
    return Trainings()


def trained(request: Request) -> bool:
    """What MEND needs for this model: where its network comes from, or how to get one. Whether
    it has one."""
    about = core.fingerprint(request.model)
    own, anyones = current(MEND), trainings().running(about)
    network = mend_network(request.model)
    if network is None:
        st.info(WHAT)
    else:
        st.caption(plain(f"MEND's network for {short_name(request.model_name)} {origin(network)}."))
    if own is not None and own.about == about:
        outcome(MEND, "Cancelled. Nothing of this training is kept.")
    if own is not None and own.running:
        here = own.about == about
        st.caption(
            "Its network is being trained now; how far that is stands below."
            if here
            else f"{plain(own.title)} is running; the next training can start when it has ended."
        )
    elif anyones is not None:
        st.caption(
            "Somebody else is having a network trained for this model now; when that is done, you "
            "can use it too."
        )
        follow([anyones], partial(watch, anyones))
    elif network is None:
        offer(request, "primary")
    else:
        with st.popover("Train again", key=AGAIN, on_change="rerun") as box:
            if box.open:
                again(request, network)
    return network is not None


def again(request: Request, network: MendNetwork) -> None:
    """Another training, or back to the network that ships."""
    st.markdown("A new training replaces this network, for everybody who uses this model here.")
    offer(request, "secondary")
    if {TRAINED, IMPORTED} & set(network.made) and shipped_file(request.model).is_file():
        st.button(
            "Back to the network that ships with the app",
            key="forget_mend",
            on_click=forget_mend_network,
            args=(request.model,),
        )


def watch(job: Job) -> None:
    """Somebody else's training, which does not end while there is somebody who waits for it."""
    job.wanted()
    draw_bar(job)


def offer(request: Request, kind: str) -> None:
    """How long a training takes, on which facts, and the button."""
    try:
        seconds = estimated((request.model_name,), None)
    except core.BackwardLensError as error:
        st.error(plain(str(error)))
        return
    st.markdown(
        f"A training takes **about {duration(seconds)}** here, by the pace of a few steps; longer "
        "while others use the model. You can go on working meanwhile, and cancel it."
    )
    file = st.file_uploader(
        "Facts to practise on: a CounterFact or EasyEdit file (empty: the built-in facts)",
        type=["json", "jsonl"],
        key="mend_records",
        help="Judge the network by other facts than it practised on. The built-in ones to practise "
        "on are about other subjects than those of the app's examples and benchmark.",
    )
    st.button(
        "Train for this model",
        type=kind,
        key="start_mend",
        on_click=start_training,
        args=(request, file),
    )


def origin(network: MendNetwork) -> str:
    """Where a network comes from, as the end of a sentence that begins with it."""
    made = network.made
    if IMPORTED in made:
        order = ", with learning rates as in the published code" if made.get(SWAPPED) else ""
        return f"was imported from {made[IMPORTED]}{order}"
    if TRAINED in made:
        facts = count(int(made.get("facts") or 0), "fact")
        seconds = duration(float(made.get("seconds") or 0))
        return f"was trained here on {made[TRAINED]}, on {facts} ({made.get(FACTS)}), in {seconds}"
    return "ships with the app"


@shared("Measuring how long a training takes …")
def estimated(asked: tuple[str], _given: None) -> float:
    """Seconds, from a few steps, measured once for all visitors."""
    model = load(asked[0])
    return training_estimate(model, training_facts(model, practice_records().records))


def start_training(request: Request, file: object) -> None:
    """For the button's callback."""
    model, about, all_trainings = request.model, core.fingerprint(request.model), trainings()

    def work(on_step: OnStep) -> dict[str, object]:
        try:
            return train(model, file, on_step)
        finally:
            all_trainings.end(about)

    title = f"Training MEND for {short_name(request.model_name)}"
    all_trainings.start(about, Job(title, work, about, lock=model.lock))


def train(model: core.LanguageModel, file: object, on_step: OnStep) -> dict[str, object]:
    """Train on a file's facts, else on the built-in ones, and keep the network for everybody; what
    it now says of itself."""
    records = practice_records() if file is None else core.load_counterfact(file)
    network = train_mend(model, training_facts(model, records.records), on_step=on_step)
    today = date.today()
    made = {**network.made, TRAINED: f"{today.day} {today:%B %Y}", FACTS: records.name}
    keep_mend_network(model, replace(network, made=made))
    return made
