"""The command line. It is loaded under another name, as core.benchmark is the function."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import core
from core.benchmarking.results import Benchmark
from core.studies.counterfact import MINI_COUNTERFACT
from core.studies.tables import Study

ROOT = Path(__file__).resolve().parents[3]
WORDS = ("--model", "tiny-gpt2", "--dtype", "float32", "--records", str(MINI_COUNTERFACT))


@pytest.fixture(scope="module")
def command():
    spec = importlib.util.spec_from_file_location("the_command", ROOT / "core/benchmark.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_runs_as_a_module_and_the_function_keeps_its_name():
    words = [sys.executable, "-W", "error::RuntimeWarning", "-m", "core.benchmark", "--help"]
    shown = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "--ray WHERE" in shown.stdout
    assert core.benchmark.__module__ == "core.benchmarking.run"


def test_a_table_is_printed_and_begun_again_nothing_is_done_twice(command, tmp_path, capsys):
    folder = tmp_path / "made"
    words = [*WORDS, "--methods", "forward-shift", "sgd", "--limit", "2", "--no-generate"]
    words += ["--save-to", str(folder)]
    assert command.main(words) == 0
    out, err = capsys.readouterr()
    assert [line.split(" | ")[0] for line in out.splitlines() if line.startswith("|")][2:5]
    assert "Forward pass shift" in out
    assert "6 of 6 rows" in err
    first = Benchmark.load(folder)
    assert (first.header.total, len(first.rows)) == (2, 6)
    exported = tmp_path / "cases"
    assert command.main([*words, "--export", "memit", str(exported)]) == 0
    again, err = capsys.readouterr()
    assert again == out
    assert Benchmark.load(folder).rows.equals(first.rows)
    assert {path.name for path in exported.iterdir()} == {"original", "forward-shift", "sgd"}
    assert len(list(exported.glob("sgd/*.json"))) == 2


def test_a_study_is_made_with_the_same_words(command, tmp_path, capsys):
    words = [*WORDS, "--limit", "3", "--study", "--save-to", str(tmp_path / "study")]
    assert command.main(words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("3 records of mini_counterfact.json, traced in tiny-gpt2.")
    assert "| claim | verdict | figure |" in out
    assert "3 of 3 records" in err
    assert Study.load(tmp_path / "study").header.done == 3


def test_what_is_wrong_is_said_in_a_sentence(command, tmp_path, capsys):
    missing = ["--model", "tiny-gpt2", "--records", str(tmp_path / "none.json")]
    assert command.main(missing) == 1
    assert "none.json" in capsys.readouterr().err
    assert command.main([*WORDS, "--methods", "magic", "--save-to", str(tmp_path / "a")]) == 1
    assert "'magic'" in capsys.readouterr().err
    for more in (["--workers", "2"], ["--export", "rome", "x"], ["--limit", "many"]):
        with pytest.raises(SystemExit) as ended:
            command.main([*WORDS, *more])
        assert ended.value.code == 2


def test_without_ray_it_says_how_to_get_it(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = [*WORDS, "--limit", "1", "--ray", "local", "--save-to", str(tmp_path / "a")]
    assert command.main(words) == 1
    assert "pip install -r requirements-cluster.txt" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_a_sentence(command, monkeypatch, tmp_path, capsys, number):
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    def told_to_end(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)
        raise AssertionError("the signal was not heard")

    monkeypatch.setattr(command, "benchmark", told_to_end)
    assert command.main([*WORDS, "--save-to", str(tmp_path / "mine")]) == command.STOPPED
    said = capsys.readouterr().err
    assert f"What is done stays in {tmp_path / 'mine'}: the same command goes on" in said
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_progress_says_how_fast_and_how_long(command, capsys):
    now = [100.0]
    tell = command.Progress("rows", None, clock=lambda: now[0])

    def said(done: int, seconds: float) -> str:
        now[0] += seconds
        tell(done, 1000)
        return capsys.readouterr().err.strip()

    assert said(200, 0) == "200 of 1,000 rows"  # of an earlier run
    assert said(201, 1) == ""  # too early for another line
    assert said(220, 9) == "220 of 1,000 rows, 2 a second, 6 min left"
    assert said(1000, 1) == "1,000 of 1,000 rows, 72.7 a second, 0 s left"
    tell.pool = type("Pool", (), {"ready": 3})
    assert said(1000, 0).endswith("; 3 workers")


def test_the_folder_is_named_after_model_and_records(command):
    words = ["--model", "../my models/gpt", "--records", "/data/facts (new).json"]
    options = command.parser().parse_args(words)
    assert str(command.usual_folder(options)) == "benchmark-my-models-gpt-facts-new"
    options.study = True
    assert str(command.usual_folder(options)) == "study-my-models-gpt-facts-new"
