"""Studies on disk: what a server that was killed left goes on, and nothing else stays for ever."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import core
from app.shell import study_jobs
from app.shell.study_jobs import (
    OLDEST,
    ORDER,
    PREFIX,
    RECORDS,
    SO_FAR,
    Home,
    Order,
    resume_studies,
    study_job,
)
from app.work.sessions import linked
from core.studies.counterfact import MINI_COUNTERFACT

ROOT = Path(__file__).resolve().parents[3]
KEPT = Order("tiny-gpt2", "mini.json", 6, 3, True, "token-of-kept")
WAIT = 60


@pytest.fixture
def own_home(monkeypatch, tmp_path):
    """A server's folder for each call; the one before it has ended."""
    made: list[Home] = []

    def server() -> Home:
        if made:
            made[-1].close()
        made.append(Home(tmp_path))
        return made[-1]

    monkeypatch.setattr(study_jobs, "home", lambda: made[-1])
    yield server
    made[-1].close()


def records() -> core.Records:
    return core.load_counterfact(MINI_COUNTERFACT)


def left_behind(home: Home, order: Order) -> Path:
    """A study's folder as a killed server leaves it, before its first record."""
    folder = home.folder / order.token
    study_jobs.note(folder, order, records())
    return folder


def test_a_kept_study_goes_on_from_its_last_record(own_home):
    model = core.load_model("tiny-gpt2")
    folder = left_behind(own_home(), KEPT)

    def killed(done: int, total: int) -> None:
        if done == 4:
            raise core.Cancelled

    with pytest.raises(core.Cancelled):
        core.study(
            model,
            records(),
            limit=6,
            seed=3,
            batch_size=1,
            save_to=folder / SO_FAR,
            on_step=killed,
        )
    own_home()
    (job,) = resume_studies()
    job.thread.join(WAIT)
    assert job.error == ""
    assert linked().get(KEPT.token) is job
    assert job.moments[0][1] == 5, "the fifth record is the first that it reads"
    whole = core.study(model, records(), limit=6, seed=3, batch_size=1)
    assert job.result.norms.equals(whole.norms)
    job.clean_up()
    assert not (study_jobs.home().folder / KEPT.token).exists()


def test_what_was_not_to_be_kept_is_deleted(own_home):
    old = own_home()
    left_behind(old, replace(KEPT, keep=False, token="not-kept"))
    (old.folder / "odd").mkdir()
    new = own_home()
    assert new.taken == []
    assert not old.folder.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "not JSON",
        json.dumps(asdict(KEPT) | {"limit": "many"}),
        json.dumps(asdict(KEPT) | {"token": "another"}),
        json.dumps(asdict(KEPT) | {"more": 1}),
    ],
)
def test_a_damaged_order_is_deleted(own_home, text):
    old = own_home()
    folder = left_behind(old, KEPT)
    (folder / ORDER).write_text(text)
    assert own_home().taken == []
    assert not old.folder.exists()


def test_a_study_of_last_month_is_deleted(own_home):
    folder = left_behind(own_home(), KEPT)
    month = folder.stat().st_mtime - 4 * OLDEST
    os.utime(folder, (month, month))
    assert own_home().taken == []


def test_another_server_that_runs_keeps_its_own(own_home, tmp_path):
    script = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from app.shell.study_jobs import Home
        home = Home(Path({str(tmp_path)!r}))
        (home.folder / "its-own").mkdir()
        print(home.folder, flush=True)
        sys.stdin.read()
    """)
    other = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    theirs = Path(other.stdout.readline().strip())
    try:
        own_home()
        assert (theirs / "its-own").is_dir()
    finally:
        other.kill()
        other.communicate()
    own_home()
    assert not theirs.exists()
    assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 2, "this server's folder and its lock"


def test_records_are_the_same_when_read_again(tmp_path):
    file = tmp_path / RECORDS
    core.save_counterfact(records(), file)
    again = core.load_counterfact(file, name="mini_counterfact.json")
    assert again.digest == records().digest
    assert again.records == records().records


def test_a_study_that_is_not_kept_writes_no_records(own_home):
    home = own_home()
    order = replace(KEPT, keep=False, token="short", limit=2)
    job = study_job(order, records, 2)
    job.start()
    job.thread.join(WAIT)
    assert job.error == ""
    assert not (home.folder / "short" / RECORDS).exists()
    assert job.result.header.counted == 2


def test_where_nothing_can_be_kept_the_server_starts_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "a-file").write_text("")
    monkeypatch.setattr(study_jobs, "cache_folder", lambda: tmp_path / "a-file")
    monkeypatch.setattr(study_jobs.tempfile, "mkdtemp", lambda prefix: str(tmp_path / "other"))
    study_jobs.home.clear()
    try:
        assert study_jobs.home().folder.parent == tmp_path / "other"
        assert resume_studies() == []
        study_jobs.home().close()
    finally:
        study_jobs.home.clear()
