"""Studies as long work: what they have so far is on disk, and one that is kept outlives the server.

A study that its visitor wants to go on without him is taken over by the next server that starts
here, under the same link, from its last record. What else a server that was killed left is deleted
then.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

import core
from app.shell.models import load
from app.work.job import Job, OnStep
from app.work.memory import keep
from app.work.sessions import linked
from core.editing.second_moments import cache_folder
from core.model.workplace import clear_left, held

STUDIES = "studies"  # in the session: token or upload id -> Study, the newest last
MOST_STUDIES = 6
PREFIX = "studies-"  # of the folders of servers
ORDER, RECORDS, SO_FAR = "order.json", "records.jsonl", "study"  # in a study's folder
OLDEST = 7 * 86400  # seconds after which a kept study is no longer taken over

log = logging.getLogger(__name__)


def known_studies() -> dict[str, core.Study]:
    """This session's studies."""
    return st.session_state.setdefault(STUDIES, {})


def keep_study(key: str, study: core.Study) -> None:
    """Put a study with the session's; raises MemoryFullError where there is no room for it."""
    studies = known_studies() | {key: study}
    keep(STUDIES, dict(list(studies.items())[-MOST_STUDIES:]))


@dataclass(frozen=True)
class Order:
    """What a study is of."""

    model: str  # a `model_key`
    records: str  # the file's name
    limit: int
    seed: int
    keep: bool  # whether it goes on when its visitor has left, and when the server has ended
    token: str


class Home:
    """This server's folder of studies, its own for as long as it runs.

    `goes_on` says of a folder that an ended server left whether its work is to go on here.
    """

    def __init__(self, parent: Path, goes_on: Callable[[Path], bool] | None = None) -> None:
        self.goes_on = goes_on or is_kept
        parent.mkdir(parents=True, exist_ok=True)
        self.folder = parent / f"{PREFIX}{uuid.uuid4().hex[:12]}"
        self.taken: list[Path] = []  # studies of servers that have ended
        with ExitStack() as held_until_the_end:
            held_until_the_end.enter_context(held(self.folder))
            self.folder.mkdir()
            clear_left(parent, PREFIX, first=self.take_over)
            self.lock = held_until_the_end.pop_all()

    def take_over(self, left: Path) -> None:
        """Move the studies here that are to go on; the rest of the folder is deleted after it."""
        for folder in left.iterdir():
            age = time.time() - folder.stat().st_mtime
            if self.goes_on(folder) and age < OLDEST:
                self.taken.append(Path(shutil.move(folder, self.folder / folder.name)))

    def close(self) -> None:
        """As a server that ends: kept studies stay for the next one."""
        self.lock.close()


def order_in(folder: Path) -> Order | None:
    """The order that a study's folder holds; None where it is damaged or not there."""
    try:
        order = Order(**json.loads((folder / ORDER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    types = (str, str, int, int, bool, str)
    right = all(isinstance(v, t) for v, t in zip(asdict(order).values(), types, strict=True))
    return order if right and order.token == folder.name else None


def is_kept(folder: Path) -> bool:
    order = order_in(folder)
    return order is not None and order.keep


@st.cache_resource(show_spinner=False)
def home() -> Home:
    return home_of("studies")


def home_of(kind: str, goes_on: Callable[[Path], bool] | None = None) -> Home:
    """The folder of this server's studies, or of another kind of long work; one that ends with the
    server where none can be kept."""
    try:
        return Home(cache_folder() / kind, goes_on)
    except OSError:
        log.exception("%s cannot be kept here: they will not outlive this server", kind)
        return Home(Path(tempfile.mkdtemp(prefix="backward-lens-")), goes_on)


def study_job(order: Order, read: Callable[[], core.Records], total: int) -> Job:
    """A job that makes the study, and goes on with what its folder holds.

    It takes its turns on the model record by record, so that other visitors wait for one record at
    most. `read` gives the records, in the job's own thread.
    """
    folder = home().folder / order.token

    def work(on_step: OnStep) -> core.Study:
        records, model = read(), load(order.model)
        job.lock = model.lock
        note(folder, order, records)
        try:
            return core.study(
                model,
                records,
                limit=order.limit,
                seed=order.seed,
                on_step=on_step,
                save_to=folder / SO_FAR,
                batch_size=1,
            )
        except core.Cancelled:
            return core.Study.load(folder / SO_FAR)

    def deliver(study: core.Study) -> None:
        header = study.header
        if header.counted:
            keep_study(order.token, study)
        elif header.skipped:
            (_, why), *_ = header.skipped
            raise core.PromptError(
                f"None of the {len(header.skipped)} records that were read fits this model. The "
                f"first: {why} Choose other records, or another model."
            )

    job = Job(
        f"Study of {order.records}",
        work,
        unit="record",
        total=total,
        keep=order.keep,
        deliver=deliver,
        clean_up=lambda: shutil.rmtree(folder, ignore_errors=True),
        token=order.token,
    )
    return job


def note(folder: Path, order: Order, records: core.Records) -> None:
    """Write down what a study is of, or a benchmark, whose order is its own; the records only where
    another server may need them."""
    if (folder / ORDER).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if order.keep:
        core.save_counterfact(records, folder / RECORDS)
    (folder / ORDER).write_text(json.dumps(asdict(order)), encoding="utf-8")


def resume_studies() -> list[Job]:
    """Go on with the studies of a server that has ended; for the start of this one."""
    jobs = []
    for folder in home().taken:
        order = order_in(folder)
        read = reader(folder / RECORDS, order.records)
        job = study_job(order, read, order.limit)
        job.person = order.token
        linked().add(job)
        job.start()
        jobs.append(job)
    home().taken.clear()
    return jobs


def reader(file: Path, name: str) -> Callable[[], core.Records]:
    return lambda: core.load_counterfact(file, name=name)
