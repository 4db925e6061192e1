"""A visitor without a browser: speaks to a server of the app over its websocket, as browsers do.

For the other benchmarks of this folder: `server()` starts a server of its own, `Session` opens
pages in it, types and presses buttons.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection

ROOT = Path(__file__).resolve().parent.parent
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


class Session:
    """One websocket: sends what a browser sends, and reads until the script has run."""

    def __init__(self, socket: ClientConnection, page: str, query: str) -> None:
        self.socket, self.page, self.query = socket, page, query
        self.page_hash = ""
        self.widgets: dict[tuple[str, str], str] = {}  # ids by kind and label
        self.texts: list[str] = []  # what the last run showed in words
        self.failed: list[str] = []

    async def run(self, prompt: str | None = None) -> float:
        """Seconds until the page is whole; with a prompt, after it was typed into its field."""
        if prompt is None:
            return await self.send()
        return await self.send(("text_input", "Prompt", {"string_value": prompt}))

    async def send(self, *changes: tuple[str, str, dict[str, object]]) -> float:
        """Seconds until the page is whole, after widgets (kind, beginning of the label) were set
        to a value, under the name that it has in Streamlit's WidgetState."""
        message = BackMsg()
        message.rerun_script.query_string = self.query
        message.rerun_script.page_name = self.page
        message.rerun_script.page_script_hash = self.page_hash
        for kind, label, value in changes:
            message.rerun_script.widget_states.widgets.add(id=self.widget(kind, label), **value)
        begun = time.perf_counter()
        self.texts = []
        await self.socket.send(message.SerializeToString())
        await self.whole()
        return time.perf_counter() - begun

    async def press(self, label: str) -> float:
        return await self.send(("button", label, {"trigger_value": True}))

    async def whole(self) -> None:
        """Read until a run has ended."""
        while True:
            data = await asyncio.wait_for(self.socket.recv(), PATIENCE)
            answer = ForwardMsg()
            answer.ParseFromString(data)
            kind = answer.WhichOneof("type")
            if kind == "navigation":
                self.page_hash = answer.navigation.page_script_hash
            elif kind == "page_info_changed":
                self.query = answer.page_info_changed.query_string
            elif kind == "delta":
                self.look(answer)
            elif kind == "script_finished":
                if answer.script_finished != ForwardMsg.FINISHED_SUCCESSFULLY:
                    continue  # a rerun that the page asked for follows
                return

    def look(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind is None:
            return
        shown = getattr(element, kind)
        if kind == "exception":
            self.failed.append(shown.message)
        elif kind in ("markdown", "progress", "alert"):
            self.texts.append(shown.text if kind == "progress" else shown.body)
        elif hasattr(shown, "label") and hasattr(shown, "id"):
            self.widgets[kind, shown.label] = shown.id

    def widget(self, kind: str, label: str) -> str:
        """The id of the widget whose label begins so; raises LookupError."""
        for (other, text), name in self.widgets.items():
            if other == kind and text.startswith(label):
                return name
        raise LookupError(f"no {kind} {label!r} on this page")


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
