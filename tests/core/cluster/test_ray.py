"""Ray with two workers on this machine, and a second machine that joins and is lost.

All of Ray's tests are in this file, so that there is one cluster at a time.
"""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from core import METHODS, PromptError, benchmark, load_counterfact, load_model, study
from core.benchmarking.measures import COLUMNS
from core.benchmarking.results import Benchmark
from core.cluster import hands
from core.cluster.ray_pool import RayPool
from core.cluster.worker import ONLY_HERE, SLOW_START, import_ray, only_here
from core.errors import ModelError
from core.studies.counterfact import MINI_COUNTERFACT
from tests.core.cluster import work
from tests.core.studies.test_study import assert_same

ROOT = Path(__file__).resolve().parents[3]
MODEL = "tiny-gpt2"
SMALL = {"object_store_memory": 80 * 2**20}


SPECS = ("forward-shift", "adam")
SAME = [name for name in COLUMNS if name != "seconds"]


def assert_same_rows(one: Benchmark, other: Benchmark) -> None:
    order = ["record", "method"]
    a, b = (found.rows.sort_values(order, ignore_index=True)[SAME] for found in (one, other))
    pd.testing.assert_frame_equal(a, b, check_exact=True)
    assert not a.duplicated(order).any()


def pid_of(hired) -> int:
    return int(hired.place.rpartition(" ")[2])


@pytest.fixture(scope="module")
def cluster():
    """Ray's own cluster for tests: each of its machines is a process of this one."""
    ray = pytest.importorskip("ray")
    import_ray()
    from ray.cluster_utils import Cluster

    try:
        with only_here(ray):
            head = {"num_cpus": 1, "include_dashboard": False, "_system_config": SLOW_START}
            made = Cluster(initialize_head=True, head_node_args=head | SMALL)
            ray.init(made.address, log_to_driver=False, configure_logging=False)
    except Exception as error:
        pytest.skip(f"Ray cannot start on this machine: {type(error).__name__}: {error}")
    host, port = made.address.split(":")
    yield made
    ray.shutdown()
    made.shutdown()
    with pytest.raises(OSError):  # noqa: PT011 - nobody listens there any more
        socket.create_connection((host, int(port)), timeout=5)


@pytest.fixture(scope="module")
def model():
    return load_model(MODEL, dtype="float32")


@pytest.fixture(scope="module")
def pool(cluster):
    with RayPool(MODEL, workers=2, cpus=0.25, dtype="float32") as made:
        yield made


@pytest.fixture(scope="module")
def records():
    return load_counterfact(MINI_COUNTERFACT)


def test_a_machine_that_joins_helps_and_one_that_is_lost_costs_nothing(cluster, tmp_path):
    """Item 0 ends only if somebody else begins item 2; who does so is lost with his machine."""
    with RayPool(MODEL, dtype="float32") as pool, ThreadPoolExecutor() as aside:
        (_, (_, _, first)), *_ = pool.map(work.who, [0])
        assert pool.room() == len(pool.staff) == 1
        results = aside.submit(list, pool.map(partial(work.meet, tmp_path), range(4)))
        with only_here(import_ray()):
            machine = cluster.add_node(num_cpus=1, **SMALL)
        work.wait_for(tmp_path / "begun-2")
        other = int((tmp_path / "begun-2").read_text())
        cluster.remove_node(machine, allow_graceful=False)
        work.wait_until(lambda: work.gone(other), "the worker's end")
        (tmp_path / "go").touch()
        assert other != first
        assert sorted(i for i, _ in results.result()) == [0, 1, 2, 3]
        assert [pid for i, pid in results.result() if i == 2] == [first]


def test_all_of_it_listens_on_this_machine_only(cluster, pool):
    assert cluster.address.startswith("127.0.0.1:")
    assert {node["NodeManagerAddress"] for node in pool.ray.nodes()} == {"127.0.0.1"}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_each_item_is_done_once_by_two_workers(pool, tmp_path):
    results = dict(pool.map(work.who, list("abcdefghij")))
    assert [results[i][:2] for i in range(10)] == [(letter, MODEL) for letter in "abcdefghij"]
    (tmp_path / "go").touch()
    meeting = list(pool.map(partial(work.meet, tmp_path), range(3)))  # takes two of them
    assert sorted(i for i, _ in meeting) == [0, 1, 2]
    assert len({pid for _, pid in meeting}) == 2 == pool.ready


def test_a_study_by_two_workers_is_that_of_one_process(pool, model, records):
    steps = []
    options = {"limit": 24, "batch_size": 2}
    shared = study(model, records, pool=pool, on_step=lambda *s: steps.append(s), **options)
    assert_same(shared, study(model, records, **options))
    assert steps == [(done, 24) for done in range(2, 25, 2)]


def test_a_study_goes_on_with_a_pool_where_it_was_without(tmp_path, pool, model, records):
    class EnoughError(Exception):
        pass

    def stop(done: int, _: int) -> None:
        if done == 12:
            raise EnoughError

    options = {"limit": 12, "batch_size": 2, "save_to": tmp_path / "study"}
    with pytest.raises(EnoughError):
        study(model, records, on_step=stop, **options)
    shared = study(model, records, pool=pool, **options)
    assert_same(shared, study(model, records, limit=12, batch_size=2))


