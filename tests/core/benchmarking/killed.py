"""Writers of a benchmark that are killed by SIGKILL; run as a program by test_store.py.

It imports once and forks each writer. What it sees after each kill it prints, a line of JSON each:
how it was killed, its exit code, and how many rows can be read.
"""

import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import pandas as pd

from core.benchmarking import store as module
from core.benchmarking.store import Store, read_folder
from tests.core.benchmarking.made import all_rows, header_of, made_rows, some_records

RECORDS = some_records(6)
WHOLE = all_rows(RECORDS)


def die_at(last: int) -> None:
    """This process kills itself at a step of what it writes: within a file's content, and before
    and after each time that it is flushed, moved or deleted."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(real):
        def stepped(*arguments, **options):
            step()
            result = real(*arguments, **options)
            step()
            return result

        return stepped

    def write_bytes(path: Path, content: bytes) -> None:
        for size in (0, len(content) // 2, len(content)):
            with path.open("wb") as file:
                file.write(content[:size])
            step()

    os.fsync, os.replace, Path.unlink = around(os.fsync), around(os.replace), around(Path.unlink)
    Path.write_bytes = write_bytes


def write_all(folder: Path, told: tuple[int, int] | None = None) -> None:
    """Record after record; `told` are pipes to tell of each, and to hear that it may go on."""
    module.MOST_SMALL = 4
    with Store.begin(folder, header_of(RECORDS), RECORDS) as store:
        for i, names in store.missing():
            store.append(made_rows(RECORDS, [(i, name) for name in names]))
            if told is not None:
                os.write(told[0], b".")
                os.read(told[1], 1)
        store.compact()


def forked(work) -> int:
    """The process that does some work and ends."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def rows_there(folder: Path) -> int:
    """How many rows can be read; -1 where one of them is not as it was made."""
    if not (folder / module.HEADER).exists():
        return 0
    rows = read_folder(folder)[2]
    keys = pd.MultiIndex.from_frame(WHOLE[["record", "method"]])
    there = keys.isin(pd.MultiIndex.from_frame(rows[["record", "method"]]))
    try:
        pd.testing.assert_frame_equal(rows, WHOLE[there].reset_index(drop=True), check_dtype=False)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return -1
    return len(rows)


def report(folder: Path, code: int, copy: Path | None = None) -> None:
    print(json.dumps([folder.name, code, rows_there(copy or folder)]), flush=True)


def at_steps(folder: Path) -> None:
    """One writer after the other, each killed at a drawn step of its own, until one is done."""
    drawn, code = random.Random(12), 1
    while code:
        last = drawn.randint(1, 35)

        def work(last: int = last) -> None:
            die_at(last)
            write_all(folder)

        code = ended(forked(work))
        report(folder, code)


def from_outside(folder: Path) -> None:
    """One writer after the other, each killed by this process while it writes another row."""
    drawn, code = random.Random(5), 1
    while code:
        (heard, told), (awaited, go_on) = os.pipe(), os.pipe()
        child = forked(lambda pipes=(told, awaited): write_all(folder, pipes))
        os.close(told)
        wanted = drawn.randint(1, 2)
        while wanted and os.read(heard, 1):  # nothing is heard from one that is done
            wanted -= 1
            os.write(go_on, b".")
        if not wanted:
            os.kill(child, signal.SIGKILL)
        for end in (heard, awaited, go_on):
            os.close(end)
        code = ended(child)
        report(folder, code)


def at_each_step(folder: Path) -> None:
    """A writer of a record's rows is killed at each of its steps, in a folder of its own each; the
    next one does it all."""
    last, code = 0, 1
    while code:
        last += 1
        own = folder.with_name(f"each-{last}")

        def work(own: Path = own, last: int = last) -> None:
            die_at(last)
            with Store.begin(own, header_of(RECORDS), RECORDS) as store:
                store.append(WHOLE[WHOLE["record"] == 0])

        code = ended(forked(work))
        assert rows_there(own) in (0, 3)
        assert not ended(forked(lambda own=own: write_all(own)))
        report(folder, code, own)


def in_compact(folder: Path) -> None:
    """A writer that merges parts is killed at each of its steps, on a copy of the folder each."""
    with Store.begin(folder, header_of(RECORDS), RECORDS) as store:
        for i in range(0, len(RECORDS), 2):
            store.append(WHOLE[WHOLE["record"].isin((i, i + 1))])
    last, code = 0, 1
    while code:
        last += 1
        copy = folder.with_name(f"copy-{last}")
        shutil.copytree(folder, copy)

        def work(copy: Path = copy, last: int = last) -> None:
            with Store.begin(copy, header_of(RECORDS), RECORDS) as store:
                die_at(last)
                store.compact()

        code = ended(forked(work))
        report(folder, code, copy)


if __name__ == "__main__":
    for work in (at_steps, from_outside, at_each_step, in_compact):
        work(Path(sys.argv[1]) / work.__name__)
