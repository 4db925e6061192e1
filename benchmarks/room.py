"""What a room of people costs: python -m benchmarks.room [--sessions 1 20 50] [--pages ""]

A server of its own, and N sessions over the websocket, as browsers speak to it, without a browser.
Each opens a page by a link, then types another prompt, both with prompts that nobody asked before,
and thinks for 0 to 2 s (`--think`) before each. In each of five waves every session does so once.

Prints, for each number of sessions: p50 and p95 of an opened page and of a changed prompt, pages a
second, errors; and the server's memory at start, after the first and after the last wave.
`--browsers 2` lets two real browsers look at the first page beside them, on the same cores.
`--model` chooses the model, `--pages` several pages; `--script FILE` a Python file that starts the
server in another way, to compare two versions in one run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from websockets.asyncio.client import connect

from benchmarks.real_browsers import watching
from benchmarks.visitor import Server, Session, new_prompt, server

WAVES = 5


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


async def visit(address: str, page: str, model: str, think: float, times: Times) -> None:
    """One person in one wave: opens a page, types another prompt, and leaves."""
    rng = random.Random()
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
    parser.add_argument("--browsers", type=int, default=0, help="real ones beside the sessions")
    parser.add_argument("--script", type=Path, help="starts the server in another way")
    given = parser.parse_args()
    with server(given.script) as place:
        asyncio.run(room(place, 1, given.pages, given.model, 0.0))
        print("  (that one warmed the server up)")
        for sessions in given.sessions:
            beside = watching(
                place.address, given.browsers, given.pages[0], given.model, given.think
            )
            with beside as seen:
                asyncio.run(room(place, sessions, given.pages, given.model, given.think))
            if seen:
                print(f"  {given.browsers} browsers beside them: {told('a picture', seen)}")


if __name__ == "__main__":
    main()
