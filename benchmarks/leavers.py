"""What visitors who have left still cost: python -m benchmarks.leavers [--people 100]

A hundred come in tens; each opens the backward lens, then the edit page, makes an edit with its own
target, looks at it and closes the tab. When Streamlit has forgotten their sessions (two minutes), a
hundred others do the same. Prints the server's memory between them, when the last one has left, and
two minutes later. The result stores are bounded by BACKWARD_LENS_MEMORY, here its least, and full
after the first hundred, so that what they keep does not hide what is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from urllib.parse import urlencode

from websockets.asyncio.client import connect

from benchmarks.visitor import Session, new_prompt, server

AT_ONCE = 10
FORGOTTEN = 150.0  # seconds; Streamlit keeps a lost session for 120


async def visitor(address: str, model: str) -> list[str]:
    """What went wrong."""
    query = urlencode({"model": model, "prompt": new_prompt(), "target": "Paris"})
    async with connect(address, subprotocols=["streamlit"], max_size=None) as socket:
        session = Session(socket, "backward_lens", query)
        await session.run()
        await session.run(new_prompt())
    async with connect(address, subprotocols=["streamlit"], max_size=None) as socket:
        session = Session(socket, "edit", query)
        await session.run()
        await session.press("Make it say")
        while not any("Your edits: 1 of 1" in text for text in session.texts):
            await asyncio.sleep(0.5)
            await session.run()
        return session.failed


async def crowd(address: str, model: str, people: int) -> list[str]:
    failed = []
    for _ in range(people // AT_ONCE):
        rounds = await asyncio.gather(*(visitor(address, model) for _ in range(AT_ONCE)))
        failed += [text for found in rounds for text in found]
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--model", default="tiny-gpt2")
    given = parser.parse_args()
    os.environ["BACKWARD_LENS_MEMORY"] = "50 MB"
    with server(None) as place:
        failed = asyncio.run(crowd(place.address, given.model, given.people))
        time.sleep(FORGOTTEN)
        before = place.memory
        failed += asyncio.run(crowd(place.address, given.model, given.people))
        there = place.memory
        time.sleep(FORGOTTEN)
        after = place.memory
    print(f"{given.people} visitors: {len(failed)} errors {failed[:3]}")
    print(
        f"memory before {before:.0f} MB, when the last one left {there:.0f} MB, after "
        f"{FORGOTTEN:.0f} s {after:.0f} MB ({after / before - 1:+.1%})"
    )


if __name__ == "__main__":
    main()
