"""Work for workers in other processes, which find it by its name."""

import os
import signal
import time
from pathlib import Path

from core import LanguageModel, PromptError

LONGEST = 120.0  # seconds until a worker gives up waiting, so that nothing hangs


def wait_for(path: Path) -> None:
    end = time.monotonic() + LONGEST
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path.name} did not come")
        time.sleep(0.02)


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
    folder.joinpath(f"begun-{item}").touch()
    if item == 0:
        wait_for(folder / "begun-2")
    if item == 2:
        wait_for(folder / "go")
    return os.getpid()
