"""Work for workers in other processes, which find it by its name."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from core import LanguageModel, PromptError

LONGEST = 300.0  # seconds until a worker gives up waiting, so that nothing hangs


def wait_until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LONGEST
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come")
        time.sleep(0.02)


def wait_for(path: Path) -> None:
    wait_until(path.exists, path.name)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has asked about counts, too."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def who(model: LanguageModel, item: int) -> tuple[int, str, int]:
    return item, model.name, os.getpid()


def refuse(model: LanguageModel, item: int) -> int:
    if item == 3:
        raise PromptError(f"{item} is too much for {model.name}.")
    return item


def break_down(model: LanguageModel, item: int) -> None:
    raise KeyError(item)


def die(model: LanguageModel, item: str) -> str:
    if item == "heavy":
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def meet(folder: Path, model: LanguageModel, item: int) -> int:
    """Item 0 is not done before item 2 is begun; item 2 not before there is a file "go"."""
    mine = folder / f"begun-{item}"
    mine.with_suffix(".new").write_text(str(os.getpid()))
    os.replace(mine.with_suffix(".new"), mine)
    if item == 0:
        wait_for(folder / "begun-2")
    if item == 2:
        wait_for(folder / "go")
    return os.getpid()
