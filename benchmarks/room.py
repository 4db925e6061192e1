"""What a room of people costs: python -m benchmarks.room [--sessions 1 20 50] [--pages ""]

A server of its own, and N sessions over the websocket, as browsers speak to it, without a browser.
Each opens a page by a link, then types another prompt, both with prompts that nobody asked before,
and thinks for 0 to 2 s (`--think`) before each. In each of five waves every session does so once.

Prints, for each number of sessions: p50 and p95 of an opened page and of a changed prompt, pages a
second, errors; and the server's memory at start, after the first and after the last wave.
`--model` chooses the model, `--pages` several pages; `--script FILE` a Python file that starts the
server in another way, to compare two versions in one run.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

ROOT = Path(__file__).resolve().parent.parent
WAVES = 5
PATIENCE = 300.0  # seconds for one page
NAMES = [
    "Ada",
    "Alan",
    "Grace",
    "Edsger",
    "Barbara",
    "Donald",
    "Frances",
    "Dennis",
    "Radia",
    "Ken",
    "Margaret",
    "Linus",
]
PLACES = [
    "Lima",
    "Oslo",
    "Cairo",
    "Quito",
    "Kyoto",
    "Dakar",
    "Perth",
    "Minsk",
    "Tunis",
    "Hanoi",
    "Turin",
    "Leeds",
]
_number = itertools.count()


def new_prompt() -> str:
    """A sentence that nobody asked before in this run."""
    i = next(_number)
    name, place = NAMES[i % len(NAMES)], PLACES[i // len(NAMES) % len(PLACES)]
    return f"{name} the {1000 + i}th of {place} grew up in"


@dataclass
class Times:
    """Seconds of each page, and what went wrong."""

    opened: list[float] = field(default_factory=list)
    changed: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)  # when each page was whole

    @property
    def pace(self) -> float:
        """Pages a second while all are in the room: between a tenth and nine tenths of them."""
        first, last = (sorted(self.moments)[int(s * len(self.moments))] for s in (0.1, 0.9))
        return 0.8 * len(self.moments) / (last - first)


class Session:
    """One websocket: sends what a browser sends, and reads until the script has run."""

    def __init__(self, socket: ClientConnection, page: str, query: str) -> None:
        self.socket, self.page, self.query = socket, page, query
        self.prompt_id = ""
        self.page_hash = ""
        self.failed: list[str] = []

    async def run(self, prompt: str | None = None) -> float:
        """Seconds until the page is whole; with a prompt, after it was typed into its field."""
        message = BackMsg()
        message.rerun_script.query_string = self.query
        message.rerun_script.page_name = self.page
        message.rerun_script.page_script_hash = self.page_hash
        if prompt is not None:
            state = message.rerun_script.widget_states.widgets.add()
            state.id, state.string_value = self.prompt_id, prompt
        begun = time.perf_counter()
        await self.socket.send(message.SerializeToString())
        while True:
            data = await asyncio.wait_for(self.socket.recv(), PATIENCE)
            answer = ForwardMsg()
            answer.ParseFromString(data)
            kind = answer.WhichOneof("type")
            if kind == "navigation":
                self.page_hash = answer.navigation.page_script_hash
            elif kind == "delta":
                self.look(answer)
            elif kind == "script_finished":
                if answer.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
                    continue  # a rerun that the page asked for follows
                return time.perf_counter() - begun

    def look(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.failed.append(element.exception.message)
        elif kind == "text_input" and element.text_input.label == "Prompt":
            self.prompt_id = element.text_input.id
        elif kind == "text_area" and element.text_area.label == "Prompt":
            self.prompt_id = element.text_area.id


async def visit(address: str, page: str, model: str, think: float, times: Times) -> None:
    """One person in one wave: opens a page, types another prompt, and leaves."""
    rng = random.Random(next(_number))
    query = urlencode({"model": model, "prompt": new_prompt(), "target": "Paris"})
    await asyncio.sleep(rng.uniform(0, think))
    try:
        async with connect(address, subprotocols=["streamlit"], max_size=None) as socket:
            session = Session(socket, page, query)
            times.opened.append(await session.run())
            times.moments.append(time.perf_counter())
            await asyncio.sleep(rng.uniform(0, think))
            times.changed.append(await session.run(new_prompt()))
            times.moments.append(time.perf_counter())
            times.errors += session.failed
    except Exception as error:  # whatever a person would see as a page that does not come
        times.errors.append(f"{type(error).__name__}: {error}")


async def person(address: str, pages: list[str], model: str, think: float, waves: int, times):
    for wave in range(waves):
        await visit(address, pages[wave % len(pages)], model, think, times)


@dataclass
class Server:
    address: str
    process: psutil.Process

    @property
    def memory(self) -> float:
        """MB resident."""
        return self.process.memory_info().rss / 1e6

    @property
    def work(self) -> float:
        """Seconds of the processors' time so far."""
        times = self.process.cpu_times()
        return times.user + times.system


@contextmanager
def server(script: Path | None) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, *([str(script)] if script else ["-m", "streamlit", "run"])]
    environment = os.environ | {
        "STREAMLIT_SERVER_PORT": str(port),
        "STREAMLIT_SERVER_HEADLESS": "true",
    }
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=quiet, stderr=quiet)
    try:
        end = time.monotonic() + 180
        while time.monotonic() < end:
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2)
                break
            time.sleep(0.2)
        yield Server(f"ws://127.0.0.1:{port}/_stcore/stream", psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(30)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def told(name: str, values: list[float]) -> str:
    middle = statistics.median(values) if values else float("nan")
    return f"{name} p50 {middle:.2f} s, p95 {percentile(values, 0.95):.2f} s"


async def room(place: Server, sessions: int, pages: list[str], model: str, think: float) -> None:
    times, at_start, work = Times(), place.memory, place.work
    everyone = asyncio.gather(
        *(person(place.address, pages, model, think, WAVES, times) for _ in range(sessions))
    )
    while len(times.moments) < 2 * sessions and not everyone.done():
        await asyncio.sleep(0.05)
    first_wave = place.memory
    await everyone
    print(
        f"{sessions:3d} sessions: {told('opened', times.opened)}; "
        f"{told('changed', times.changed)}; {times.pace:.1f} pages a second, "
        f"{(place.work - work) / max(1, len(times.moments)):.3f} s of processor each; "
        f"{len(times.errors)} errors; memory {at_start:.0f} MB, after wave 1 {first_wave:.0f}, "
        f"after wave {WAVES} {place.memory:.0f}",
        flush=True,
    )
    for error in sorted(set(times.errors))[:5]:
        print(f"    {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="*", default=[1, 20, 50])
    parser.add_argument("--pages", nargs="*", default=[""], help='paths; "" is Start')
    parser.add_argument("--model", default="tiny-gpt2")
    parser.add_argument("--think", type=float, default=2.0, help="seconds at most")
    parser.add_argument("--script", type=Path, help="starts the server in another way")
    given = parser.parse_args()
    with server(given.script) as place:
        asyncio.run(room(place, 1, given.pages, given.model, 0.0))
        print("  (that one warmed the server up)")
        for sessions in given.sessions:
            asyncio.run(room(place, sessions, given.pages, given.model, given.think))


if __name__ == "__main__":
    main()