def test_workers_that_are_killed_cost_nothing(pool, model, records):
    """Both, one after the other: without new ones the study would not end."""
    killed = []

    def kill(done: int, _: int) -> None:
        left = [pid_of(hired) for hired in pool.staff if hired.place]
        if done >= 4 and len(killed) < 2:
            pid = next((pid for pid in left if pid not in killed), None)
            if pid:
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

    options = {"limit": 40, "batch_size": 2}
    shared = study(model, records, pool=pool, on_step=kill, **options)
    assert len(killed) == 2
    assert_same(shared, study(model, records, **options))
    assert not {pid_of(hired) for hired in pool.staff if hired.place} & set(killed)


@pytest.fixture(scope="module")
def alone(model, records):
    """The benchmark of one process."""
    return benchmark(model, records, methods=SPECS, limit=6, seed=3)


def test_a_benchmark_is_that_of_one_process_though_a_worker_is_killed(pool, model, records, alone):
    killed = []

    def kill(done: int, _: int) -> None:
        if done and not killed:
            killed.append(next(pid_of(hired) for hired in pool.staff if hired.place))
            os.kill(killed[0], signal.SIGKILL)

    options = {"methods": SPECS, "limit": 6, "seed": 3}
    shared = benchmark(model, records, pool=pool, on_step=kill, **options)
    assert killed
    assert_same_rows(shared, alone)
    counts = [name for name in alone.table if not name.startswith("seconds")]
    pd.testing.assert_frame_equal(shared.table[counts], alone.table[counts], check_exact=True)


KILLED = """
import importlib.util, os, signal, sys
spec = importlib.util.spec_from_file_location("the_command", "core/benchmark.py")
command = importlib.util.module_from_spec(spec)
spec.loader.exec_module(command)

class Killed(command.Progress):
    def __call__(self, done, total):
        super().__call__(done, total)
        if done == 12:
            os.kill(os.getpid(), signal.SIGKILL)

command.Progress = Killed
command.main(sys.argv[1:])
"""


def test_a_driver_that_is_killed_goes_on_when_it_is_started_again(cluster, tmp_path, alone):
    folder = tmp_path / "benchmark"
    words = ["--model", MODEL, "--dtype", "float32", "--records", str(MINI_COUNTERFACT)]
    words += ["--methods", *SPECS, "--limit", "6", "--seed", "3", "--save-to", str(folder)]
    words += ["--ray", cluster.address, "--workers", "1", "--cpus-per-worker", "0.25"]

    def driver(*how: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *how, *words],
            cwd=ROOT,
            env=os.environ | {ONLY_HERE: "0"},
            capture_output=True,
            text=True,
        )

    killed = driver("-c", KILLED)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    begun = Benchmark.load(folder).rows
    assert len(begun) == 12
    ended = driver("-m", "core.benchmark")
    assert ended.returncode == 0, ended.stderr
    assert f"| {METHODS['adam'].title} |" in ended.stdout
    assert "18 of 18 rows" in ended.stderr
    found = Benchmark.load(folder)
    pd.testing.assert_frame_equal(found.rows.head(12), begun)  # not made again, the seconds say
    assert_same_rows(found, alone)
    timed = begun.dropna(subset="seconds")
    kept = timed.merge(found.rows, on=["record", "method", "seconds"])
    assert len(kept) == len(timed) > 0  # none was made again


def test_what_the_work_raises_comes_back_as_itself(pool):
    with pytest.raises(PromptError, match=f"^3 is too much for {MODEL}.$"):
        list(pool.map(work.refuse, range(8)))
    with pytest.raises(RuntimeError, match="KeyError"):
        list(pool.map(work.break_down, range(2)))
    assert len(dict(pool.map(work.who, range(4)))) == 4  # the workers are still there


def test_another_model_is_refused(pool, records):
    other = load_model("tiny-llama2", dtype="float32")
    with pytest.raises(ModelError, match="tiny-gpt2, has other weights"):
        study(other, records, limit=2, pool=pool)


def test_a_model_that_is_not_there_is_said(cluster):
    with (
        RayPool("/no/such/folder", workers=1, cpus=0.25) as pool,
        pytest.raises(ModelError, match="no folder '/no/such/folder'"),
    ):
        list(pool.map(work.who, [1]))


def test_no_machine_is_large_enough(cluster):
    with (
        pytest.raises(ModelError, match="No machine .* 1 cores and 1 GPUs"),
        RayPool(MODEL, gpus=1),
    ):
        pass


def test_an_item_that_kills_its_workers_ends_the_work_and_is_named(pool, monkeypatch):
    monkeypatch.setattr(hands, "MOST_DEATHS", 2)
    done = []
    with pytest.raises(ModelError, match="2 workers died .* number 2: 'heavy'"):
        done += (i for i, _ in pool.map(work.die, ["a", "b", "heavy"]))
    assert set(done) <= {0, 1}
